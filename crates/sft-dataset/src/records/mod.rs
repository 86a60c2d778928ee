//! From a CSV file to records.

mod columns;
mod dataset;
mod quotes;
mod report;
mod table;

pub use dataset::{Dataset, NoteRow, Record, SummaryRow, read_notes, read_summaries};
pub(crate) use report::capped;
pub use report::{CsvReport, Dropped, DuplicateId};
