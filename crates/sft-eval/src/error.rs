//! What can go wrong between a CSV file and its figures.

use std::path::PathBuf;

use sft_dataset::DatasetError;
use sft_model::ModelError;

/// An error of this crate; the message or its cause ends with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// No row can be scored.
    #[error(
        "{}: no row has both a clinical_note and a model_summary: give a file with labelled \
         summaries",
        path.display()
    )]
    NoRows {
        /// The CSV file.
        path: PathBuf,
    },
    /// Every row is too long even with an empty note.
    #[error(
        "{}: no row fits into the model's {max_length} tokens even with an empty note (the \
         shortest needs {shortest}): shorten the prompt template or the summaries, or train with \
         a larger --max-length",
        path.display()
    )]
    NothingFits {
        /// The CSV file.
        path: PathBuf,
        /// The limit.
        max_length: usize,
        /// Tokens of the shortest row with an empty note.
        shortest: usize,
    },
    /// The rows could not be turned into ids.
    #[error(transparent)]
    Encode(DatasetError),
    /// The model could not score a row.
    #[error("{}:{line}", path.display())]
    Score {
        /// The CSV file.
        path: PathBuf,
        /// The 1-based line of the row.
        line: u64,
        /// The reason.
        #[source]
        source: Box<ModelError>,
    },
    /// A score that cannot be compared.
    #[error(
        "{}:{line}: the loss of this row is not finite: the model's weights are damaged, or its \
         numbers are too large for the data type (try f32)",
        path.display()
    )]
    NotFinite {
        /// The CSV file.
        path: PathBuf,
        /// The 1-based line of the row.
        line: u64,
    },
    /// A findings sidecar could not be read.
    #[error(
        "cannot read the findings {}: {source}; check that the path names an existing file in UTF-8",
        path.display()
    )]
    ReadFindings {
        /// The sidecar.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: std::io::Error,
    },
    /// A line of a findings sidecar is not what it should be.
    #[error(
        "{}:{line}: {source}; a line is {{\"id\": ..., \"findings\": [{{\"kind\", \"term\", \
         \"present\", ...}}]}}",
        path.display()
    )]
    FindingsLine {
        /// The sidecar.
        path: PathBuf,
        /// The 1-based line.
        line: u64,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// A line of a findings sidecar contradicts itself or another line.
    #[error("{}:{line}: {problem}", path.display())]
    Findings {
        /// The sidecar.
        path: PathBuf,
        /// The 1-based line.
        line: u64,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// A list of terms could not be read.
    #[error(
        "cannot read the terms {}: {source}; check that the path names an existing file in UTF-8",
        path.display()
    )]
    ReadTerms {
        /// The list.
        path: PathBuf,
        /// The reason given by the system.
        #[source]
        source: std::io::Error,
    },
    /// A line of a list of terms is not what it should be.
    #[error("{}:{line}: {problem}", path.display())]
    TermsLine {
        /// The list.
        path: PathBuf,
        /// The 1-based line.
        line: u64,
        /// What is wrong and what to do about it.
        problem: String,
    },
}
