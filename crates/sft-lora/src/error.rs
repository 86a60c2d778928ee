//! What can go wrong, and what to do about it.

use std::path::PathBuf;

/// Every failure of this crate. Messages name the file or module and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraError {
    /// A [`LoraConfig`](crate::LoraConfig) contradicts itself; all of its problems at once.
    #[error("invalid LoRA configuration: {}", problems.join("; "))]
    Config {
        /// One sentence a problem.
        problems: Vec<String>,
    },
    /// A regular expression does not compile.
    #[error("{option} {pattern:?} is not a valid regular expression: {source}")]
    Pattern {
        /// The option that holds the pattern.
        option: &'static str,
        /// The pattern as given.
        pattern: String,
        /// What the regex engine reports, with the position.
        #[source]
        source: Box<fancy_regex::Error>,
    },
    /// `target_modules` text that names nothing.
    #[error(
        "target modules {given:?}: {reason}; give all-linear, names separated by commas (q_proj,v_proj) or a regular expression"
    )]
    Targets {
        /// The text as given.
        given: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A rank that no layer of this size has a use for, and that memory may not hold.
    #[error(
        "rank {r} is too large for {module}, a layer of {in_features} to {out_features} features; give an r (or a rank_pattern) of at most {}",
        in_features.max(out_features)
    )]
    Rank {
        /// Dotted path of the layer.
        module: String,
        /// The rank asked for.
        r: usize,
        /// Width of the layer's input.
        in_features: usize,
        /// Width of its output.
        out_features: usize,
    },
    /// An adapter matrix does not fit its layer.
    #[error(
        "{module}.{tensor} has shape {found:?}, but the layer and its rank ask for {expected:?}; check r, rank_pattern and the base model"
    )]
    Shape {
        /// Dotted path of the layer.
        module: String,
        /// `lora_A` or `lora_B`.
        tensor: &'static str,
        /// Shape that `r` and the layer ask for.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// A second merge.
    #[error("the adapter of {module} is already merged; unmerge it first")]
    AlreadyMerged {
        /// Dotted path of the layer.
        module: String,
    },
    /// An unmerge without a merge.
    #[error("the adapter of {module} is not merged; there is nothing to restore")]
    NotMerged {
        /// Dotted path of the layer.
        module: String,
    },
    /// A PEFT configuration that asks for more than plain LoRA.
    #[error("unsupported PEFT options: {}", options.join("; "))]
    Unsupported {
        /// One option a line: its name, its value, what to do.
        options: Vec<String>,
    },
    /// A problem in one of an adapter's files.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// The problem.
        #[source]
        source: Box<LoraError>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A folder without an adapter.
    #[error("{} holds no LoRA adapter: {missing} is not there; point at the folder that has adapter_config.json and adapter_model.safetensors (or adapter_model.bin)", dir.display())]
    NoAdapter {
        /// The folder.
        dir: PathBuf,
        /// The file that is missing.
        missing: &'static str,
    },
    /// `adapter_config.json` is not the JSON it should be.
    #[error("{} is not a readable PEFT configuration: {source}; save or download the adapter again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why the parser stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A safetensors file that is cut short or damaged.
    #[error("{} is not a complete safetensors file ({source}); copy or download it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the format's reader reports.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A `torch.save` file that is damaged, or holds more than tensors.
    #[error("{} is not a readable PyTorch file: {reason}; copy it again, or save it again with torch.save", path.display())]
    TorchFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The tensors of an adapter file are not those of its configuration.
    #[error("{} does not fit its adapter_config.json: {}; save or download both files together", path.display(), problems.join("; "))]
    Names {
        /// The weights file.
        path: PathBuf,
        /// One tensor a line: missing, unexpected, or of a wrong shape.
        problems: Vec<String>,
    },
    /// An error of candle.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl LoraError {
    /// The same error, with the file it came from.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        Self::InFile { path: path.to_owned(), source: Box::new(self) }
    }

    pub(crate) fn pattern(option: &'static str, pattern: &str, source: fancy_regex::Error) -> Self {
        Self::Pattern { option, pattern: pattern.to_owned(), source: Box::new(source) }
    }
}
