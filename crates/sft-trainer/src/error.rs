//! What can go wrong in a run.

use std::io::ErrorKind;
use std::path::PathBuf;

use sft_dataset::DatasetError;
use sft_lora::LoraError;
use sft_model::ModelError;

/// Why a run could not start or go on. Nothing that was complete before is changed by a failed run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Settings out of range.
    #[error("invalid training settings: {}", problems.join("; "))]
    InvalidConfig {
        /// Every problem, each with the setting's name.
        problems: Vec<String>,
    },
    /// No training example.
    #[error(
        "there is no training example; check the labels (only `factual` rows train) and --max_length"
    )]
    NoTrainingData,
    /// Early stopping without anything to judge by.
    #[error(
        "early_stopping_patience needs validation data: give --val_csv or a --val_split above 0"
    )]
    NoValidationData,
    /// An example that teaches nothing.
    #[error(
        "the example of line {line} has {tokens} tokens and its first target at {first_target}: \
         a target must follow at least one prompt token; encode the rows anew"
    )]
    ExampleWithoutTarget {
        /// Line of its row in the data file.
        line: u64,
        /// Its number of tokens.
        tokens: usize,
        /// Index of its first target.
        first_target: usize,
    },
    /// A model without adapters.
    #[error(
        "the model has no adapter to train: add one with Decoder::add_lora or Decoder::load_lora"
    )]
    NothingToTrain,
    /// Trainable parameters that the loss does not reach.
    #[error(
        "no gradient reached {} of the trainable parameters: {}; the graph is cut between them and the loss, \
         so they would never learn: this is a fault in the model code, not in the data",
        names.len(), names.join(", ")
    )]
    MissingGradient {
        /// Names of the parameters, sorted.
        names: Vec<String>,
    },
    /// Steps whose loss or gradient was not a number, one after another.
    #[error(
        "loss or gradient norm was not finite in {in_a_row} steps in a row, the last one step {step}; \
         lower --learning_rate, or look for broken weights in the base model or the initial adapter{}",
        checkpoint.as_ref().map_or_else(String::new, |path| format!("; the last good checkpoint is {}", path.display()))
    )]
    NonFinite {
        /// The last step.
        step: usize,
        /// Number of steps in a row.
        in_a_row: usize,
        /// The newest checkpoint, all of whose values are finite.
        checkpoint: Option<PathBuf>,
    },
    /// The output directory cannot be written to.
    #[error("cannot write to the output directory {}: {source}; give a writable one with --output_dir", path.display())]
    OutputDir {
        /// The directory or the file in it that was tried.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process trains into the directory.
    #[error("another process is training into {}; wait for it, or give another --output_dir", path.display())]
    InUse {
        /// The output directory.
        path: PathBuf,
    },
    /// The output directory holds a run that is not complete.
    #[error(
        "{} holds an unfinished run; go on with it by --resume auto, or give another --output_dir",
        path.display()
    )]
    UnfinishedRun {
        /// The directory of that run.
        path: PathBuf,
    },
    /// Files where a run writes that no run of this crate wrote.
    #[error(
        "{} holds files that are not of a run of this program, but have the names of one: {}; they stay as they are: \
         give another --output_dir",
        dir.display(), names.join(", ")
    )]
    ForeignFiles {
        /// The directory.
        dir: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
    /// An unfinished run none of whose checkpoints is whole.
    #[error(
        "the run in {} cannot be resumed, all of its checkpoints are damaged: {}; give another --output_dir, or remove \
         these checkpoints to start anew",
        path.display(), problems.join("; ")
    )]
    AllDamaged {
        /// The directory of the run.
        path: PathBuf,
        /// Each checkpoint, and what is wrong with it; newest first.
        problems: Vec<String>,
    },
    /// A run that ended without usable weights.
    #[error(
        "the training diverged: {reason}; no final model was written, the checkpoints are in {}. Train again with a lower \
         --learning_rate and another --output_dir, or remove this run first",
        path.display()
    )]
    Diverged {
        /// The directory of the run.
        path: PathBuf,
        /// What is not finite.
        reason: &'static str,
    },
    /// A checkpoint that cannot be resumed from.
    #[error(
        "{} is not a usable checkpoint: {reason}; --resume auto takes the newest one that is",
        path.display()
    )]
    BadCheckpoint {
        /// The checkpoint's directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint of another directory.
    #[error(
        "the checkpoint {} does not belong to the run in {}; give the directory it lies in as --output_dir",
        checkpoint.display(), run.display()
    )]
    ForeignCheckpoint {
        /// The checkpoint asked for.
        checkpoint: PathBuf,
        /// The directory of the run to resume.
        run: PathBuf,
    },
    /// Settings or data that are not those of the run to resume.
    #[error(
        "{} was written by a run that differs: {}; {}",
        checkpoint.display(), list(differences), how_to_resume(differences)
    )]
    ResumeMismatch {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Every value that differs, in name order.
        differences: Vec<Difference>,
    },
    /// With the changed settings or data, the checkpoint is at the end of the run already, or past it.
    #[error(
        "{} is {step} steps into its run, which with the changed settings or data would have {total_steps} in all: nothing is \
         left to train; give more --num_epochs or --max_steps, or an earlier checkpoint with --resume DIR",
        checkpoint.display()
    )]
    NothingLeft {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Optimizer steps done in it.
        step: usize,
        /// Optimizer steps planned now.
        total_steps: usize,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A value could not be written as JSON.
    #[error("cannot write {} as JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
    /// Optimizer state could not be written.
    #[error("cannot write the optimizer state {}: {source}", path.display())]
    OptimizerState {
        /// The file.
        path: PathBuf,
        /// What safetensors said.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// From the data.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// From the adapter.
    #[error(transparent)]
    Lora(#[from] LoraError),
    /// From the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// From candle.
    #[error("a tensor operation of the optimizer failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl TrainError {
    /// Whether a file or a folder was not there.
    pub(crate) fn is_not_found(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|error| error.kind() == ErrorKind::NotFound) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// A value that differs between a checkpoint and the run that wants to resume from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the setting.
    pub name: String,
    /// The checkpoint's value, as JSON.
    pub checkpoint: String,
    /// This run's value, as JSON.
    pub current: String,
    /// Whether no run can change it: it is part of what the adapter is.
    pub fixed: bool,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was {}, now {}", self.name, self.checkpoint, self.current)
    }
}

/// What can be done about differences.
fn how_to_resume(differences: &[Difference]) -> String {
    let fixed: Vec<_> = differences.iter().filter(|d| d.fixed).map(|d| d.name.as_str()).collect();
    if fixed.is_empty() {
        "give the same settings and data, or another --output_dir; --allow_changes goes on with the new ones".to_owned()
    } else {
        format!(
            "no run can change {}, which its adapter is made for: give the same settings, or another --output_dir",
            fixed.join(", ")
        )
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What to do about an error of the file system, where the system's words do not say it.
fn remedy(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room there (--save_total_limit keeps fewer checkpoints): what was complete is still there"
        }
        ErrorKind::NotFound | ErrorKind::StaleNetworkFileHandle | ErrorKind::NotConnected => {
            "; was the folder moved, deleted or unmounted meanwhile?"
        }
        _ => "",
    }
}
