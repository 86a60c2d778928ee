//! What an output directory holds, told by marks that only runs of this crate leave.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sft_dataset::SftConfig;

use crate::run_dir::{EVENT_FILE, FINAL_MODEL, NEXT_RUN, REPORT, RUN_CONFIG, STATS, TENSORBOARD};
use crate::{TrainError, checkpoint, files, metrics};

/// What a directory holds, as far as runs are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// No run. Files of other names may be there; a run leaves them alone.
    Empty,
    /// A run that is not complete, in this directory: the output directory itself, or `next_run/` in it where the
    /// run is to replace a finished one.
    Unfinished(PathBuf),
    /// A complete run, and none that is to replace it.
    Finished,
}

/// What the output directory `root` holds.
pub(crate) fn inspect(root: &Path) -> Result<RunState, TrainError> {
    let next = root.join(NEXT_RUN);
    if is_run(&next) {
        check_foreign(&next)?;
        return Ok(RunState::Unfinished(next));
    }
    check_foreign(root)?;
    Ok(if is_finished(root) {
        RunState::Finished
    } else if is_run(root) {
        RunState::Unfinished(root.into())
    } else {
        RunState::Empty
    })
}

/// Whether a run was completed in `dir`.
pub(crate) fn is_finished(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Stats {
        completed: bool,
    }
    let stats = fs::read(dir.join(STATS)).ok();
    let stats = stats.and_then(|json| serde_json::from_slice::<Stats>(&json).ok());
    let final_model = dir.join(FINAL_MODEL);
    is_run(dir) && stats.is_some_and(|stats| stats.completed) && is_whole(&final_model)
}

/// What a run would overwrite or remove in `dir`: the entries with names of a run's files.
pub(crate) fn run_entries(dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut entries = if dir.is_dir() { files::entries(dir)? } else { Vec::new() };
    entries.retain(|path| is_run_name(&files::name(path)));
    Ok(entries)
}

/// Whether a run writes an entry of this name into its directory.
pub(crate) fn is_run_name(name: &str) -> bool {
    [metrics::FILE, STATS, RUN_CONFIG, REPORT, FINAL_MODEL, TENSORBOARD].contains(&name)
        || checkpoint::is_name(name)
}

/// Whether a run was begun in `dir`: it leaves these two before its first step.
pub(crate) fn is_run(dir: &Path) -> bool {
    [metrics::FILE, RUN_CONFIG].iter().all(|name| dir.join(name).is_file())
}

/// Refuses a directory with entries that a run would overwrite although no run of ours wrote them.
pub(crate) fn check_foreign(dir: &Path) -> Result<(), TrainError> {
    let claimed = is_run(dir);
    let mut foreign = run_entries(dir)?;
    foreign.retain(|path| !(claimed && is_whole(path) || is_empty_file(path)));
    let next = dir.join(NEXT_RUN);
    if next.exists() && !is_run(&next) && !is_free(&next) {
        foreign.push(next);
    }
    if foreign.is_empty() {
        return Ok(());
    }
    let names = foreign.iter().map(|path| files::name(path).into_owned()).collect();
    Err(TrainError::ForeignFiles { dir: dir.into(), names })
}

/// Refuses to go on in a directory from which the run's own files were removed, if somebody has put others there. What a
/// removal has left of the run's checkpoints does not count.
pub(crate) fn check_place(dir: &Path) -> Result<(), TrainError> {
    // A run that is not complete has no statistics.
    let ours = |path: &Path| is_whole(path) && files::name(path) != STATS || is_empty(path);
    let mut foreign = run_entries(dir)?;
    foreign.retain(|path| !ours(path));
    if foreign.is_empty() {
        return Ok(());
    }
    let names = foreign.iter().map(|path| files::name(path).into_owned()).collect();
    Err(TrainError::ForeignFiles { dir: dir.into(), names })
}

/// A file or a directory with nothing in it.
fn is_empty(path: &Path) -> bool {
    is_empty_file(path) || files::entries(path).is_ok_and(|entries| entries.is_empty())
}

/// Whether an entry of a run bears the mark of ours; folders become visible only with it.
fn is_whole(path: &Path) -> bool {
    match &*files::name(path) {
        FINAL_MODEL => path.join(SftConfig::FILE_NAME).is_file(),
        TENSORBOARD => files::entries(path).is_ok_and(|entries| {
            entries.iter().all(|file| files::name(file).starts_with(EVENT_FILE))
        }),
        name if checkpoint::is_name(name) => {
            path.join(checkpoint::STATE).is_file() || checkpoint::is_fragment(path)
        }
        _ => path.is_file(),
    }
}

/// A file that can be replaced without loss; a kill at the very start of a run leaves one.
fn is_empty_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == 0)
}

/// Whether a new run can have the directory for itself.
fn is_free(dir: &Path) -> bool {
    files::entries(dir).is_ok_and(|entries| {
        entries.iter().all(|path| is_empty_file(path) || files::is_leftover(path))
    })
}
