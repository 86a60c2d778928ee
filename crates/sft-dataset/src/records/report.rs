//! What a CSV file held, in numbers and in lines for people.

use super::dataset::Record;
use crate::shown;
use std::collections::BTreeMap;

/// How many rows a printed line lists; the data has them all.
const LISTED: usize = 10;

/// What was counted, dropped and found twice in a CSV file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvReport {
    /// Rows in the file, the dropped ones included.
    pub rows: usize,
    /// Every distinct label, trimmed and case-folded, with its count over all rows.
    pub labels: BTreeMap<String, usize>,
    /// Rows without a note or without a summary, in file order.
    pub dropped: Vec<Dropped>,
    /// Ids that several kept rows have.
    pub duplicate_ids: Vec<DuplicateId>,
    /// The lines of kept rows that have the same note and the same summary.
    pub duplicate_pairs: Vec<Vec<u64>>,
}

/// A row that was dropped because there is nothing to learn from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The 1-based line where the row starts.
    pub line: u64,
    /// The row's id.
    pub id: String,
    /// Whether the note is empty.
    pub empty_note: bool,
    /// Whether the summary is empty.
    pub empty_summary: bool,
}

/// An id that several rows have. They are all kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateId {
    /// The id.
    pub id: String,
    /// The lines where its rows start.
    pub lines: Vec<u64>,
}

impl CsvReport {
    pub(super) fn find_duplicates(&mut self, records: &[Record]) {
        let mut ids: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut pairs: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
        for record in records {
            ids.entry(&record.id).or_default().push(record.line);
            let pair = (record.clinical_note.as_str(), record.model_summary.as_str());
            pairs.entry(pair).or_default().push(record.line);
        }
        self.duplicate_ids = ids
            .into_iter()
            .filter(|(_, lines)| lines.len() > 1)
            .map(|(id, lines)| DuplicateId { id: id.to_owned(), lines })
            .collect();
        self.duplicate_pairs = pairs.into_values().filter(|lines| lines.len() > 1).collect();
        self.duplicate_ids.sort_by_key(|duplicate| duplicate.lines[0]);
        self.duplicate_pairs.sort_by_key(|lines| lines[0]);
    }

    /// The report as lines to print. They show ids and line numbers, never text of a note.
    pub fn lines(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{} rows; labels: {}", self.rows, shown::labels(&self.labels))];
        if !self.dropped.is_empty() {
            let rows = self.dropped.iter().map(|row| {
                let what = match (row.empty_note, row.empty_summary) {
                    (true, true) => "note and summary",
                    (true, false) => "note",
                    _ => "summary",
                };
                format!("line {} (id {}, empty {what})", row.line, shown::id(&row.id))
            });
            lines.push(format!("dropped {}: {}", self.dropped.len(), capped(rows)));
        }
        if !self.duplicate_ids.is_empty() {
            let ids = self.duplicate_ids.iter().map(|duplicate| {
                format!("{} (lines {})", shown::id(&duplicate.id), joined(&duplicate.lines))
            });
            lines.push(format!("duplicate ids, kept: {}", capped(ids)));
        }
        if !self.duplicate_pairs.is_empty() {
            let pairs = self.duplicate_pairs.iter().map(|lines| format!("lines {}", joined(lines)));
            lines.push(format!("equal note and summary, kept: {}", capped(pairs)));
        }
        lines
    }
}

fn joined(lines: &[u64]) -> String {
    capped(lines.iter().map(u64::to_string))
}

/// The first [`LISTED`] items, and how many more there are.
pub(crate) fn capped(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(LISTED);
    let text = items.take(LISTED).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more") }
}
