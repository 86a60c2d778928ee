//! The output directory: who may write to it, and how a finished run is replaced.
//!
//! A run writes into the output directory itself; if a finished run lies there, into `next_run/` beneath it,
//! and takes the finished run's place when it is complete. A finished run is thus never mixed with another.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{self, Context};
use crate::{ResumeFrom, TrainError, checkpoint, metrics};

/// Directory of the adapter that a run ends with.
pub(crate) const FINAL_MODEL: &str = "final_model";
/// Written last: with it a run is finished.
pub(crate) const STATS: &str = "training_stats.json";
/// The resolved settings.
pub(crate) const RUN_CONFIG: &str = "run_config.toml";
/// A run beside a finished one.
const NEXT_RUN: &str = "next_run";
/// A complete run whose predecessor has been moved away, so that its files can move up.
const PROMOTED: &str = ".promoted_run";
/// Where a replaced run's files wait for their deletion.
const REPLACED: &str = ".tmp-replaced";
const LOCK: &str = ".lock";

/// The directory of one run, held by this process alone.
#[derive(Debug)]
pub(crate) struct RunDir {
    root: PathBuf,
    work: PathBuf,
    _lock: Lock,
}

/// The directory that holds the unfinished run of an output directory, if there is one: the output directory
/// itself, or `next_run/` in it where the run is to replace a finished one.
pub fn unfinished_run(output_dir: &Path) -> Option<PathBuf> {
    let work = work_dir(output_dir);
    (holds_run(&work) && !is_finished(&work)).then_some(work)
}

impl RunDir {
    /// Takes the directory for a run; `None` when a run is to be resumed that is finished. Nothing is written then.
    pub(crate) fn open(root: &Path, resume: &ResumeFrom) -> Result<Option<Self>, TrainError> {
        let nothing_to_resume = || {
            *resume != ResumeFrom::Fresh
                && is_finished(root)
                && !holds_run(&root.join(NEXT_RUN))
                && !root.join(PROMOTED).exists()
        };
        if nothing_to_resume() {
            return Ok(None);
        }
        if let (ResumeFrom::Fresh, Some(path)) = (resume, unfinished_run(root)) {
            return Err(TrainError::UnfinishedRun { path });
        }
        let lock = Lock::take(root)?;
        promote(root)?;
        if nothing_to_resume() {
            return Ok(None);
        }
        let work = work_dir(root);
        fs::create_dir_all(&work)
            .map_err(|source| TrainError::OutputDir { path: work.clone(), source })?;
        files::remove_leftovers(&work)?;
        Ok(Some(Self { root: root.into(), work, _lock: lock }))
    }

    /// Where the run's files are until it is complete.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Ends a run whose files are complete: it takes its place, and its final model's path is returned.
    pub(crate) fn finish(self) -> Result<PathBuf, TrainError> {
        promote(&self.root)?;
        Ok(self.root.join(FINAL_MODEL))
    }
}

/// Where the next run into `root` writes, or the unfinished one does.
fn work_dir(root: &Path) -> PathBuf {
    let next = root.join(NEXT_RUN);
    if is_finished(root) || next.exists() { next } else { root.into() }
}

/// Whether a run was completed in `dir`.
fn is_finished(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Stats {
        completed: bool,
    }
    let stats = fs::read(dir.join(STATS)).ok();
    let stats = stats.and_then(|json| serde_json::from_slice::<Stats>(&json).ok());
    stats.is_some_and(|stats| stats.completed) && dir.join(FINAL_MODEL).is_dir()
}

/// Whether a run was begun in `dir`.
fn holds_run(dir: &Path) -> bool {
    [metrics::FILE, STATS, FINAL_MODEL].iter().any(|name| dir.join(name).exists())
        || checkpoint::list(dir).is_ok_and(|checkpoints| !checkpoints.is_empty())
}

/// The files of a run in `dir`.
fn run_entries(dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let names = [metrics::FILE, STATS, RUN_CONFIG, FINAL_MODEL];
    let mut paths: Vec<_> =
        names.iter().map(|name| dir.join(name)).filter(|path| path.exists()).collect();
    paths.extend(checkpoint::list(dir)?.into_iter().map(|(path, _)| path));
    Ok(paths)
}

/// Puts a complete `next_run` in the place of the run before it. A kill at any point is made good by the next call:
/// until `next_run` is renamed only old files move away, and afterwards only new ones move in.
fn promote(root: &Path) -> Result<(), TrainError> {
    let (next, promoted, replaced) =
        (root.join(NEXT_RUN), root.join(PROMOTED), root.join(REPLACED));
    if is_finished(&next) && !promoted.exists() {
        fs::create_dir_all(&replaced).context("create", &replaced)?;
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

/// The directory is this process's until the value is dropped; the system releases it when the process is killed.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Makes the directory where it is missing, and takes it. This is also the test that it can be written to.
    fn take(root: &Path) -> Result<Self, TrainError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            |source| TrainError::OutputDir { path, source }
        };
        fs::create_dir_all(root).map_err(fail(root))?;
        let path = root.join(LOCK);
        let file = File::create(&path).map_err(fail(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TrainError::InUse { path: root.into() }),
            // A file system without locks: go on without.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(fail(&path)(source)),
        }
        Ok(Self { path, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only the name goes here; a leftover file locks nothing.
        let _ = fs::remove_file(&self.path);
    }
}
