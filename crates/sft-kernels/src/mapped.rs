//! Files read through the page cache instead of being copied.

use std::{
    fs::{File, Metadata},
    io,
    ops::{Deref, Range},
    path::{Path, PathBuf},
    time::SystemTime,
};

use memmap2::Mmap;

/// A read-only memory map of a whole file.
///
/// The file must not be shortened or overwritten while it is mapped: a shortened one ends the program
/// at the next read behind its end, as with every map, and an overwritten one changes the numbers.
/// Replacing the file by another of its name (writing beside it and renaming) is harmless: the map
/// keeps the old file alive until it is dropped. Model folders are written once, so this is the
/// usual contract of weight files.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

/// Length and time of the last change.
type Stamp = (u64, Option<SystemTime>);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let stamp = stamp(&file.metadata()?);
        // SAFETY: the map is private to this value and read-only; that nobody shortens or overwrites
        // the file meanwhile is the documented contract.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self { map, file, path: path.into(), stamp })
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the mapped file has kept its length and its time of change since it was opened. A file
    /// that has taken its place in the folder does not count.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn is_unchanged(&self) -> io::Result<bool> {
        Ok(stamp(&self.file.metadata()?) == self.stamp)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}

impl MappedFile {
    /// Lets the system take back the memory of bytes that will not be read soon; reading them again
    /// reads the file again.
    #[allow(unsafe_code)]
    pub fn forget(&self, range: Range<usize>) {
        #[cfg(unix)]
        {
            // SAFETY: the map is of a file and read-only, so that dropped pages come back as they were.
            // A refusal leaves the pages where they are, which does no harm.
            let _ = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_bytes_are_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let map = MappedFile::open(file.path()).unwrap();
        assert_eq!(&*map, &bytes[..]);
        map.forget(5_000..15_000);
        assert_eq!(&*map, &bytes[..]);
    }
}
