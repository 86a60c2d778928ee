//! What can go wrong in the binary itself, and the one line that reports any error.

use std::error::Error;
use std::path::PathBuf;

/// Everything `sft-train` can stop with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error("cannot read the configuration file {}; check the path given to --config", path.display())]
    ConfigRead { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: not a valid configuration: {reason}", path.display())]
    ConfigSyntax { path: PathBuf, line: usize, reason: String },
    #[error("{}:{line}: unknown key `{key}`: {hint}", path.display())]
    ConfigKey { path: PathBuf, line: usize, key: String, hint: String },
    #[error("{}", list(problems))]
    Settings { problems: Vec<String> },
    #[error(
        "the model's own {} recommends what cannot be used: {}; give these settings by flags", path.display(), list(problems)
    )]
    Recommended { path: PathBuf, problems: Vec<String> },
    #[error(
        "the tokenizer makes token {id} of line {line}, but the model has {vocab_size} embeddings; take tokenizer.json and weights of one model"
    )]
    Vocabulary { line: u64, id: u32, vocab_size: usize },
    #[error(
        "the example of line {line} has {tokens} tokens, but the model can tell only {limit} positions apart (max_position_embeddings); give --max_length {limit} or less"
    )]
    TooLong { line: u64, tokens: usize, limit: usize },
    #[error(
        "training takes {needed}, more than {budget}, even with activations computed again; {remedy}"
    )]
    Memory { needed: String, budget: String, remedy: String },
    #[error(
        "the GPU's memory is full; {remedy}; to go on with --resume auto and such a change, add --allow_changes"
    )]
    DeviceFull { remedy: String, source: Box<CliError> },
    #[error("fold {fold} of {folds} has no row that fits into --max_length; give fewer folds")]
    EmptyFold { fold: usize, folds: usize },
    #[error("--suggest compares by the validation loss: give --val_csv, or a --val_split above 0")]
    NothingToCompareBy,
    #[error(transparent)]
    Evaluation(#[from] sft_eval::EvalError),
    #[error("the self test failed: {}; do not train before this is mended", checks.join("; "))]
    SelfTest { checks: Vec<String> },
    #[error(
        "cannot start threads; RAYON_NUM_THREADS=1, set before the command, takes one, or let the process have more \
         (ulimit -u, ulimit -v)"
    )]
    Threads(#[source] std::io::Error),
    #[error("cannot write to standard output")]
    Stdout(#[source] std::io::Error),
    #[cfg(unix)]
    #[error("cannot listen for signals")]
    Signals(#[from] std::io::Error),
    #[cfg(not(unix))]
    #[error("cannot listen for Ctrl-C")]
    Signals(#[from] ctrlc::Error),
    #[error(transparent)]
    Dataset(#[from] sft_dataset::DatasetError),
    #[error(transparent)]
    Inference(#[from] sft_inference::InferenceError),
    #[error(transparent)]
    Lora(#[from] sft_lora::LoraError),
    #[error(transparent)]
    Model(#[from] sft_model::ModelError),
    #[error(transparent)]
    Report(#[from] sft_report::ReportError),
    #[error(transparent)]
    SelfTestRun(#[from] sft_self_test::SelfTestError),
    #[error(transparent)]
    Train(#[from] sft_trainer::TrainError),
}

impl CliError {
    /// The exit status: 2 for what was asked, 1 for what happened.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ConfigRead { .. }
            | Self::ConfigSyntax { .. }
            | Self::ConfigKey { .. }
            | Self::Settings { .. }
            | Self::Recommended { .. }
            | Self::NothingToCompareBy
            | Self::Dataset(sft_dataset::DatasetError::Folds { .. }) => 2,
            _ => 1,
        }
    }
}

fn list(problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => format!("{} settings cannot be used: {}", many.len(), many.join("; ")),
    }
}

/// The error and its causes on one line, each said once.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = without_backtrace(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = without_backtrace(&error.to_string());
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    if is_full(&line) && !line.contains(FULL) {
        line = format!("{line}; {FULL}{GPU_MEMORY}");
    }
    line
}

/// Whether an error's line says that a GPU's memory is full, in the driver's words.
pub(crate) fn is_full(line: &str) -> bool {
    let texts = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
    texts.iter().any(|text| line.contains(text))
}

/// How we say it.
const FULL: &str = "the GPU's memory is full";

/// What helps when a GPU's memory is full; the driver's words do not say it.
const GPU_MEMORY: &str = ": add --gradient_checkpointing, halve --batch_size and double \
     --gradient_accumulation_steps (the same training), or shorten examples with --max_length";

/// A message as one line. Under RUST_BACKTRACE candle puts stack frames (`  0: ...`) below its messages.
fn without_backtrace(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("0: "));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_the_same_line() {
        let source = std::io::Error::other("the disk\nis gone");
        let error = CliError::ConfigRead { path: "run.toml".into(), source };
        assert_eq!(
            one_line(&error),
            "cannot read the configuration file run.toml; check the path given to --config: the disk is gone"
        );
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_full_gpu_has_a_remedy() {
        let source =
            std::io::Error::other("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
        let error = CliError::ConfigRead { path: "run.toml".into(), source };
        assert!(one_line(&error).ends_with("--max_length"));
        let remedy = "what would fit: --batch_size 2".to_owned();
        let error = CliError::DeviceFull { remedy, source: Box::new(error) };
        let line = one_line(&error);
        assert!(
            line.starts_with("the GPU's memory is full; what would fit: --batch_size 2; to go on")
        );
        assert!(!line.contains("--max_length"), "{line}");
    }

    #[test]
    fn stack_frames_are_left_out() {
        assert_eq!(
            without_backtrace("shape mismatch\nin matmul\n   0: candle::bt\n   1: main"),
            "shape mismatch in matmul"
        );
    }

    #[test]
    fn problems_are_counted_and_joined() {
        let error = CliError::Settings { problems: vec!["a is 0".into(), "b is 1".into()] };
        assert_eq!(one_line(&error), "2 settings cannot be used: a is 0; b is 1");
        let error = CliError::Settings { problems: vec!["a is 0".into()] };
        assert_eq!(one_line(&error), "a is 0");
    }
}
