//! What can go wrong.

use std::path::PathBuf;

/// Everything that reading a run or showing it can stop with.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the run cannot be read.
    #[error(
        "cannot read {}; give the folder of a run: it holds metrics.jsonl and run_config.toml", path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the run is not what a run writes.
    #[error("{}:{line}: not what a run writes there: {reason}; restore the file, or train again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why, without the text itself.
        reason: String,
    },
    /// The page could not be put together: a fault in this program.
    #[error("cannot put the report together")]
    Page(#[from] minijinja::Error),
    /// A plot could not be drawn: a fault in this program.
    #[error("cannot draw a plot of the report: {reason}")]
    Plot {
        /// What the plotting library says.
        reason: String,
    },
    /// A value could not be written as JSON.
    #[error("cannot write the report's figures as JSON")]
    Json(#[from] serde_json::Error),
}
