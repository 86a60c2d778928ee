//! The model and the sample data that the library carries, unpacked to where other code can open them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(feature = "embedded")]
use sft_fixtures::embedded::{BASE, SAMPLE};
use sft_kernels::random::Fnv;

use super::SourceError;

/// Path and content of a file.
type File = (&'static str, &'static [u8]);

#[cfg(not(feature = "embedded"))]
const BASE: &[File] = &[];
#[cfg(not(feature = "embedded"))]
const SAMPLE: &[File] = &[];

const BASE_DIR: &str = "base";
const SAMPLE_DIR: &str = "phase1_data/sft";

/// A file of the synthetic sample data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Rows to train on.
    Train,
    /// Rows to validate on.
    Validation,
    /// Rows to test with.
    Test,
}

/// A file of the sample data, unpacked below the first of `caches` that can hold it.
///
/// # Errors
/// None can, or the library was built without the feature `embedded`.
pub fn sample_csv(sample: Sample, caches: &[PathBuf]) -> Result<PathBuf, SourceError> {
    let name = match sample {
        Sample::Train => "train_set_processed.csv",
        Sample::Validation => "val_set_processed.csv",
        Sample::Test => "test_set_processed.csv",
    };
    Ok(unpacked(caches)?.join(SAMPLE_DIR).join(name))
}

/// The folder of the model, unpacked like the sample data.
pub(super) fn base(caches: &[PathBuf]) -> Result<PathBuf, SourceError> {
    Ok(unpacked(caches)?.join(BASE_DIR))
}

/// Writes the embedded model as a Hugging Face folder, which must not exist or be empty.
///
/// # Errors
/// The folder is in use or cannot be written, or the library was built without the feature `embedded`.
pub fn export_base(out: &Path) -> Result<(), SourceError> {
    if cfg!(not(feature = "embedded")) {
        return Err(SourceError::NoEmbedded);
    }
    let is_empty = || fs::read_dir(out).is_ok_and(|mut files| files.next().is_none());
    if out.symlink_metadata().is_ok() && !is_empty() {
        return Err(SourceError::ExportTarget { path: out.into() });
    }
    write_missing(out, BASE).map_err(|(path, source)| SourceError::Export { path, source })
}

/// The folder with all files, in the first cache that can hold them. Its name changes with its content.
fn unpacked(caches: &[PathBuf]) -> Result<PathBuf, SourceError> {
    if cfg!(not(feature = "embedded")) {
        return Err(SourceError::NoEmbedded);
    }
    let mut refusal = SourceError::NoCache;
    for cache in caches {
        let root = cache.join(&*NAME);
        let base = private(cache).and_then(|()| hold_exactly(&root.join(BASE_DIR), BASE));
        match base.and_then(|()| hold_exactly(&root.join(SAMPLE_DIR), SAMPLE)) {
            Ok(()) => return Ok(root),
            Err((path, source)) => {
                let (action, variable) = ("use", "XDG_CACHE_HOME");
                refusal = SourceError::Cache { path, action, variable, source };
            }
        }
    }
    Err(refusal)
}

/// In the folder for temporary files, which all users share, a cache must be this user's own and closed to others.
fn private(cache: &Path) -> Result<(), (PathBuf, io::Error)> {
    #[cfg(unix)]
    if cache.parent() == Some(&std::env::temp_dir()) {
        return own(cache).map_err(|error| (cache.into(), error));
    }
    let _ = cache;
    Ok(())
}

#[cfg(unix)]
fn own(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let somebody_else = || io::Error::other("it belongs to somebody else");
    let found = folder.symlink_metadata()?;
    if !found.is_dir() {
        return Err(somebody_else());
    }
    // What this process makes tells who it is.
    let probe = numbered(&folder.join("owner"));
    fs::File::create_new(&probe)?;
    let user = probe.symlink_metadata().map(|file| file.uid());
    fs::remove_file(&probe)?;
    if found.uid() != user? {
        return Err(somebody_else());
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Writes what is missing, and removes what another program put beside it: a model's reader would take it.
fn hold_exactly(folder: &Path, files: &[File]) -> Result<(), (PathBuf, io::Error)> {
    write_missing(folder, files)?;
    for entry in fs::read_dir(folder).map_err(|error| (folder.into(), error))? {
        let path = entry.map_err(|error| (folder.into(), error))?.path();
        let is_ours = files.iter().any(|(name, _)| path.ends_with(name));
        // Another process is writing these.
        let is_partial = path.extension().is_some_and(|extension| extension == "tmp");
        if !is_ours && !is_partial {
            fs::remove_file(&path).map_err(|error| (path, error))?;
        }
    }
    Ok(())
}

/// Writes what is not there byte for byte. Two processes that do this at once write the same files, each whole.
fn write_missing(folder: &Path, files: &[File]) -> Result<(), (PathBuf, io::Error)> {
    fs::create_dir_all(folder).map_err(|error| (folder.into(), error))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        if !holds(&path, bytes) {
            replace(&path, bytes).map_err(|error| (path, error))?;
        }
    }
    Ok(())
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let same_size = path.metadata().is_ok_and(|file| file.len() == bytes.len() as u64);
    same_size && fs::read(path).is_ok_and(|content| content == bytes)
}

/// Writes a file beside its place and moves it there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = numbered(path);
    let moved = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if moved.is_err() {
        let _ = fs::remove_file(&partial);
    }
    moved
}

/// A name of this process alone, beside a path.
fn numbered(path: &Path) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_added_extension(format!("{}-{number}.tmp", std::process::id()))
}

/// The name of the unpacked folder, from a hash of names, lengths and contents. It only tells versions apart: the bytes
/// themselves are compared.
static NAME: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Fnv::default();
    for (name, bytes) in BASE.iter().chain(SAMPLE) {
        hash.update(name.as_bytes());
        hash.update(&bytes.len().to_le_bytes());
        hash.update(bytes);
    }
    format!("embedded-{}", hash.hex())
});
