//! Records: the rows of a CSV file, trimmed and counted.

use super::report::{CsvReport, Dropped};
use super::table::Table;
use crate::DatasetError;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The label of the rows that are trained on.
const FACTUAL: &str = "factual";

const NEEDED: [&str; 3] = ["clinical_note", "model_summary", "label"];
const KNOWN: [&str; 5] = ["id", "clinical_note", "model_summary", "label", "hallucination_type"];

/// One row with a note and a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The 1-based line where the row starts in its file.
    pub line: u64,
    /// The row's `id`; the line number if it has none.
    pub id: String,
    /// The note, trimmed; never empty.
    pub clinical_note: String,
    /// The summary, trimmed; never empty.
    pub model_summary: String,
    /// The label, trimmed and case-folded.
    pub label: String,
    /// The kind of hallucination, trimmed; empty where the file does not say.
    pub hallucination_type: String,
}

impl Record {
    /// Whether its label is `factual`: training uses these rows alone.
    pub fn is_factual(&self) -> bool {
        self.label == FACTUAL
    }
}

/// The rows of one CSV file, of every label, in file order.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// Every row that has a note and a summary.
    pub records: Vec<Record>,
    /// What was counted, dropped and found twice.
    pub report: CsvReport,
}

/// A row as it stands in the file. Columns that are not named here are ignored.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Option<&'a str>,
    clinical_note: &'a str,
    model_summary: &'a str,
    label: &'a str,
    #[serde(borrow)]
    hallucination_type: Option<&'a str>,
}

impl Dataset {
    /// Reads a CSV file with the columns `clinical_note`, `model_summary` and `label`, and
    /// optionally `id` and `hallucination_type`, in any order and among any others.
    ///
    /// # Errors
    /// If the file cannot be read, is not UTF-8, lacks a column, has no row, has a row with
    /// another number of fields than its header, or a quoted field that is not closed or has
    /// a quote that is not doubled.
    pub fn read_csv(path: &Path) -> Result<Self, DatasetError> {
        let table = Table::read(path, &NEEDED, &KNOWN)?;
        let mut records = Vec::with_capacity(table.rows.len());
        let mut report = CsvReport { rows: table.rows.len(), ..CsvReport::default() };
        for (line, fields) in &table.rows {
            let line = *line;
            let row: Row<'_> = fields
                .deserialize(Some(&table.header))
                .map_err(|source| DatasetError::Row { path: path.into(), line, source })?;
            let record = record(line, &row);
            *report.labels.entry(record.label.clone()).or_default() += 1;
            let (empty_note, empty_summary) =
                (record.clinical_note.is_empty(), record.model_summary.is_empty());
            if empty_note || empty_summary {
                report.dropped.push(Dropped { line, id: record.id, empty_note, empty_summary });
            } else {
                records.push(record);
            }
        }
        report.find_duplicates(&records);
        tracing::debug!(path = %path.display(), rows = report.rows, kept = records.len(), "read CSV");
        Ok(Self { path: path.into(), records, report })
    }

    /// The rows that are trained on: those with the label `factual`.
    pub fn factual(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.is_factual())
    }

    /// The factual rows, in file order.
    ///
    /// # Errors
    /// [`DatasetError::NoFactualRows`] with the labels seen if there is none, and
    /// [`DatasetError::OnlyEmptyRows`] if all of them lack a note or a summary.
    pub fn factual_records(&self) -> Result<Vec<Record>, DatasetError> {
        let records: Vec<Record> = self.factual().cloned().collect();
        if records.is_empty() {
            let (path, labels) = (self.path.clone(), self.report.labels.clone());
            return Err(match labels.get(FACTUAL) {
                Some(&rows) => DatasetError::OnlyEmptyRows { path, rows },
                None => DatasetError::NoFactualRows { path, labels },
            });
        }
        Ok(records)
    }
}

fn record(line: u64, row: &Row<'_>) -> Record {
    let id = row.id.map_or("", str::trim);
    Record {
        line,
        id: if id.is_empty() { line.to_string() } else { id.to_owned() },
        clinical_note: row.clinical_note.trim().to_owned(),
        model_summary: row.model_summary.trim().to_owned(),
        label: row.label.trim().to_lowercase(),
        hallucination_type: row.hallucination_type.map_or("", str::trim).to_owned(),
    }
}

/// A row of a CSV file of notes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// The 1-based line where the row starts.
    pub line: u64,
    /// The `id` column, where there is one.
    pub id: Option<String>,
    /// The note, trimmed; it may be empty, so that results can be matched to rows.
    pub clinical_note: String,
}

/// The column `clinical_note` of a CSV file, and `id` where it has one, with the checks of
/// [`Dataset::read_csv`].
///
/// # Errors
/// As [`Dataset::read_csv`].
pub fn read_notes(path: &Path) -> Result<Vec<NoteRow>, DatasetError> {
    let (note, id) = ("clinical_note", "id");
    let table = Table::read(path, &[note], &[note, id])?;
    let column = |name| table.header.iter().position(|column| column == name);
    let (note, id) = (column(note).unwrap_or_default(), column(id));
    let row = |(line, fields): &(u64, csv::StringRecord)| NoteRow {
        line: *line,
        id: id.map(|id| fields[id].trim().to_owned()),
        clinical_note: fields[note].trim().to_owned(),
    };
    Ok(table.rows.iter().map(row).collect())
}

/// A row of a CSV file of notes with summaries, whatever their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    /// The 1-based line where the row starts.
    pub line: u64,
    /// The `id` column, where there is one.
    pub id: Option<String>,
    /// The note, trimmed; it may be empty.
    pub clinical_note: String,
    /// The summary, byte for byte as in the file, so that places in it can be told; it may be empty.
    pub model_summary: String,
}

/// The columns `clinical_note` and `model_summary` of a CSV file, and `id` where it has one, with
/// the checks of [`Dataset::read_csv`]. No label is needed.
///
/// # Errors
/// As [`Dataset::read_csv`].
pub fn read_summaries(path: &Path) -> Result<Vec<SummaryRow>, DatasetError> {
    let (note, summary, id) = ("clinical_note", "model_summary", "id");
    let table = Table::read(path, &[note, summary], &[note, summary, id])?;
    let column = |name| table.header.iter().position(|column| column == name);
    let (note, summary) = (column(note).unwrap_or_default(), column(summary).unwrap_or_default());
    let id = column(id);
    let row = |(line, fields): &(u64, csv::StringRecord)| SummaryRow {
        line: *line,
        id: id.map(|id| fields[id].trim().to_owned()),
        clinical_note: fields[note].trim().to_owned(),
        model_summary: fields[summary].to_owned(),
    };
    Ok(table.rows.iter().map(row).collect())
}
