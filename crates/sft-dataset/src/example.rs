//! Records to examples, all of them, with an account of what was cut.

use crate::records::capped;
use crate::shown;
use crate::{DatasetError, Encoded, PromptTokenizer, Record};
use rayon::prelude::*;
use std::path::Path;

/// One training example: prompt, summary, EOS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// All token ids, from BOS (if the model has one) to EOS.
    pub ids: Vec<u32>,
    /// Where in `ids` the summary starts: this token and all after it are targets.
    pub first_target: usize,
    /// The example's stable number: the position of its record among those encoded, whether or
    /// not a record before it was dropped.
    pub index: u64,
    /// The 1-based line of its row in the CSV file.
    pub line: u64,
}

/// The examples of a set of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedSet {
    /// The examples, in the order of their records.
    pub examples: Vec<Example>,
    /// What was cut and dropped, and the lengths.
    pub report: EncodeReport,
}

/// What encoding cut and dropped, and how long the examples are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodeReport {
    /// Rows whose note was shortened.
    pub truncated: Vec<Truncated>,
    /// Rows left out because template, summary and EOS alone exceed the limit.
    pub dropped: Vec<TooLong>,
    /// Tokens an example, BOS and EOS included.
    pub tokens: LengthStats,
    /// Targets an example: the summary's tokens and EOS.
    pub targets: LengthStats,
    /// The limit.
    pub max_length: usize,
}

/// A row whose note was shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The 1-based line of the row.
    pub line: u64,
    /// Tokens cut from the end of the note.
    pub tokens_cut: usize,
}

/// A row that does not fit even with an empty note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The 1-based line of the row.
    pub line: u64,
    /// The row's id.
    pub id: String,
    /// Tokens with an empty note.
    pub tokens: usize,
}

/// The distribution of a length, by nearest rank. All 0 for no examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LengthStats {
    /// The shortest.
    pub min: usize,
    /// The median.
    pub p50: usize,
    /// Nine of ten are at most this long.
    pub p90: usize,
    /// The longest.
    pub max: usize,
    /// The sum.
    pub total: usize,
}

/// Encodes records for training or evaluation, in order.
///
/// # Errors
/// If the template's end can fuse with a summary ([`PromptTokenizer::check_border`]), if a row does
/// ([`DatasetError::RowFuses`]), or if there are records and none fits
/// ([`DatasetError::NothingFits`]). The error of a row is in a [`DatasetError::AtRow`], which names
/// `path`, the file that the records are from.
pub fn encode(
    path: &Path,
    records: &[Record],
    tokenizer: &PromptTokenizer,
    max_length: usize,
) -> Result<EncodedSet, DatasetError> {
    tokenizer.check_border()?;
    let mut examples = Vec::with_capacity(records.len());
    let mut report = EncodeReport { max_length, ..EncodeReport::default() };
    let encoded: Vec<_> = records
        .par_iter()
        .enumerate()
        .map(|(index, record)| tokenizer.example(record, index as u64, max_length))
        .collect();
    for (record, encoded) in records.iter().zip(encoded) {
        let line = record.line;
        let at_row = |source| DatasetError::AtRow {
            path: path.into(),
            line,
            id: record.id.clone(),
            source: Box::new(source),
        };
        match encoded.map_err(at_row)? {
            Encoded::Fits { example, tokens_cut } => {
                if tokens_cut > 0 {
                    report.truncated.push(Truncated { line, tokens_cut });
                }
                examples.push(example);
            }
            Encoded::TooLong { tokens } => {
                report.dropped.push(TooLong { line, id: record.id.clone(), tokens });
            }
        }
    }
    if let (true, Some(shortest)) =
        (examples.is_empty(), report.dropped.iter().map(|row| row.tokens).min())
    {
        let (path, rows) = (path.into(), records.len());
        return Err(DatasetError::NothingFits { path, rows, max_length, shortest });
    }
    report.tokens = LengthStats::of(examples.iter().map(|example| example.ids.len()));
    report.targets =
        LengthStats::of(examples.iter().map(|example| example.ids.len() - example.first_target));
    tracing::debug!(examples = examples.len(), tokens = report.tokens.total, "encoded");
    Ok(EncodedSet { examples, report })
}

impl LengthStats {
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        let mut sorted: Vec<usize> = lengths.collect();
        sorted.sort_unstable();
        let rank = |percent: usize| (percent * sorted.len()).div_ceil(100).max(1) - 1;
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        Self {
            min: at(0),
            p50: at(rank(50)),
            p90: at(rank(90)),
            max: at(rank(100)),
            total: sorted.iter().sum(),
        }
    }
}

impl EncodeReport {
    /// The report as lines to print. They show ids and line numbers, never text of a note.
    pub fn lines(&self) -> Vec<String> {
        let row = |name: &str, s: &LengthStats| {
            format!(
                "{name}: min {}, p50 {}, p90 {}, max {}, total {}",
                s.min, s.p50, s.p90, s.max, s.total
            )
        };
        let mut lines =
            vec![row("tokens a row", &self.tokens), row("targets a row", &self.targets)];
        if !self.truncated.is_empty() {
            let cut: usize = self.truncated.iter().map(|row| row.tokens_cut).sum();
            let rows = self.truncated.iter().map(|row| format!("line {}", row.line));
            lines.push(format!(
                "{} notes shortened to fit {} tokens, {cut} tokens cut: {}",
                self.truncated.len(),
                self.max_length,
                capped(rows)
            ));
        }
        if !self.dropped.is_empty() {
            let rows = self.dropped.iter().map(|row| {
                format!("line {} (id {}, {} tokens)", row.line, shown::id(&row.id), row.tokens)
            });
            lines.push(format!(
                "{} rows dropped, longer than {} tokens even with an empty note: {}",
                self.dropped.len(),
                self.max_length,
                capped(rows)
            ));
        }
        lines
    }
}
