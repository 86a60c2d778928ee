//! What can go wrong between a note and its summary.

use std::path::PathBuf;

/// An error of this crate; the message ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// A training run's folder was given instead of the adapter in it.
    #[error(
        "{} is the folder of a training run: give the adapter in it, {}",
        folder.display(), adapter.display()
    )]
    RunFolder {
        /// The run's folder.
        folder: PathBuf,
        /// The adapter of the finished run.
        adapter: PathBuf,
    },
    /// The base model that an adapter names cannot be had.
    #[error(
        "the adapter {} was trained on the base model `{base}`, which cannot be found: give that \
         model as the base (--base-model)",
        adapter.display()
    )]
    Base {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The base model as the adapter names it.
        base: String,
        /// Why, and another remedy.
        #[source]
        source: Box<sft_model::source::SourceError>,
    },
    /// An adapter from the hub names a folder of this machine as its base.
    #[error(
        "the adapter {} was fetched from the hub and names a local folder as its base, `{base}`: give the base yourself \
         (--base-model)",
        adapter.display()
    )]
    LocalBase {
        /// The adapter's folder.
        adapter: PathBuf,
        /// The folder that it names.
        base: String,
    },
    /// A base was given for a folder that is a model itself.
    #[error(
        "{} has no adapter_config.json, so it is a model and not an adapter: leave out the base \
         model ({}), or give the adapter's folder",
        folder.display(), base.display()
    )]
    BaseWithoutAdapter {
        /// The model folder.
        folder: PathBuf,
        /// The base model that was given.
        base: PathBuf,
    },
    /// Merging was asked for, but there is no adapter.
    #[error(
        "{} has no adapter_config.json, so there is nothing to merge: give an adapter's folder",
        folder.display()
    )]
    NothingToMerge {
        /// The model folder.
        folder: PathBuf,
    },
    /// A note's generation ended without a result.
    #[error("the model gave no answer to one of the notes; run it again")]
    NoAnswer,
    /// A base was to be quantised, and an adapter was given.
    #[error(
        "{} is an adapter, and only a whole model can be quantised: give its base, or write the two as one model \
         with --merge_to first",
        folder.display()
    )]
    AdapterToQuantize {
        /// The adapter's folder.
        folder: PathBuf,
    },
    /// A GGUF file was asked for, but there is no adapter.
    #[error(
        "{} has no adapter_config.json, so there is no adapter to export: give an adapter's folder",
        folder.display()
    )]
    NothingToExport {
        /// The model folder.
        folder: PathBuf,
    },
    /// The folder a merged model should go to is in use.
    #[error("{} exists and is not an empty folder: give a new one", folder.display())]
    MergeTargetInUse {
        /// The folder that was given.
        folder: PathBuf,
    },
    /// One or more generation parameters are out of range.
    #[error("{}", problems.join("; "))]
    Params {
        /// Every problem, with its remedy.
        problems: Vec<String>,
    },
    /// A note has no text.
    #[error("note {} is empty: give its text", note + 1)]
    EmptyNote {
        /// Index of the note.
        note: usize,
    },
    /// A prompt leaves no room for a summary.
    #[error(
        "note {}: its prompt has {prompt_tokens} tokens and the model takes {limit} in all, \
         summary included: shorten the note", note + 1
    )]
    PromptTooLong {
        /// Index of the note.
        note: usize,
        /// Tokens of the prompt, template included.
        prompt_tokens: usize,
        /// `max_position_embeddings` of the model.
        limit: usize,
    },
    /// The tokenizer makes an id that the model has no embedding for.
    #[error(
        "note {}: the tokenizer makes the id {id}, but the model's vocabulary has {vocab_size} \
         tokens: the tokenizer and the model do not belong together", note + 1
    )]
    IdOutsideVocabulary {
        /// Index of the note.
        note: usize,
        /// The id.
        id: u32,
        /// `vocab_size` of the model.
        vocab_size: usize,
    },
    /// The model's scores cannot be compared.
    #[error(
        "note {}: the logits of token {} are not finite: the model's weights are damaged, or its \
         numbers are too large for the data type (try f32)", note + 1, step + 1
    )]
    NonFiniteLogits {
        /// Index of the note.
        note: usize,
        /// Index of the token that was to be chosen.
        step: usize,
    },
    /// Ids could not be turned into text.
    #[error("the tokenizer's decoder failed: use the tokenizer.json that belongs to the model")]
    Decode {
        /// The tokenizer's own error.
        #[source]
        source: tokenizers::Error,
    },
    /// The base model could not be read or run.
    #[error(transparent)]
    Model(#[from] sft_model::ModelError),
    /// The adapter could not be read.
    #[error(transparent)]
    Adapter(#[from] sft_lora::LoraError),
    /// The template or the tokenizer could not be used.
    #[error(transparent)]
    Prompt(#[from] sft_dataset::DatasetError),
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl InferenceError {
    /// The index of the note that is at fault, where it is one note's.
    pub fn note(&self) -> Option<usize> {
        match *self {
            Self::EmptyNote { note }
            | Self::PromptTooLong { note, .. }
            | Self::IdOutsideVocabulary { note, .. }
            | Self::NonFiniteLogits { note, .. } => Some(note),
            _ => None,
        }
    }
}
