//! Files of rows that change while a run goes on.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sft_kernels::random::Fnv;

/// A file of rows as it was when a run read it.
///
/// A run holds its rows in memory, so that a change cannot harm it; but a resume reads the file again.
#[derive(Clone, Debug)]
pub struct DataFile {
    path: PathBuf,
    /// What was read, unless there is no telling: a pipe can be read only once.
    read: Option<Content>,
    told: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Content {
    stamp: Stamp,
    fnv1a: String,
}

/// What a file system says of a file without reading it.
#[derive(Clone, Debug, PartialEq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl DataFile {
    /// The file that is about to be read.
    pub fn of(path: &Path) -> Self {
        let read = stamp(path).ok().flatten().and_then(|stamp| {
            let fnv1a = hash(path).ok()?;
            Some(Content { stamp, fnv1a })
        });
        Self { path: path.into(), read, told: false }
    }

    /// A warning when the file is not what it was, once. The content is read only when size or time have changed.
    pub(crate) fn warning(&mut self) -> Option<String> {
        let read = self.read.as_mut().filter(|_| !self.told)?;
        let what = match stamp(&self.path) {
            Ok(Some(now)) if now == read.stamp => return None,
            Ok(Some(now)) if hash(&self.path).is_ok_and(|hash| hash == read.fnv1a) => {
                // Touched, or written again as it was.
                read.stamp = now;
                return None;
            }
            Ok(_) => "has changed since this run read it",
            Err(_) => "cannot be read any more",
        };
        self.told = true;
        Some(format!(
            "{} {what}: this run goes on with the rows that it has in memory, but once it has ended, --resume needs the file as \
             it was (with --allow_changes, other rows will do); put it back, or do not change it before the run is complete",
            self.path.display()
        ))
    }
}

/// `None` for what is no regular file.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    let data = fs::metadata(path)?;
    let modified = data.modified().ok();
    Ok(data.is_file().then_some(Stamp { bytes: data.len(), modified }))
}

fn hash(path: &Path) -> io::Result<String> {
    let mut hash = Fnv::default();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.hex())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn touch(path: &Path, seconds: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn other_content_is_told_once_and_other_times_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.csv");
        fs::write(&path, "one").unwrap();
        let mut file = DataFile::of(&path);
        assert_eq!(file.warning(), None);
        touch(&path, 1000);
        assert_eq!(file.warning(), None);
        fs::write(&path, "two").unwrap();
        touch(&path, 2000);
        let warning = file.warning().unwrap();
        assert!(warning.contains("train.csv has changed"), "{warning}");
        assert!(warning.contains("--allow_changes"), "{warning}");
        assert_eq!(file.warning(), None);
    }

    #[test]
    fn a_file_that_is_gone_is_told_and_one_that_never_was_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.csv");
        assert_eq!(DataFile::of(&path).warning(), None);
        assert_eq!(DataFile::of(dir.path()).warning(), None);
        fs::write(&path, "one").unwrap();
        let mut file = DataFile::of(&path);
        fs::remove_file(&path).unwrap();
        assert!(file.warning().unwrap().contains("cannot be read any more"));
    }
}
