//! The output directory: who may write to it, and how a finished run is replaced.
//!
//! A run writes into the output directory itself; if a finished run lies there, into `next_run/` beneath it,
//! and takes the finished run's place when it is complete. A finished run is thus never mixed with another.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::files::{self, Context};
use crate::lock::Lock;
use crate::run_state::{RunState, check_foreign, inspect, is_finished, is_run, run_entries};
use crate::{ResumeFrom, TrainError};

/// Directory of the adapter that a run ends with.
pub(crate) const FINAL_MODEL: &str = "final_model";
/// Written last: with it a run is finished.
pub(crate) const STATS: &str = "training_stats.json";
/// The resolved settings.
pub(crate) const RUN_CONFIG: &str = "run_config.toml";
/// The run for a reader; whoever watched it writes the file when it ends.
pub(crate) const REPORT: &str = "report.html";
/// Folder of the events for TensorBoard, which an observer may write.
pub const TENSORBOARD: &str = "tensorboard";
/// What the names in that folder begin with.
pub(crate) const EVENT_FILE: &str = "events.out.tfevents.";
/// A run beside a finished one.
pub(crate) const NEXT_RUN: &str = "next_run";
/// A complete run whose predecessor has been moved away, so that its files can move up.
const PROMOTED: &str = ".promoted_run";

/// The directory of one run, held by this process alone.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    work: PathBuf,
    lock: Lock,
}

/// What an output directory holds. A replacement that was complete when it was killed is made good first.
///
/// # Errors
/// When files are in the way that no run of this crate wrote, or the directory cannot be read.
pub fn run_state(output_dir: &Path) -> Result<RunState, TrainError> {
    if is_replacing(output_dir) {
        let _lock = Lock::take(output_dir)?;
        promote(output_dir)?;
    }
    inspect(output_dir)
}

/// Writes the report of a run that has ended into its directory, in place of an older one, and returns its path.
///
/// # Errors
/// When the directory has no run, or the file cannot be written; then an older report is still there.
pub fn write_report(dir: &Path, html: &str) -> Result<PathBuf, TrainError> {
    let path = dir.join(REPORT);
    if !is_run(dir) {
        let source = std::io::Error::new(ErrorKind::NotFound, "there is no run in this folder");
        return Err(TrainError::Io { action: "write", path, source });
    }
    files::write_file(&path, html.as_bytes())?;
    Ok(path)
}

impl RunDir {
    /// Takes the directory for a run; `None` when a run is to be resumed that is finished. Nothing is written then.
    pub(crate) fn open(root: &Path, resume: &ResumeFrom) -> Result<Option<Self>, TrainError> {
        let work_dir = |state| match (resume, state) {
            (ResumeFrom::Fresh, RunState::Unfinished(path)) => {
                Err(TrainError::UnfinishedRun { path })
            }
            (ResumeFrom::Fresh, RunState::Finished) => Ok(Some(root.join(NEXT_RUN))),
            (_, RunState::Finished) => Ok(None),
            (_, RunState::Unfinished(path)) => Ok(Some(path)),
            (_, RunState::Empty) => Ok(Some(root.into())),
        };
        if work_dir(run_state(root)?)?.is_none() {
            return Ok(None);
        }
        let lock = Lock::take(root)?;
        promote(root)?;
        // Again, now that no other process can change the answer.
        let Some(work) = work_dir(inspect(root)?)? else {
            return Ok(None);
        };
        fs::create_dir_all(&work)
            .map_err(|source| TrainError::OutputDir { path: work.clone(), source })?;
        files::remove_leftovers(&work)?;
        Ok(Some(Self { root: root.into(), work, lock }))
    }

    /// Where the run's files are until it is complete.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Makes the directory again where it has been removed under the run, and takes it anew.
    pub(crate) fn restore(&mut self) -> Result<(), TrainError> {
        if !self.lock.is_held() {
            self.lock = Lock::take(&self.root)?;
        }
        fs::create_dir_all(&self.work)
            .map_err(|source| TrainError::OutputDir { path: self.work.clone(), source })
    }

    /// Whether another run is in the place that this run's files will have.
    pub(crate) fn is_taken(&self) -> bool {
        self.root != self.work && is_run(&self.root)
    }

    /// Ends a run whose files are complete: it takes its place, and its final model's path is returned.
    pub(crate) fn finish(self) -> Result<PathBuf, TrainError> {
        promote(&self.root)?;
        Ok(self.root.join(FINAL_MODEL))
    }
}

/// Whether a complete run is on its way into the place of the one before it.
fn is_replacing(root: &Path) -> bool {
    is_finished(&root.join(NEXT_RUN)) || root.join(PROMOTED).exists()
}

/// Puts a complete `next_run` in the place of the run before it. A kill at any point is made good by the next call:
/// until `next_run` is renamed only old files move away, and afterwards only new ones move in.
fn promote(root: &Path) -> Result<(), TrainError> {
    let (next, promoted, replaced) =
        (root.join(NEXT_RUN), root.join(PROMOTED), files::replaced(root));
    if is_finished(&next) && !promoted.exists() {
        if !replaced.exists() {
            check_foreign(root)?;
            fs::create_dir(&replaced).context("create", &replaced)?;
        }
        move_all(&run_entries(root)?, &replaced)?;
        fs::rename(&next, &promoted).context("rename", &next)?;
    }
    if promoted.exists() {
        move_all(&files::entries(&promoted)?, root)?;
        fs::remove_dir(&promoted).context("remove", &promoted)?;
    }
    files::remove_leftovers(root)
}

fn move_all(paths: &[PathBuf], into: &Path) -> Result<(), TrainError> {
    for path in paths {
        let target = into.join(path.file_name().unwrap_or_default());
        fs::rename(path, &target).context("move a file to", &target)?;
    }
    Ok(())
}
