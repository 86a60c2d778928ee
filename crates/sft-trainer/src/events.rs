//! What a run tells while it runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

/// Receives the events of a run, in order, on the training thread.
pub trait Observer {
    /// Called at each event.
    fn event(&mut self, event: &Event<'_>);
}

/// Ignores every event.
impl Observer for () {
    fn event(&mut self, _: &Event<'_>) {}
}

/// Something that happened in a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Training begins.
    RunStarted {
        /// Optimizer steps in the run.
        total_steps: usize,
        /// Epochs begun in the run.
        epochs: usize,
        /// Optimizer steps in a full epoch.
        steps_per_epoch: usize,
        /// Steps already done, by the run that is resumed.
        steps_done: usize,
        /// The checkpoint that is resumed.
        resumed_from: Option<&'a Path>,
        /// Where the files of this run are written until it is complete.
        directory: &'a Path,
    },
    /// An optimizer step is done.
    Step(StepRecord),
    /// The validation set was evaluated.
    Evaluated {
        /// Optimizer steps done.
        step: usize,
        /// Epoch, from 1.
        epoch: usize,
        /// Token-weighted mean loss.
        eval_loss: f64,
        /// Whether it is the lowest so far.
        best: bool,
    },
    /// An epoch is done, or the run within it.
    EpochFinished {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs begun in the run.
        epochs: usize,
        /// Token-weighted mean loss over the epoch.
        train_loss: f64,
        /// Token-weighted mean validation loss at its end, where there is validation data.
        val_loss: Option<f64>,
        /// Seconds of training.
        seconds: f64,
    },
    /// A checkpoint is complete.
    CheckpointSaved {
        /// Its directory.
        path: &'a Path,
    },
    /// A checkpoint was removed: `save_total_limit`, or a later one than the one resumed from.
    CheckpointRemoved {
        /// Its directory.
        path: &'a Path,
    },
    /// The validation loss has not fallen for `early_stopping_patience` evaluations.
    EarlyStopped {
        /// Optimizer steps done.
        step: usize,
        /// Step of the best evaluation, whose weights become the final model.
        best_step: usize,
        /// Its loss.
        best_loss: f64,
    },
    /// The final model is complete.
    FinalModel {
        /// Its directory.
        path: &'a Path,
        /// The step whose weights it holds: the last one, or the best evaluated one with early stopping.
        step: usize,
    },
    /// Something the user should know.
    Warning {
        /// One line.
        message: &'a str,
    },
}

/// One optimizer step: a line of metrics.jsonl.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Optimizer steps done.
    pub step: usize,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean loss over the target tokens of the window. JSON `null` when not finite.
    pub loss: f64,
    /// Norm of all gradients before clipping. JSON `null` when not finite.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Tokens of the window (there is no padding).
    pub tokens: usize,
    /// Target tokens of the window.
    pub target_tokens: usize,
    /// Duration.
    pub seconds: f64,
    /// `tokens / seconds`.
    pub tokens_per_s: f64,
    /// Highest resident memory of the process so far, MiB; `null` where the system does not tell.
    pub peak_memory_mb: Option<f64>,
    /// Loss or norm was not finite: no parameter changed. Only written when true.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// Asks a run to stop, or to save, after the step under way. Clones share the flags, so that a signal handler can hold them.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    stop: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
}

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop.
    pub fn set(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The flag itself, for a signal handler that leaves when it is set.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// The flag that asks for a checkpoint; the run goes on.
    pub fn save_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.save)
    }

    /// Whether a checkpoint was asked for since the last call.
    pub(crate) fn takes_save(&self) -> bool {
        self.save.swap(false, Ordering::SeqCst)
    }
}
