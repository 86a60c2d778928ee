//! One file into the cache.
//!
//! `hf-hub` writes to `blobs/<etag>.part`, continues such a file with a range request, moves it to its name at the end
//! and puts a link into `snapshots/<commit>`. It does not compare sizes, and its own retries may continue a part at a
//! wrong place: each attempt here is a fresh call without them, and its size is checked.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress;
use hf_hub::api::sync::{ApiError, ApiRepo};

use super::{Asked, SourceError};
use crate::source::{Event, OnEvent};

/// Pause between two looks at a file that another process downloads.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A revision that is being fetched.
pub(super) struct Download<'a> {
    pub(super) asked: &'a Asked<'a>,
    /// The repository at its commit.
    pub(super) repo: ApiRepo,
    /// Where the files of the commit appear.
    pub(super) folder: &'a Path,
    /// Where their contents are.
    pub(super) blobs: PathBuf,
    pub(super) attempts: usize,
    pub(super) retry_wait: Duration,
}

/// Why an attempt failed.
enum Failure {
    Final(SourceError),
    /// Another process has the file.
    Locked,
    /// The part does not fit what the server has.
    BadPart,
    /// The network; trying again may help.
    Passing(Box<dyn std::error::Error + Send + Sync>),
}

impl Download<'_> {
    /// Fetches a file unless it is there. `size` is what the listing says of it.
    pub(super) fn file(
        &self,
        name: &str,
        size: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<(), SourceError> {
        let path = self.folder.join(name);
        if is_complete(&path, size) {
            return Ok(());
        }
        on_event(Event::Started { file: name });
        let (mut failures, mut wait, mut told) = (0, self.retry_wait, false);
        loop {
            let source = match self.attempt(name, &path, size, on_event) {
                Ok(()) => {
                    on_event(Event::Finished { file: name });
                    return Ok(());
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Locked) => {
                    if !told {
                        let notice = format!("another process downloads {name}; waiting for it");
                        on_event(Event::Notice(&notice));
                        told = true;
                    }
                    thread::sleep(LOCK_WAIT);
                    continue;
                }
                Err(Failure::BadPart) => {
                    self.drop_part(name);
                    "the part of an earlier download does not fit".into()
                }
                Err(Failure::Passing(source)) => source,
            };
            failures += 1;
            if failures >= self.attempts {
                return Err(self.give_up(name, source));
            }
            thread::sleep(wait);
            wait *= 2;
        }
    }

    fn attempt(
        &self,
        name: &str,
        path: &Path,
        size: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<(), Failure> {
        if is_complete(path, size) {
            return Ok(()); // another process was first
        }
        let mut meter = Meter { on_event, done: 0, total: 0 };
        let downloaded = self.repo.download_with_progress(name, &mut meter);
        let total = size.unwrap_or(meter.total);
        downloaded.map_err(|error| self.failure(name, error))?;
        if is_complete(path, Some(total)) {
            return Ok(());
        }
        if !path.exists() {
            return Err(Failure::Final(self.asked.answer("a file is of another commit")));
        }
        // The link stays; what it points to goes.
        let _ = fs::canonicalize(path).and_then(fs::remove_file);
        Err(Failure::Passing(format!("{name} has not the {total} bytes it should have").into()))
    }

    fn failure(&self, name: &str, error: ApiError) -> Failure {
        let cache = |source| SourceError::Cache {
            path: self.blobs.clone(),
            action: "write to",
            variable: "HF_HOME",
            source,
        };
        match error {
            ApiError::LockAcquisition(_) => Failure::Locked,
            ApiError::InvalidResume => Failure::BadPart,
            ApiError::IoError(error) => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    Failure::Final(SourceError::DiskFull { path: self.blobs.clone() })
                }
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    Failure::Final(cache(error))
                }
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Failure::Final(cache(error)),
                _ => Failure::Passing(error.into()),
            },
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(416) => Failure::BadPart,
                ureq::Error::StatusCode(401 | 403) => Failure::Final(self.asked.gated()),
                ureq::Error::StatusCode(404) => Failure::Final(
                    self.asked.answer(&format!("{name} is in the list of files and not there")),
                ),
                error => Failure::Passing(error.into()),
            },
            other => Failure::Final(self.asked.answer(&format!("{name}: {other}"))),
        }
    }

    fn give_up(&self, name: &str, source: Box<dyn std::error::Error + Send + Sync>) -> SourceError {
        let id = self.asked.id.to_owned();
        match source.downcast_ref() {
            Some(ureq::Error::StatusCode(status)) => SourceError::Server { id, status: *status },
            _ => SourceError::Interrupted { id, file: name.to_owned(), source },
        }
    }

    /// Removes what an earlier download left of a file, so that the next attempt begins anew.
    fn drop_part(&self, name: &str) {
        if let Ok(metadata) = self.asked.api.metadata(&self.repo.url(name)) {
            let _ = fs::remove_file(self.blobs.join(metadata.etag()).with_extension("part"));
        }
    }
}

/// Whether a file is there, whole as far as its size tells.
fn is_complete(path: &Path, size: Option<u64>) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && size.is_none_or(|size| file.len() == size))
}

/// Counts bytes.
struct Meter<'a> {
    on_event: OnEvent<'a>,
    done: u64,
    total: u64,
}

impl Progress for &mut Meter<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.done, self.total) = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.on_event)(Event::Advanced { done: self.done, total: self.total });
    }

    fn finish(&mut self) {}
}
