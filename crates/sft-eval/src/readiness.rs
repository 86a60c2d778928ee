//! Is a model ready for preference training (Stage B), and would that help? Each question with what
//! was measured.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{Evaluation, ModelReport, SummaryFigures};

/// Fewer steps show no course.
const STEPS: usize = 30;
/// Fewer notes show no share.
const NOTES: usize = 10;
/// A validation loss that falls by more than this in the last epoch has not converged.
const FALL: f64 = 0.05;
/// How far the last validation loss may be above the best one.
const RISE: f64 = 0.02;
/// Shares of summaries that end, and that have the right form, at least.
const MOST: f64 = 0.95;
/// Share of repeated runs of words, at most.
const REPEATED: f64 = 0.02;
/// Preference pairs in all, at least, ...
const PAIRS: usize = 50;
/// ... and of each type that is to be learnt.
const PAIRS_OF_A_TYPE: usize = 10;
/// Types that are named, and the longest name: the column may hold anything.
const TYPES: usize = 20;
/// See [`TYPES`].
const LONGEST: usize = 40;
/// Where nearly all summaries are grounded and nearly all pairs ordered, there is little to learn.
const GROUNDED: f64 = 0.98;
/// See [`GROUNDED`].
const ORDERED: f64 = 0.98;

/// Losses of a run, epoch by epoch: what `training_stats.json` has of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct TrainingCurve {
    /// In order.
    pub epochs: Vec<EpochLoss>,
    /// Steps without an update because loss or gradient was not finite.
    #[serde(default)]
    pub skipped_steps: usize,
    /// Which weights the final model has: `best evaluation` after early stopping.
    #[serde(default)]
    pub final_model: String,
}

impl TrainingCurve {
    /// Of the complete run in a folder.
    pub fn read(run: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(run.join("training_stats.json")).ok()?).ok()
    }
}

/// Losses of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct EpochLoss {
    /// Of its steps.
    pub train_loss: f64,
    /// At its end.
    pub val_loss: Option<f64>,
    /// Optimizer steps.
    #[serde(default)]
    pub steps: usize,
}

/// All that the questions are answered from; what is not there leaves its question open.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Of the training run.
    pub curve: Option<&'a TrainingCurve>,
    /// Of the fine-tuned model's summaries.
    pub summaries: Option<&'a SummaryFigures>,
    /// Of the fine-tuned model on labelled rows.
    pub scores: Option<&'a Evaluation>,
    /// Preference pairs by type.
    pub pairs: Option<&'a BTreeMap<String, usize>>,
}

/// The answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// One for each question.
    pub checks: Vec<Check>,
    /// What follows from them.
    pub verdict: Verdict,
    /// Why, a reason each.
    pub reasons: Vec<String>,
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is asked.
    pub name: String,
    /// The answer.
    pub status: Status,
    /// What was measured.
    pub measured: String,
    /// What that means, and what to do about it.
    pub why: String,
}

/// The answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not so.
    Failed,
    /// Nothing was measured.
    Unknown,
}

/// Whether to go on to preference training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// Not yet, or not at all.
    Hold,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proceed => "PROCEED",
            Self::Hold => "HOLD",
        }
    }
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl<'a> Evidence<'a> {
    /// From a model's report.
    pub fn of(report: &'a ModelReport) -> Self {
        Self {
            summaries: report.summaries.as_ref(),
            scores: Some(&report.scores),
            ..Self::default()
        }
    }
}

impl Readiness {
    /// Answers each question from the evidence.
    ///
    /// PROCEED needs every question answered with yes. That the model hallucinates is no fault here: it is what
    /// preference training is for.
    pub fn new(evidence: &Evidence<'_>) -> Self {
        let checks = vec![
            converged(evidence.curve),
            coherent(evidence.summaries, evidence.scores),
            in_format(evidence.summaries),
            something_to_learn(evidence.summaries, evidence.scores),
            enough_pairs(evidence.pairs),
        ];
        let reasons: Vec<String> = checks
            .iter()
            .filter(|check| check.status != Status::Passed)
            .map(|check| format!("{}: {}", check.name, check.why))
            .collect();
        let verdict = if reasons.is_empty() { Verdict::Proceed } else { Verdict::Hold };
        Self { checks, verdict, reasons }
    }
}

/// The checklist, a line a question, and what follows from it.
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Ready for preference training (Stage B)?")?;
        for Check { name, status, measured, why } in &self.checks {
            let mut why = why.chars();
            let first = why.next().into_iter().flat_map(char::to_uppercase);
            let why: String = first.chain(why).collect();
            writeln!(f, "  {:<8}{name}: {measured}. {why}", status.name())?;
        }
        f.write_str(self.verdict.name())
    }
}

fn check(name: &str, holds: Option<bool>, measured: String, why: &str) -> Check {
    let status = match holds {
        Some(true) => Status::Passed,
        Some(false) => Status::Failed,
        None => Status::Unknown,
    };
    Check { name: name.into(), status, measured, why: why.into() }
}

fn unknown(name: &str, why: &str) -> Check {
    check(name, None, "not measured".into(), why)
}

/// Of a share that looks good.
const FEW_NOTES: &str = "fewer than 10 notes show no share; run sft-infer --evaluate on more";

/// Did the loss fall, and stay down?
fn converged(curve: Option<&TrainingCurve>) -> Check {
    const NAME: &str = "loss converged smoothly";
    let epochs = curve.map(|curve| curve.epochs.as_slice()).unwrap_or_default();
    let (Some(curve), Some(first), Some(last)) = (curve, epochs.first(), epochs.last()) else {
        return unknown(
            NAME,
            "there is no training_stats.json beside the adapter; train to the end",
        );
    };
    if epochs.len() < 2 {
        return check(
            NAME,
            None,
            format!("train loss {:.3} in one epoch", last.train_loss),
            "one epoch shows no course; train for two or more",
        );
    }
    let steps: usize = epochs.iter().map(|epoch| epoch.steps).sum();
    if steps < STEPS {
        return check(
            NAME,
            None,
            format!(
                "train loss {:.3} to {:.3} in {steps} steps",
                first.train_loss, last.train_loss
            ),
            "fewer than 30 steps show no course; more epochs, or a smaller --batch_size",
        );
    }
    let finite = epochs.iter().all(|epoch| epoch.train_loss.is_finite());
    let falls = last.train_loss < first.train_loss;
    let jump = epochs.windows(2).any(|pair| pair[1].train_loss > 1.1 * pair[0].train_loss);
    let validation: Vec<f64> = epochs.iter().filter_map(|epoch| epoch.val_loss).collect();
    let mut measured =
        vec![format!("train loss {:.3} to {:.3}", first.train_loss, last.train_loss)];
    if let (Some(first), Some(last)) = (validation.first(), validation.last()) {
        measured.push(format!("validation {first:.3} to {last:.3}"));
    }
    if curve.skipped_steps > 0 {
        measured.push(format!("{} steps skipped", curve.skipped_steps));
    }
    let measured = measured.join(", ");
    if !finite || !falls || jump || curve.skipped_steps > 0 {
        let why = "the loss rose, jumped or was not finite on the way; lower --learning_rate";
        return check(NAME, Some(false), measured, why);
    }
    let best = validation.iter().copied().fold(f64::INFINITY, f64::min);
    let before = validation.len().checked_sub(2).map(|at| validation[at]);
    match validation.last() {
        None => check(NAME, None, measured, "no validation data: give --val_csv or --val_split"),
        Some(&end) if end > best * (1.0 + RISE) && curve.final_model != "best evaluation" => {
            let why = "the validation loss turned up again (overfitting); fewer epochs, or --early_stopping_patience 1";
            check(NAME, Some(false), measured, why)
        }
        Some(&end) if before.is_some_and(|before| end < before * (1.0 - FALL)) => {
            let why = "the validation loss was still falling in the last epoch; more epochs";
            check(NAME, Some(false), measured, why)
        }
        Some(_) => check(
            NAME,
            Some(true),
            measured,
            "both losses fell, and the validation loss stayed down",
        ),
    }
}

/// Does the text end, not repeat itself, and surprise nobody?
fn coherent(summaries: Option<&SummaryFigures>, scores: Option<&Evaluation>) -> Check {
    const NAME: &str = "text coherent";
    let ended = summaries.and_then(|figures| figures.eos_rate);
    let repeated = summaries.and_then(|figures| figures.repetition);
    let (Some(ended), Some(repeated)) = (ended, repeated) else {
        return unknown(NAME, "no summary was generated; run sft-infer --evaluate");
    };
    let notes = summaries.map_or(0, |figures| figures.notes);
    let mut measured = vec![format!(
        "of {notes} summaries {:.1} % end by themselves, {:.1} % of runs of words repeated",
        100.0 * ended.estimate,
        100.0 * repeated.estimate
    )];
    let perplexity = scores.and_then(|scores| scores.perplexity_factual);
    if let Some(perplexity) = perplexity {
        measured.push(format!("perplexity {perplexity:.2} on factual summaries"));
    }
    let measured = measured.join(", ");
    let holds = ended.estimate >= MOST && repeated.estimate <= REPEATED;
    if holds && notes < NOTES {
        return check(NAME, None, measured, FEW_NOTES);
    }
    let why = if holds {
        "summaries end and do not repeat themselves"
    } else if ended.estimate < MOST {
        "summaries run on to the limit; more rows or epochs, or a higher --max_new_tokens if it is too low"
    } else {
        "summaries repeat themselves; more rows, or fewer epochs where the validation loss turns"
    };
    check(NAME, Some(holds), measured, why)
}

/// Is it a summary, and nothing of the prompt?
fn in_format(summaries: Option<&SummaryFigures>) -> Check {
    const NAME: &str = "output format";
    let Some(share) = summaries.and_then(|figures| figures.in_format) else {
        return unknown(NAME, "no summary was generated; run sft-infer --evaluate");
    };
    let holds = share.estimate >= MOST;
    let notes = summaries.map_or(0, |figures| figures.notes);
    let measured =
        format!("{:.1} % of {notes} summaries as the references", 100.0 * share.estimate);
    if holds && notes < NOTES {
        return check(NAME, None, measured, FEW_NOTES);
    }
    let why = if holds {
        "summaries have the form of the references and nothing of the prompt"
    } else {
        "summaries are empty, repeat parts of the prompt, or have more lines than the references; train longer, and \
         check the prompt with --dry_run"
    };
    check(NAME, Some(holds), measured, why)
}

/// Are there hallucinations left that preference training could unlearn?
fn something_to_learn(summaries: Option<&SummaryFigures>, scores: Option<&Evaluation>) -> Check {
    const NAME: &str = "something left to unlearn";
    let grounded = summaries.and_then(|figures| figures.grounded);
    let ordered = scores.and_then(|scores| scores.auroc_paired.or(scores.auroc));
    let mut measured = Vec::new();
    if let Some(figures) = summaries
        && let Some(grounded) = grounded
    {
        let facts: usize = figures.unsupported.values().sum();
        measured.push(format!(
            "{:.1} % of {} summaries grounded, {facts} of {} facts unsupported",
            100.0 * grounded.estimate,
            figures.notes,
            figures.facts
        ));
    }
    if let Some(ordered) = ordered {
        measured.push(format!(
            "{:.1} % of hallucinated summaries less likely than the factual one",
            100.0 * ordered
        ));
    }
    if measured.is_empty() {
        return unknown(
            NAME,
            "neither summaries nor labelled rows were looked at; run sft-infer --evaluate",
        );
    }
    let measured = measured.join("; ");
    let says_more = grounded.is_some_and(|share| share.estimate < GROUNDED);
    let confuses = ordered.is_some_and(|share| share < ORDERED);
    if says_more || confuses {
        let why = "there is something for preference training to unlearn";
        return check(NAME, Some(true), measured, why);
    }
    if grounded.is_none() || summaries.is_some_and(|figures| figures.notes < NOTES) {
        let why = "the model tells factual from hallucinated text; what it writes itself was not looked at enough: run \
                   sft-infer --evaluate";
        return check(NAME, None, measured, why);
    }
    let why =
        "the model says little that its notes do not; preference training has nothing to teach";
    check(NAME, Some(false), measured, why)
}

/// Is there enough to learn from?
fn enough_pairs(pairs: Option<&BTreeMap<String, usize>>) -> Check {
    const NAME: &str = "enough preference pairs";
    let Some(pairs) = pairs else {
        return unknown(NAME, "no labelled rows were looked at");
    };
    let total: usize = pairs.values().sum();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in pairs {
        let name = match name.chars().count() {
            0 => "without a type",
            1..=LONGEST if name.contains(char::is_control) => "(other)",
            1..=LONGEST if named.len() < TYPES || named.contains_key(name.as_str()) => name,
            _ => "(other)",
        };
        *named.entry(name).or_default() += count;
    }
    let types: Vec<String> = named.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let few: Vec<&str> = named
        .iter()
        .filter(|(_, count)| **count < PAIRS_OF_A_TYPE)
        .map(|(name, _)| *name)
        .collect();
    let measured = if types.is_empty() {
        "no pair".to_owned()
    } else {
        format!("{total} pairs: {}", types.join(", "))
    };
    if total < PAIRS {
        let why = format!(
            "fewer than {PAIRS} notes with both a factual and a hallucinated summary; label more, or add the model's \
             own unsupported summaries (--export_preferences)"
        );
        return check(NAME, Some(false), measured, &why);
    }
    if !few.is_empty() {
        let why = format!("fewer than {PAIRS_OF_A_TYPE} pairs of: {}", few.join(", "));
        return check(NAME, Some(false), measured, &why);
    }
    check(NAME, Some(true), measured, "each type has enough pairs of one note")
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
