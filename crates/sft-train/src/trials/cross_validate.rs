//! `--cross_validate K`: what can be expected of notes that were not trained on, from all rows.

use std::time::Instant;

use sft_dataset::{Example, PromptTokenizer, folds_by_note};
use sft_eval::{Recitation, student_mean};
use sft_inference::{GenerationParams, Generator};
use sft_model::Decoder;

use super::{Losses, Subject, seconds, stopped};
use crate::console;
use crate::error::CliError;

/// Held-out notes of each fold that are summarised, at most.
const PROBED: usize = 20;
/// How far the mean validation loss may end above its lowest.
const RISE: f64 = 1.02;

/// Trains on all folds but one, in turn, and says how the losses on the other come out.
pub(crate) fn cross_validate(
    subject: &Subject<'_>,
    mut model: Decoder,
    folds: usize,
) -> Result<u8, CliError> {
    let started = Instant::now();
    let fold_of = folds_by_note(subject.records, folds, subject.settings.train.seed)?;
    let rows = subject.train.len();
    let bar = subject.bar(folds, rows - rows / folds, "folds");
    let (mut all, mut recited) = (Vec::new(), Vec::new());
    for fold in 0..folds {
        let held_out = |example: &Example| fold_of[example.index as usize] == fold;
        let (val, train): (Vec<Example>, Vec<Example>) =
            subject.train.iter().cloned().partition(held_out);
        if val.is_empty() || train.is_empty() {
            return Err(CliError::EmptyFold { fold: fold + 1, folds });
        }
        let (trained, held) = (train.len(), val.len());
        let probe = Probe::new(subject, &train, &val);
        let (after, losses) = subject.run(model, subject.trial(train, val), &bar)?;
        let Some(losses) = losses else { return Ok(stopped()) };
        model = probe.run(subject, after, &mut recited)?;
        bar.suspend(|| {
            console::result(format_args!(
                "Fold {}/{folds}: Train Loss {:.3}, Val Loss {:.3} ({trained} rows, {held} held out)",
                fold + 1,
                losses.last_train(),
                losses.last_val()
            ));
        });
        all.push(losses);
    }
    bar.finish_and_clear();
    let notes: std::collections::BTreeSet<&str> =
        subject.records.iter().map(|record| record.clinical_note.as_str()).collect();
    report(&all, &recited);
    console::status(format_args!(
        "{folds} folds of {rows} rows, {} notes: {}",
        notes.len(),
        seconds(started)
    ));
    Ok(0)
}

/// The lines behind the folds'.
fn report(all: &[Losses], recited: &[f64]) {
    let last: Vec<f64> = all.iter().map(Losses::last_val).collect();
    match student_mean(&last) {
        Some(mean) => console::result(format_args!(
            "Cross validation: Val Loss {:.3} (95 % interval {:.3} to {:.3})",
            mean.estimate, mean.low, mean.high
        )),
        None => console::result("Cross validation: a loss was not finite"),
    }
    let epochs = all.iter().map(|losses| losses.val.len()).min().unwrap_or_default();
    let mean = |epoch: usize| all.iter().map(|l| l.val[epoch]).sum::<f64>() / all.len() as f64;
    let means = Losses { train: Vec::new(), val: (0..epochs).map(mean).collect() };
    let by_epoch: Vec<String> = means.val.iter().map(|loss| format!("{loss:.3}")).collect();
    console::result(format_args!("Val Loss by epoch: {}", by_epoch.join(" ")));
    console::result(course(&means));
    if !recited.is_empty() {
        let share = recited.iter().sum::<f64>() / recited.len() as f64;
        let some = recited.iter().filter(|&&share| share > 0.0).count();
        console::result(format_args!(
            "Recited: {:.1} % of the words written for {} held-out notes (up to {PROBED} a fold) stand so in training summaries and not in the note ({some} summaries)",
            100.0 * share,
            recited.len()
        ));
    }
}

/// What the mean validation loss does over the epochs.
fn course(means: &Losses) -> String {
    let (best, epoch) = means.best();
    let (last, epochs) = (means.last_val(), means.val.len());
    if last > best * RISE {
        return format!(
            "Overfitting: the validation loss turns after epoch {epoch} of {epochs} ({best:.3}, {last:.3} at the end); \
             give --num_epochs {epoch}, or --early_stopping_patience 1"
        );
    }
    match means.val.len().checked_sub(2).map(|before| means.val[before]) {
        Some(before) if last < before / RISE => {
            "The validation loss is still falling at the end: more --num_epochs may help".to_owned()
        }
        Some(_) => "The validation loss is flat at the end, where the rate is near 0, too: twice the epochs tell whether more helps".to_owned(),
        None => "One epoch shows no course of the validation loss".to_owned(),
    }
}

/// Does a model recite training summaries for notes that it has not seen?
struct Probe {
    memory: Recitation,
    notes: Vec<String>,
}

impl Probe {
    fn new(subject: &Subject<'_>, train: &[Example], val: &[Example]) -> Self {
        let record = |example: &Example| &subject.records[example.index as usize];
        let memory = Recitation::new(train.iter().map(|e| record(e).model_summary.as_str()));
        let mut notes: Vec<String> = Vec::new();
        for note in val.iter().map(|example| &record(example).clinical_note) {
            if notes.len() < PROBED && !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        Self { memory, notes }
    }

    /// Summarises the notes; the model comes back.
    fn run(
        mut self,
        subject: &Subject<'_>,
        model: Decoder,
        recited: &mut Vec<f64>,
    ) -> Result<Decoder, CliError> {
        let prompts = PromptTokenizer::from_file(
            &subject.files.tokenizer_json,
            subject.tokenizer.template().clone(),
            subject.tokenizer.eos_id(),
        )?;
        let generator = Generator::new(model, prompts, subject.stop_ids.clone());
        self.notes.retain(|note| generator.check_note(0, note).is_ok());
        if !self.notes.is_empty() {
            let params = GenerationParams::default();
            let written = generator.generate(&self.notes, &params, &mut |_, _| ())?;
            recited.extend(
                self.notes
                    .iter()
                    .zip(&written)
                    .map(|(note, text)| self.memory.share(note, &text.generated_summary)),
            );
        }
        Ok(generator.into_decoder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_course_of_the_validation_loss_is_named() {
        let of = |val: &[f64]| course(&Losses { train: Vec::new(), val: val.to_vec() });
        assert!(
            of(&[1.0, 0.5, 0.8]).contains("turns after epoch 2 of 3 (0.500, 0.800 at the end)")
        );
        assert!(of(&[1.0, 0.5, 0.8]).contains("--num_epochs 2"));
        assert!(of(&[1.0, 0.8, 0.6]).contains("still falling"));
        assert!(of(&[1.0, 0.8, 0.799]).contains("flat"));
        assert!(of(&[1.0, 0.8, 0.81]).contains("flat"));
        assert!(of(&[1.0]).contains("One epoch"));
    }
}
