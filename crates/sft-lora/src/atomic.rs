//! Files that are either old or new, never half written.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use crate::LoraError;

/// Writes `bytes` to a sibling of `path`, flushes it to the disk, and renames it to `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), LoraError> {
    write_with(
        path,
        |sibling| Ok(File::create(sibling).and_then(|mut file| file.write_all(bytes))?),
    )
}

/// Lets `fill` write a sibling of `path`, flushes that to the disk, and renames it to `path`.
pub(crate) fn write_with(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), LoraError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sibling = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let publish = || {
        fill(&sibling)?;
        // Windows flushes only what may be written.
        File::options().write(true).open(&sibling)?.sync_all()?;
        Ok(std::fs::rename(&sibling, path)?)
    };
    publish().map_err(|failure| {
        // The write's own error is the one to report; a leftover is harmless.
        let _ = std::fs::remove_file(&sibling);
        match failure {
            Failure::Io(source) => LoraError::Io { action: "write", path: path.to_owned(), source },
            Failure::Other(error) => *error,
        }
    })
}

/// Why a file was not written.
pub(crate) enum Failure {
    Io(io::Error),
    Other(Box<LoraError>),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LoraError> for Failure {
    fn from(error: LoraError) -> Self {
        Self::Other(Box::new(error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |sibling| {
            std::fs::write(sibling, b"half")?;
            Err(io::Error::other("the disk is full").into())
        });
        assert!(failed.unwrap_err().to_string().contains("write"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
