//! One process an output directory.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::TrainError;

const LOCK: &str = ".sft-lock";
/// How often the file may be replaced by others while it is taken.
const TRIES: usize = 100;

/// The directory is this process's until the value is dropped; the system releases it when the process is killed.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// Whether this file system tells files apart; some that are not of this machine do not.
    tells_apart: bool,
}

impl Lock {
    /// Makes the directory where it is missing, and takes it. This is also the test that it can be written to.
    pub(crate) fn take(root: &Path) -> Result<Self, TrainError> {
        Self::take_while(root, || {})
    }

    /// `opened` is called between opening the file and locking it.
    fn take_while(root: &Path, mut opened: impl FnMut()) -> Result<Self, TrainError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            |source| TrainError::OutputDir { path, source }
        };
        let path = root.join(LOCK);
        for _ in 0..TRIES {
            fs::create_dir_all(root).map_err(fail(root))?;
            let file = File::create(&path).map_err(fail(&path))?;
            opened();
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(TrainError::InUse { path: root.into() });
                }
                // A file system without locks: go on without.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
                Err(TryLockError::Error(source)) => return Err(fail(&path)(source)),
            }
            // Who held it before may have removed the name meanwhile, and a third process may have made a new file:
            // a lock on a file without a name keeps nobody out.
            if is_named(&file, &path) {
                return Ok(Self { path, file, tells_apart: true });
            }
        }
        let file = File::create(&path).map_err(fail(&path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainError::InUse { path: root.into() }),
            _ => Ok(Self { path, file, tells_apart: false }),
        }
    }

    /// Whether the file of that name is still the one that this process holds.
    pub(crate) fn is_held(&self) -> bool {
        !self.tells_apart || is_named(&self.file, &self.path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Only the name goes here, and only while it is ours; a leftover file locks nothing.
        if self.is_held() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is a name of the open `file`.
#[cfg(unix)]
pub(crate) fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => same(&open, &named),
        _ => false,
    }
}

/// Where an open file cannot be removed, its name stays.
#[cfg(not(unix))]
pub(crate) fn is_named(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_replaced_before_it_was_locked_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(LOCK);
        let mut opened = 0;
        let lock = Lock::take_while(root.path(), || {
            opened += 1;
            match opened {
                1 => fs::remove_file(&path).unwrap(),
                2 => {
                    fs::remove_file(&path).unwrap();
                    File::create(&path).unwrap();
                }
                _ => {}
            }
        })
        .unwrap();
        assert_eq!(opened, 3);
        assert!(lock.is_held() && lock.tells_apart);
        assert!(matches!(Lock::take(root.path()), Err(TrainError::InUse { .. })));
        drop(lock);
        assert!(!path.exists());
        drop(Lock::take(root.path()).unwrap());
    }

    #[test]
    fn the_lock_of_another_process_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(LOCK);
        let first = Lock::take(root.path()).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!first.is_held());
        let second = Lock::take(root.path()).unwrap();
        drop(first);
        assert!(second.is_held() && path.exists());
    }
}
