//! A file that has its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// `PATH.partial`, which [`PartialFile::complete`] renames to `PATH`.
///
/// Until then whatever stood at `PATH` stays as it was, and every summary that was written is in
/// the partial file even if the process is killed. Dropped without a summary, it is removed.
pub(crate) struct PartialFile {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    written: Arc<AtomicUsize>,
    complete: bool,
}

impl PartialFile {
    /// Creates the partial file of `path`, which must be none of the `inputs`. An existing one is refused:
    /// it has the summaries of a run that was stopped, or is not this program's at all.
    pub(crate) fn create<'i>(
        path: &Path,
        inputs: impl IntoIterator<Item = &'i Path>,
    ) -> Result<Self, Error> {
        // Through a link to the file itself: a rename would replace the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_output = |input: &Path| fs::canonicalize(input).is_ok_and(|input| input == path);
        if inputs.into_iter().any(is_output) {
            return Err(Error::OutputIsInput { path });
        }
        if path.exists() && !path.is_file() {
            return Err(Error::OutputIsNoFile { path });
        }
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = match File::create_new(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::PartialExists { path: partial });
            }
            file => file.map_err(failed("create", &partial))?,
        };
        Ok(Self { file, path, partial, written: Arc::default(), complete: false })
    }

    /// Writes at once: nothing waits in a buffer of this process.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(failed("write", &self.partial))
    }

    /// Another summary is in the file.
    pub(crate) fn count_one(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// What to say about the file when the run ends early.
    pub(crate) fn remains(&self) -> Remains {
        Remains { partial: self.partial.clone(), written: Arc::clone(&self.written) }
    }

    /// Gives the file its name.
    pub(crate) fn complete(mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(failed("write", &self.partial))?;
        fs::rename(&self.partial, &self.path).map_err(failed("create", &self.path))?;
        self.complete = true;
        Ok(())
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.complete {
            self.remains().settle();
        }
    }
}

/// What an unfinished run leaves.
#[derive(Clone)]
pub(crate) struct Remains {
    partial: PathBuf,
    written: Arc<AtomicUsize>,
}

impl Remains {
    /// Says on standard error where the summaries so far are; removes a file without any.
    pub(crate) fn settle(&self) {
        let written = self.written.load(Ordering::Relaxed);
        // Nothing is left to be done where even standard error or the removal fails.
        if written == 0 {
            let _ = fs::remove_file(&self.partial);
        } else {
            let partial = self.partial.display();
            let _ = writeln!(io::stderr(), "finished summaries so far: {written}, in {partial}");
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = path.display().to_string();
    let remedy = "check that the folder of --output-file exists, is writable and has room";
    move |source| Error::Io { action, what, remedy, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.txt");
        let partial = folder.path().join("out.txt.partial");
        fs::write(&path, "old").unwrap();

        drop(PartialFile::create(&path, None).unwrap());
        assert!(!partial.exists(), "a file without a summary is removed");

        let mut file = PartialFile::create(&path, None).unwrap();
        file.write(b"new").unwrap();
        file.count_one();
        assert_eq!(fs::read_to_string(&partial).unwrap(), "new");
        drop(file);
        assert_eq!(fs::read_to_string(&partial).unwrap(), "new");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        let refused = PartialFile::create(&path, None).err().unwrap();
        assert!(refused.one_line().contains("out.txt.partial: exists already"));
        assert_eq!(fs::read_to_string(&partial).unwrap(), "new");
        fs::remove_file(&partial).unwrap();

        let mut file = PartialFile::create(&path, None).unwrap();
        file.write(b"new").unwrap();
        file.complete().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(!partial.exists());
    }

    #[test]
    fn refused_places() {
        let folder = tempfile::tempdir().unwrap();
        assert!(PartialFile::create(folder.path(), None).is_err());
        assert!(PartialFile::create(&folder.path().join("no/out.txt"), None).is_err());
        let input = folder.path().join("in.txt");
        fs::write(&input, "note").unwrap();
        assert!(PartialFile::create(&folder.path().join("./in.txt"), [input.as_path()]).is_err());
        assert_eq!(fs::read_to_string(&input).unwrap(), "note");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out.txt"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = PartialFile::create(&link, None).unwrap();
        file.write(b"new").unwrap();
        file.complete().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(PartialFile::create(Path::new("/dev/null"), None).is_err());
    }
}
