//! Figures that follow from metrics.jsonl, for a run without training_stats.json, and ratios.

use serde::Serialize;

use crate::{Report, Run};

/// What the lines of metrics.jsonl say together.
#[derive(Serialize)]
pub(crate) struct Derived {
    /// The last step's number.
    steps: usize,
    planned_steps: Option<usize>,
    skipped_steps: usize,
    tokens: usize,
    train_seconds: f64,
    /// Tokens of all steps by the seconds of all steps.
    tokens_per_s: Option<f64>,
    peak_memory_mb: Option<f64>,
    /// Of the newest epoch.
    train_loss: Option<f64>,
    /// Of the newest evaluation.
    val_loss: Option<f64>,
    best_evaluation: Option<Best>,
    epochs: Vec<Epoch>,
    trainable_parameters: Option<usize>,
    /// Of all parameters, in per cent.
    trainable_percent: Option<f64>,
}

#[derive(Serialize)]
struct Best {
    step: usize,
    eval_loss: f64,
}

/// The same keys as an epoch of training_stats.json.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the keys are those of the file")]
struct Epoch {
    epoch: usize,
    train_loss: Option<f64>,
    val_loss: Option<f64>,
    learning_rate: f64,
    seconds: f64,
    tokens_per_s: Option<f64>,
    last_step: usize,
}

impl Derived {
    pub(crate) fn new(report: &Report) -> Self {
        let run = &report.run;
        let epochs = epochs(run);
        let tokens = run.steps.iter().map(|step| step.tokens).sum();
        let train_seconds = run.steps.iter().map(|step| step.seconds).sum();
        let finite = run.evals.iter().filter_map(|eval| Some((eval.step, eval.eval_loss?)));
        let best = finite.min_by(|a, b| a.1.total_cmp(&b.1));
        let parameters = parameters(report);
        Self {
            steps: run.steps.last().map_or(0, |step| step.step),
            planned_steps: report.planned_steps,
            skipped_steps: run.steps.iter().filter(|step| step.skipped).count(),
            tokens,
            train_seconds,
            tokens_per_s: rate(tokens, train_seconds),
            peak_memory_mb: run
                .steps
                .iter()
                .filter_map(|step| step.peak_memory_mb)
                .max_by(f64::total_cmp),
            train_loss: epochs.last().and_then(|epoch| epoch.train_loss),
            val_loss: run.evals.last().and_then(|eval| eval.eval_loss),
            best_evaluation: best.map(|(step, eval_loss)| Best { step, eval_loss }),
            epochs,
            trainable_parameters: parameters.map(|(trainable, _)| trainable),
            trainable_percent: parameters
                .map(|(trainable, total)| 100.0 * trainable as f64 / total as f64),
        }
    }
}

/// Mean loss of each epoch by its last step: one point of the curve.
pub(crate) fn epoch_losses(run: &Run) -> Vec<(usize, f64)> {
    let losses = epochs(run).into_iter();
    losses.filter_map(|epoch| Some((epoch.last_step, epoch.train_loss?))).collect()
}

fn epochs(run: &Run) -> Vec<Epoch> {
    let epochs = run.steps.chunk_by(|a, b| a.epoch == b.epoch).filter_map(|steps| {
        let last = steps.last()?;
        let learned = || steps.iter().filter(|step| !step.skipped);
        let targets: usize = learned().map(|step| step.target_tokens).sum();
        let nll: Option<f64> =
            learned().map(|step| Some(step.loss? * step.target_tokens as f64)).sum();
        let tokens = steps.iter().map(|step| step.tokens).sum();
        let seconds = steps.iter().map(|step| step.seconds).sum();
        let evaluated = run.evals.iter().find(|eval| eval.step == last.step);
        Some(Epoch {
            epoch: last.epoch,
            train_loss: nll.filter(|_| targets > 0).map(|nll| nll / targets as f64),
            val_loss: evaluated.and_then(|eval| eval.eval_loss),
            learning_rate: last.learning_rate,
            seconds,
            tokens_per_s: rate(tokens, seconds),
            last_step: last.step,
        })
    });
    epochs.collect()
}

fn rate(tokens: usize, seconds: f64) -> Option<f64> {
    (seconds > 0.0).then(|| tokens as f64 / seconds)
}

fn parameters(report: &Report) -> Option<(usize, usize)> {
    let told = |key| Some(report.run.stats.as_ref()?.get(key)?.as_u64()? as usize);
    let stats = told("trainable_parameters").zip(told("total_parameters"));
    stats.or(report.parameters).filter(|(_, total)| *total > 0)
}
