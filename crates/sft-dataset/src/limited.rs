//! Files that are read whole, but not without end.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

/// Most bytes of a file of settings: config.json, templates, indices.
pub const SETTINGS: u64 = 16 << 20;
/// Most bytes of a CSV file or another list of rows.
pub const ROWS: u64 = 2 << 30;
/// Most bytes of a tokenizer.json.
pub const TOKENIZER: u64 = 256 << 20;

/// Reads a file of at most `limit` bytes, whatever kind of file it is: what is longer (or never ends, as a device) is refused
/// before it fills the memory.
///
/// # Errors
/// When the file cannot be read, or is longer ([`ErrorKind::FileTooLarge`]).
pub fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_within(File::open(path)?, limit)
}

/// [`read_limited`] of anything that can be read, such as standard input.
///
/// # Errors
/// Those of [`read_limited`].
pub fn read_within(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is longer than {} MB, which no such file is", limit >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_refused_and_what_fits_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_limited(&path, 100).unwrap(), [7; 100]);
        assert_eq!(read_limited(&path, 99).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_within(&[7; 100][..], 100).unwrap(), [7; 100]);
        assert!(read_within(&[7; 100][..], 99).is_err());
        #[cfg(unix)]
        assert!(read_limited(Path::new("/dev/zero"), 1 << 16).is_err());
    }
}
