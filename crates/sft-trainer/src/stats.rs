//! training_stats.json.

use serde::Serialize;
use sft_model::memory::MemoryPlan;

use crate::progress::{EpochTotals, Evaluation, Progress};

/// What a complete run did: the content of training_stats.json.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingStats {
    /// Always true: the file is written when the run is complete.
    pub completed: bool,
    /// One entry an epoch.
    pub epochs: Vec<EpochStats>,
    /// Optimizer steps done, skipped ones included.
    pub steps: usize,
    /// Optimizer steps planned.
    pub total_steps: usize,
    /// Steps without an update because loss or gradient was not finite.
    pub skipped_steps: usize,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// The evaluation with the lowest loss.
    pub best_evaluation: Option<BestEvaluation>,
    /// Which weights final_model holds: `last step`, or `best evaluation` with early stopping.
    pub final_model: &'static str,
    /// The step whose weights final_model holds.
    pub final_model_step: usize,
    /// Parameters of the adapters.
    pub trainable_parameters: usize,
    /// Parameters of base and adapters.
    pub total_parameters: usize,
    /// Tokens trained on, every pass counted.
    pub tokens: usize,
    /// Target tokens among them.
    pub target_tokens: usize,
    /// Seconds in optimizer steps, those before a resume included.
    pub train_seconds: f64,
    /// Highest resident memory of the process that completed the run, MiB; `null` where the system does not tell.
    pub peak_memory_mb: Option<f64>,
    /// What was predicted for it before the run, MiB; `null` without a plan.
    pub predicted_memory_mb: Option<f64>,
    /// Blocks whose activations were computed again in the backward pass; `null` without a plan.
    pub recomputed_blocks: Option<usize>,
}

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EpochStats {
    /// Number, from 1.
    pub epoch: usize,
    /// Token-weighted mean loss of its steps.
    pub train_loss: f64,
    /// Token-weighted mean loss of the validation set at its end, if there is one.
    pub val_loss: Option<f64>,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Optimizer steps, skipped ones included.
    pub steps: usize,
    /// Steps without an update.
    pub skipped_steps: usize,
    /// Tokens.
    pub tokens: usize,
    /// Target tokens among them.
    pub target_tokens: usize,
    /// Seconds in optimizer steps.
    pub seconds: f64,
    /// `tokens / seconds`.
    pub tokens_per_s: f64,
}

/// The evaluation with the lowest loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BestEvaluation {
    /// Optimizer steps done at it.
    pub step: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Its loss.
    pub eval_loss: f64,
    /// Name of the checkpoint with its weights, if one was saved at that step and is still there.
    pub checkpoint: Option<String>,
}

/// What the counters of a run do not say.
pub(crate) struct Facts {
    pub(crate) total_steps: usize,
    pub(crate) trainable_parameters: usize,
    pub(crate) total_parameters: usize,
    pub(crate) best_checkpoint: Option<String>,
    pub(crate) final_model: &'static str,
    pub(crate) final_model_step: usize,
    pub(crate) memory: Option<MemoryPlan>,
}

impl TrainingStats {
    pub(crate) fn new(progress: &Progress, facts: Facts) -> Self {
        let sum = |count: fn(&EpochTotals) -> usize| progress.epochs.iter().map(count).sum();
        let best = |best: Evaluation| BestEvaluation {
            step: best.step,
            epoch: best.epoch,
            eval_loss: best.loss,
            checkpoint: facts.best_checkpoint,
        };
        Self {
            completed: true,
            epochs: progress
                .epochs
                .iter()
                .enumerate()
                .map(|(i, totals)| EpochStats::new(i + 1, totals))
                .collect(),
            steps: progress.step,
            total_steps: facts.total_steps,
            skipped_steps: sum(|epoch| epoch.skipped_steps),
            stopped_early: progress.stopped_early,
            best_evaluation: progress.best_evaluation.map(best),
            final_model: facts.final_model,
            final_model_step: facts.final_model_step,
            trainable_parameters: facts.trainable_parameters,
            total_parameters: facts.total_parameters,
            tokens: sum(|epoch| epoch.tokens),
            target_tokens: sum(|epoch| epoch.target_tokens),
            train_seconds: progress.epochs.iter().map(|epoch| epoch.seconds).sum(),
            peak_memory_mb: crate::memory::peak_memory_mb(),
            predicted_memory_mb: facts.memory.map(|plan| mib(plan.estimate.peak())),
            recomputed_blocks: facts.memory.map(|plan| plan.recomputed),
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl EpochStats {
    fn new(epoch: usize, totals: &EpochTotals) -> Self {
        Self {
            epoch,
            train_loss: totals.train_loss(),
            val_loss: totals.evaluation.map(|evaluation| evaluation.loss),
            learning_rate: totals.learning_rate,
            steps: totals.steps,
            skipped_steps: totals.skipped_steps,
            tokens: totals.tokens,
            target_tokens: totals.target_tokens,
            seconds: totals.seconds,
            tokens_per_s: totals.tokens as f64 / totals.seconds,
        }
    }
}
