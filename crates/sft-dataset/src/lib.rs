#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod batch;
mod config;
mod error;
mod example;
pub mod limited;
mod permutation;
mod prompt;
mod random;
mod records;
mod shown;
mod split;

pub use batch::{Batch, Target};
pub use config::SftConfig;
pub use error::DatasetError;
pub use example::{EncodeReport, EncodedSet, Example, LengthStats, TooLong, Truncated, encode};
pub use permutation::Permutation;
pub use prompt::{Encoded, Piece, PromptTemplate, PromptTokenizer, TemplateChoice};
pub use records::{
    CsvReport, Dataset, Dropped, DuplicateId, NoteRow, Record, SummaryRow, read_notes,
    read_summaries,
};
pub use shown::shown_kinds;
pub use split::{folds_by_note, shared_notes, split_by_note};
