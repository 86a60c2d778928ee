//! Labelled summaries as token ids, ready to be scored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sft_dataset::{Dataset, DatasetError, Example, PromptTokenizer, encode};
use sft_model::{Decoder, LossSum};

use crate::evaluation::Scored;
use crate::{EvalError, Evaluation};

/// The rows of a CSV file that can be scored, tokenised once for any number of models.
pub struct EvalSet {
    path: PathBuf,
    rows: Vec<Row>,
    skipped: usize,
    shortened: usize,
}

/// One row of the file.
struct Row {
    example: Example,
    factual: bool,
    hallucination_type: String,
    /// Equal for rows with equal notes.
    note: usize,
}

impl EvalSet {
    /// Tokenises the rows of every label exactly as training does: a row longer than `max_length`
    /// tokens loses the end of its note. A row without a note or a summary, or too long even with
    /// an empty note, is skipped and counted.
    ///
    /// # Errors
    /// [`EvalError::NoRows`], [`EvalError::NothingFits`], and [`EvalError::Encode`] for a template
    /// or a row that fuses.
    pub fn new(
        dataset: &Dataset,
        prompts: &PromptTokenizer,
        max_length: usize,
    ) -> Result<Self, EvalError> {
        let (path, records) = (dataset.path.clone(), &dataset.records);
        if records.is_empty() {
            return Err(EvalError::NoRows { path });
        }
        let encoded =
            encode(&path, records, prompts, max_length).map_err(|source| match source {
                DatasetError::NothingFits { max_length, shortest, .. } => {
                    EvalError::NothingFits { path: path.clone(), max_length, shortest }
                }
                source => EvalError::Encode(source),
            })?;
        let (empty, long) = (&dataset.report.dropped, &encoded.report.dropped);
        let too_long = format!("more than {max_length} tokens even with an empty note");
        warn_skipped(&path, "no note or no summary", empty.iter().map(|row| row.line));
        warn_skipped(&path, &too_long, long.iter().map(|row| row.line));
        let cut = &encoded.report.truncated;
        let shortened =
            format!("more than {max_length} tokens, scored with the note shortened to fit");
        if let Some(row) = cut.first() {
            tracing::warn!(
                "{}:{}: {shortened} ({} such rows)",
                path.display(),
                row.line,
                cut.len()
            );
        }
        let shortened = cut.len();
        let mut notes: BTreeMap<&str, usize> = BTreeMap::new();
        let rows = encoded.examples.into_iter().map(|example| {
            let record = &records[example.index as usize];
            let next = notes.len();
            Row {
                factual: record.is_factual(),
                hallucination_type: record.hallucination_type.clone(),
                note: *notes.entry(&record.clinical_note).or_insert(next),
                example,
            }
        });
        let rows: Vec<Row> = rows.collect();
        let skipped = empty.len() + long.len();
        Ok(Self { path, rows, skipped, shortened })
    }

    /// Rows to score; never 0.
    #[allow(clippy::len_without_is_empty)] // it would always be false
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The place of each row's record in the dataset.
    pub fn records(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.example.index as usize)
    }

    /// Scores every row with `model` and sums up; `on_row(done, total)` is called after each. What
    /// comes before a summary is computed once for all summaries of a note.
    ///
    /// # Errors
    /// When the model fails on a row, or gives one a loss that is not finite.
    pub fn evaluate(
        &self,
        model: &Decoder,
        on_row: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, EvalError> {
        Ok(self.evaluation(&self.score(model, on_row)?))
    }

    /// The loss of every row, in their order.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn score(
        &self,
        model: &Decoder,
        on_row: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<LossSum>, EvalError> {
        let mut prompts: BTreeMap<&[u32], Vec<usize>> = BTreeMap::new();
        for (index, row) in self.rows.iter().enumerate() {
            prompts.entry(&row.example.ids[..row.example.first_target]).or_default().push(index);
        }
        // In the order of the file, as far as it goes.
        let mut prompts: Vec<_> = prompts.into_iter().collect();
        prompts.sort_by_key(|(_, rows)| rows[0]);
        let (mut losses, mut done) = (vec![LossSum::default(); self.rows.len()], 0);
        for (prompt, rows) in prompts {
            let line = self.rows[rows[0]].example.line;
            let summaries: Vec<&[u32]> =
                rows.iter().map(|&row| &self.rows[row].example.ids[prompt.len()..]).collect();
            let found = model.continuation_losses(prompt, &summaries).map_err(|source| {
                EvalError::Score { path: self.path.clone(), line, source: Box::new(source) }
            })?;
            for (&row, loss) in rows.iter().zip(found) {
                if !loss.nll.is_finite() {
                    let line = self.rows[row].example.line;
                    return Err(EvalError::NotFinite { path: self.path.clone(), line });
                }
                losses[row] = loss;
                done += 1;
                on_row(done, self.rows.len());
            }
        }
        Ok(losses)
    }

    /// Sums up the losses of all rows.
    pub fn evaluation(&self, losses: &[LossSum]) -> Evaluation {
        let scored: Vec<Scored<'_>> = self
            .rows
            .iter()
            .zip(losses)
            .map(|(row, loss)| Scored {
                nll: loss.nll,
                targets: loss.targets,
                factual: row.factual,
                hallucination_type: &row.hallucination_type,
                note: row.note,
            })
            .collect();
        Evaluation { shortened: self.shortened, ..Evaluation::new(&scored, self.skipped) }
    }
}

/// One line for any number of rows.
fn warn_skipped(path: &Path, reason: &str, mut lines: impl ExactSizeIterator<Item = u64>) {
    let rows = lines.len();
    if let Some(first) = lines.next() {
        tracing::warn!("{}:{first}: {reason}: skipped ({rows} such rows)", path.display());
    }
}
