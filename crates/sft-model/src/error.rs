//! What can go wrong, and what to do about it.

use std::{io, path::PathBuf};

use sft_lora::LoraError;

use crate::source::SourceError;

/// Why a model could not be opened, run or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The folder is not there, or is something else.
    #[error("{}: {reason}", path.display())]
    NotAModel {
        /// The folder that was given.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: cannot {action}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A JSON file is broken.
    #[error("{}: not valid JSON of this kind; fetch the file again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// `config.json` describes something this crate does not compute.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A weight file is broken or does not belong to its config.
    #[error("{}: {problem}", path.display())]
    Weights {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A GGUF file cannot be written as asked.
    #[error("{}: {problem}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// The device cannot be opened, or cannot compute in this type.
    #[error("{0}")]
    Device(String),
    /// The adapter names or shapes do not fit this model.
    #[error("the adapter does not fit the model: {0}")]
    Adapter(String),
    /// The model's name leads to no folder.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An operation that the model's state does not allow.
    #[error("{0}")]
    State(&'static str),
    /// An input that no batch may have.
    #[error("malformed batch: {0}")]
    Batch(String),
    /// The adapter layer.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// The tensor library.
    #[error("computation failed")]
    Candle(#[from] candle_core::Error),
}

impl ModelError {
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str, source: io::Error) -> Self {
        Self::Io { path: path.into(), action, source }
    }
}
