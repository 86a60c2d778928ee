//! Labelled summaries as token ids, ready to be scored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sft_dataset::{Batch, Dataset, DatasetError, Example, PromptTokenizer, encode};
use sft_model::{Decoder, LossSum, Packed};

use crate::evaluation::Scored;
use crate::{EvalError, Evaluation};

/// The rows of a CSV file that can be scored, tokenised once for any number of models.
pub struct EvalSet {
    path: PathBuf,
    rows: Vec<Row>,
    skipped: usize,
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
        Ok(Self { path, rows, skipped })
    }

    /// Rows to score; never 0.
    #[allow(clippy::len_without_is_empty)] // it would always be false
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Scores every row with `model` and sums up; `on_row(done, total)` is called after each.
    ///
    /// # Errors
    /// When the model fails on a row, or gives one a loss that is not finite.
    pub fn evaluate(
        &self,
        model: &Decoder,
        on_row: &mut dyn FnMut(usize, usize),
    ) -> Result<Evaluation, EvalError> {
        let mut scored = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let (path, line) = (&self.path, row.example.line);
            let loss = loss(model, &row.example).map_err(|source| EvalError::Score {
                path: path.clone(),
                line,
                source: Box::new(source),
            })?;
            if !loss.nll.is_finite() {
                return Err(EvalError::NotFinite { path: path.clone(), line });
            }
            scored.push(Scored {
                nll: loss.nll,
                targets: loss.targets,
                factual: row.factual,
                hallucination_type: &row.hallucination_type,
                note: row.note,
            });
            on_row(scored.len(), self.rows.len());
        }
        Ok(Evaluation::new(&scored, self.skipped))
    }
}

/// One line for any number of rows.
fn warn_skipped(path: &Path, reason: &str, mut lines: impl ExactSizeIterator<Item = u64>) {
    let rows = lines.len();
    if let Some(first) = lines.next() {
        tracing::warn!("{}:{first}: {reason}: skipped ({rows} such rows)", path.display());
    }
}

/// The loss of one example alone: the sums of a row must not depend on its neighbours.
fn loss(model: &Decoder, example: &Example) -> sft_model::Result<LossSum> {
    let batch = Batch::pack([example]);
    let input = Packed {
        ids: &batch.ids,
        positions: &batch.positions,
        cu_seqlens: &batch.cu_seqlens,
        example: &batch.example,
    };
    let targets: Vec<(u32, u32)> = batch.targets.iter().map(|t| (t.row, t.label)).collect();
    model.loss(&input, &targets)
}
