//! Files that are either complete or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::run_state::is_run_name;

/// Prefix of what is being written or removed; a leftover of a killed run.
const TEMPORARY: &str = ".sft-tmp-";
/// What follows the prefix, before the name, of what is being removed.
const REMOVED: &str = "removed-";
/// What follows the prefix of a replaced run's files.
const REPLACED: &str = "replaced";

/// Attaches an action and a path to an I/O error.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, TrainError>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, TrainError> {
        self.map_err(|source| TrainError::Io { action, path: path.into(), source })
    }
}

/// Writes a file under a temporary name, flushes it to the disk and renames it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let temporary = sibling(path, "");
    let written = fs::write(&temporary, bytes)
        .context("write", &temporary)
        .and_then(|()| sync(&temporary))
        .and_then(|()| fs::rename(&temporary, path).context("write", path));
    if written.is_err() {
        // What is half written would only keep a full disk full.
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_parent(path))
}

/// Makes a directory appear at once: `fill` writes its files under a temporary name, each is flushed to the disk,
/// and the directory is renamed, in place of one that may be there. After an error nothing of it is left.
pub(crate) fn publish_dir(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let temporary = sibling(path, "");
    if temporary.exists() {
        fs::remove_dir_all(&temporary).context("remove", &temporary)?;
    }
    fs::create_dir(&temporary).context("create", &temporary)?;
    let published = fill(&temporary).and_then(|()| {
        for file in entries(&temporary)? {
            sync(&file)?;
        }
        sync(&temporary)?;
        if path.exists() {
            remove_dir(path)?;
        }
        fs::rename(&temporary, path).context("write", path)
    });
    if published.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    published.and_then(|()| sync_parent(path))
}

/// Makes a directory disappear at once, then deletes it.
pub(crate) fn remove_dir(path: &Path) -> Result<(), TrainError> {
    let removed = sibling(path, REMOVED);
    if removed.exists() {
        fs::remove_dir_all(&removed).context("remove", &removed)?;
    }
    fs::rename(path, &removed).context("remove", path)?;
    fs::remove_dir_all(&removed).context("remove", &removed)
}

/// Deletes what a killed run left half written or half removed.
pub(crate) fn remove_leftovers(dir: &Path) -> Result<(), TrainError> {
    for path in entries(dir)? {
        if is_leftover(&path) {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.context("remove", &path)?;
        }
    }
    Ok(())
}

/// Whether the path is one that a run gives to what it writes or removes. Other hidden files are the user's.
pub(crate) fn is_leftover(path: &Path) -> bool {
    name(path).strip_prefix(TEMPORARY).is_some_and(|name| {
        name == REPLACED || is_run_name(name.strip_prefix(REMOVED).unwrap_or(name))
    })
}

/// Where a replaced run's files wait for their deletion.
pub(crate) fn replaced(root: &Path) -> PathBuf {
    root.join(format!("{TEMPORARY}{REPLACED}"))
}

/// The paths in a directory, sorted.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let read =
        || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = read().context("list", dir)?;
    paths.sort();
    Ok(paths)
}

/// The last component of a path, for comparison with names of ours.
pub(crate) fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn sibling(path: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(TEMPORARY);
    name.push(what);
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

fn sync(path: &Path) -> Result<(), TrainError> {
    // Windows cannot open a directory to flush it.
    if cfg!(windows) && path.is_dir() {
        return Ok(());
    }
    // There, too, what is flushed must be open for writing. Elsewhere it may be a copy of a file that
    // nobody may write to.
    let file =
        if cfg!(windows) { File::options().write(true).open(path) } else { File::open(path) };
    file.and_then(|file| file.sync_all()).context("flush", path)
}

fn sync_parent(path: &Path) -> Result<(), TrainError> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_complete_or_absent() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("checkpoint_step_1");
        let failed = publish_dir(&dir, |temporary| {
            fs::write(temporary.join("half"), "x").unwrap();
            Err(TrainError::NoTrainingData)
        });
        assert!(failed.is_err() && !dir.exists());
        assert!(entries(root.path()).unwrap().is_empty());

        for text in ["first", "second"] {
            publish_dir(&dir, |temporary| {
                fs::write(temporary.join("file"), text).context("write", temporary)
            })
            .unwrap();
            assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), text);
        }
        remove_dir(&dir).unwrap();
        assert!(entries(root.path()).unwrap().is_empty());
    }

    #[test]
    fn a_file_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("training_stats.json");
        for text in ["first", "second"] {
            write_file(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(entries(root.path()).unwrap(), [path]);
    }

    #[test]
    fn only_our_own_leftovers_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let foreign = [".sft-tmp-notes", ".tmp-cache", ".tmp-final_model", "sft-tmp-final_model"];
        let ours = [
            ".sft-tmp-final_model",
            ".sft-tmp-metrics.jsonl",
            ".sft-tmp-removed-checkpoint_epoch_12",
            ".sft-tmp-replaced",
        ];
        for name in foreign.iter().chain(&ours) {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        remove_leftovers(root.path()).unwrap();
        let left = entries(root.path()).unwrap();
        assert_eq!(left, foreign.map(|name| root.path().join(name)));
    }

    #[test]
    fn a_file_that_nobody_may_write_to_is_published() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("out");
        publish_dir(&path, |dir| {
            let file = dir.join("tokenizer.json");
            fs::write(&file, "{}").unwrap();
            let mut rights = fs::metadata(&file).unwrap().permissions();
            rights.set_readonly(true);
            fs::set_permissions(&file, rights).context("write", &file)
        })
        .unwrap();
        assert_eq!(fs::read(path.join("tokenizer.json")).unwrap(), b"{}");
    }
}
