//! The fine-tuning loop: loss, AdamW, schedule, evaluation, checkpoints.
//!
//! [`Trainer::run`] trains the LoRA adapters of a [`Decoder`](sft_model::Decoder). It prints nothing: an
//! [`Observer`] receives [`Event`]s, and the files of the run tell the rest. A run that was stopped or killed
//! goes on from its last checkpoint to the same bytes.
#![forbid(unsafe_code)]

mod adamw;
#[cfg(feature = "cuda")]
mod adamw_cuda;
mod artifacts;
mod checkpoint;
mod config;
mod error;
mod events;
mod files;
mod fingerprint;
mod gradients;
mod lock;
mod memory;
mod metrics;
mod optimizer;
mod outcome;
mod plan;
mod progress;
mod run;
mod run_dir;
mod run_state;
mod schedule;
mod stats;
mod trainer;
mod trend;
mod watch;

pub use artifacts::RunFiles;
pub use config::{Scheduler, TrainConfig};
pub use error::{Difference, TrainError};
pub use events::{Event, Observer, StepRecord, StopFlag};
pub use memory::{largest_batch, peak_memory_mb};
pub use outcome::{Outcome, ResumeFrom};
pub use plan::Plan;
pub use run_dir::{TENSORBOARD, run_state, write_report};
pub use run_state::RunState;
pub use schedule::Schedule;
pub use stats::{BestEvaluation, EpochStats, TrainingStats};
pub use trainer::Trainer;
pub use watch::DataFile;
