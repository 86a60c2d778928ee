//! Files that are either old or new, never half written.

use std::{fs::File, io::Write, path::Path};

use crate::LoraError;

/// Writes `bytes` to a sibling of `path`, flushes it to the disk, and renames it to `path`.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), LoraError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let sibling = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&sibling)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&sibling, path));
    written.map_err(|source| {
        // The write's own error is the one to report; a leftover is harmless.
        let _ = std::fs::remove_file(&sibling);
        LoraError::Io { action: "write", path: path.to_owned(), source }
    })
}
