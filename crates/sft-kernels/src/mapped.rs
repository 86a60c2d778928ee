//! Files read through the page cache instead of being copied.

use std::{fs::File, io, ops::Deref, path::Path};

use memmap2::Mmap;

/// A read-only memory map of a whole file.
///
/// The file must not be shortened while it is mapped: as with every map, the system then ends the
/// program. Model folders are written once, so this is the usual contract of weight files.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the map is private to this value and read-only; that nobody shortens the file
        // meanwhile is the documented contract.
        unsafe { Mmap::map(&file) }.map(Self)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
