//! From a CSV file to records.

mod columns;
mod dataset;
mod quotes;
mod report;
mod table;

pub use dataset::{Dataset, NoteRow, Record, read_notes};
pub(crate) use report::capped;
pub use report::{CsvReport, Dropped, DuplicateId};
