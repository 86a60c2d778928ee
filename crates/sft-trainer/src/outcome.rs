//! Where a run starts, and how it ends.

use std::path::PathBuf;

use crate::TrainingStats;

/// What to resume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResumeFrom {
    /// Nothing: a new run. Refused where the output directory holds an unfinished one.
    #[default]
    Fresh,
    /// The newest valid checkpoint of the output directory; without one, a new run.
    Auto,
    /// This checkpoint of the output directory; later ones of the run are removed.
    Dir(PathBuf),
}

/// How a run ended.
#[expect(clippy::large_enum_variant, reason = "a run has one")]
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Every step is done.
    Completed {
        /// Directory of the final adapter.
        final_model: PathBuf,
        /// What training_stats.json says.
        stats: TrainingStats,
    },
    /// The stop flag was set.
    Stopped {
        /// The checkpoint to go on from.
        checkpoint: PathBuf,
    },
    /// The run to resume was complete before; nothing was changed.
    AlreadyFinished,
}
