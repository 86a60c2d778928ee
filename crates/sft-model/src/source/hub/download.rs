//! One file into the cache, which is laid out as other tools of the hub do it: contents in `blobs`, and in
//! `snapshots/<commit>` a link to each.
//!
//! A file grows as `blobs/<commit>=<path>.part`. A commit's files never change, so a part is always continued; a lock
//! beside it keeps a second process from fetching the same.

use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::http::{Answer, Refusal, text};
use super::{Asked, SourceError};
use crate::source::{Event, OnEvent};

/// Pause between two looks at a file that another process downloads.
const LOCK_WAIT: Duration = Duration::from_millis(200);

/// A revision that is being fetched.
pub(super) struct Download<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) commit: &'a str,
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
    /// The part does not fit what the server has.
    BadPart,
    /// The network; trying again may help.
    Passing(Box<dyn Error + Send + Sync>),
}

impl Download<'_> {
    /// Fetches a file unless it is there. Its name is plain; `size` is what the listing says of it.
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
        fs::create_dir_all(&self.blobs).map_err(|error| self.unwritable(error))?;
        let part = self.blobs.join(format!("{}={}.part", self.commit, name.replace('/', "=")));
        let lock_path = part.with_extension("lock");
        let lock = self.lock(&lock_path, name, on_event)?;
        // Another process may have been first.
        if !is_complete(&path, size) {
            on_event(Event::Started { file: name });
            self.persist(name, &part, size, on_event)?;
            on_event(Event::Finished { file: name });
        }
        // Who still waits for this lock finds the file complete.
        let _ = fs::remove_file(lock_path);
        drop(lock);
        Ok(())
    }

    fn lock(&self, path: &Path, name: &str, on_event: OnEvent<'_>) -> Result<File, SourceError> {
        let lock = File::options().write(true).create(true).truncate(false).open(path);
        let lock = lock.map_err(|error| self.unwritable(error))?;
        let mut told = false;
        // A file system without locks goes without.
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if !told {
                let notice = format!("another process downloads {name}; waiting for it");
                on_event(Event::Notice(&notice));
                told = true;
            }
            thread::sleep(LOCK_WAIT);
        }
        Ok(lock)
    }

    /// Tries as often as the user wants.
    fn persist(
        &self,
        name: &str,
        part: &Path,
        size: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<(), SourceError> {
        let (mut failures, mut wait) = (0, self.retry_wait);
        loop {
            let source = match self.attempt(name, part, size, on_event) {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::BadPart) => {
                    let _ = fs::remove_file(part);
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
        part_path: &Path,
        size: Option<u64>,
        on_event: OnEvent<'_>,
    ) -> Result<(), Failure> {
        let unwritable = |error| Failure::Final(self.unwritable(error));
        let part = File::options().write(true).create(true).truncate(false).open(part_path);
        let mut part = part.map_err(unwritable)?;
        let here = part.metadata().map_err(unwritable)?.len();
        let from = if size.is_none_or(|size| here < size) { here } else { 0 };
        let path = format!("{}/resolve/{}/{name}", self.asked.id, self.commit);
        let answer = self.asked.client.get(&path, from).map_err(|refusal| match refusal {
            Refusal::Answer(reason) => {
                Failure::Final(self.asked.answer(&format!("{name}: {reason}")))
            }
            Refusal::Network(error) => Failure::Passing(error.into()),
        })?;
        let (mut done, total) = self.accept(name, &answer, from)?;
        if let (Some(size), Some(total)) = (size, total)
            && size != total
        {
            let reason = format!("the hub lists {name} with {size} bytes and has {total}");
            return Err(Failure::Passing(reason.into()));
        }
        let total = total.or(size);
        let blob = answer.etag.as_deref().and_then(plain_etag);
        if let Some(etag) = blob
            && total.is_some_and(|total| is_complete(&self.blobs.join(etag), Some(total)))
        {
            let _ = fs::remove_file(part_path);
            return self.link(name, etag).map_err(unwritable);
        }
        let named = part_path.file_stem().unwrap_or_default().to_string_lossy();
        let blob = blob.unwrap_or(&named).to_owned();

        part.set_len(done).map_err(unwritable)?;
        part.seek(SeekFrom::Start(done)).map_err(unwritable)?;
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Passing(error.into())),
            };
            part.write_all(&buffer[..count]).map_err(unwritable)?;
            done += count as u64;
            if total.is_some_and(|total| done > total) {
                return Err(Failure::BadPart);
            }
            on_event(Event::Advanced { done, total: total.unwrap_or(done) });
        }
        if total.is_some_and(|total| done < total) {
            return Err(Failure::Passing("the connection ended early".into()));
        }
        part.sync_all().map_err(unwritable)?;
        fs::rename(part_path, self.blobs.join(&blob)).map_err(unwritable)?;
        self.link(name, &blob).map_err(unwritable)
    }

    /// Where the body begins, and how long the whole file is.
    fn accept(
        &self,
        name: &str,
        answer: &Answer,
        from: u64,
    ) -> Result<(u64, Option<u64>), Failure> {
        let id = || self.asked.id.to_owned();
        let refused = |reason: &str| Failure::Final(self.asked.answer(&format!("{name}{reason}")));
        if answer.commit.as_ref().is_some_and(|commit| commit != self.commit) {
            return Err(refused(" comes from another commit than was asked for"));
        }
        match answer.response.status().as_u16() {
            200 => Ok((0, answer.response.body().content_length())),
            206 => match content_range(answer) {
                Some((start, total)) if start == from => Ok((from, total)),
                _ if from > 0 => Err(Failure::BadPart),
                _ => Err(refused(" comes as a part, and the whole was asked for")),
            },
            416 if from > 0 => Err(Failure::BadPart),
            401 | 403 if answer.from_hub => Err(Failure::Final(self.asked.gated())),
            404 => Err(refused(" is in the list of files and not there")),
            status @ (408 | 429 | 500..) => {
                Err(Failure::Passing(ureq::Error::StatusCode(status).into()))
            }
            status => Err(Failure::Final(SourceError::Server { id: id(), status })),
        }
    }

    /// Puts a content into the snapshot, in the place of whatever is there.
    fn link(&self, name: &str, blob: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(self.folder))?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        let up = "../".repeat(2 + name.matches('/').count());
        let target = self.blobs.join(blob);
        symlink(Path::new(&format!("{up}blobs/{blob}")), &path)
            .or_else(|_| fs::hard_link(&target, &path))
            .or_else(|_| fs::copy(&target, &path).map(drop))
    }

    fn unwritable(&self, error: io::Error) -> SourceError {
        let path = self.blobs.clone();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SourceError::DiskFull { path },
            _ => {
                SourceError::Cache { path, action: "write to", variable: "HF_HOME", source: error }
            }
        }
    }

    fn give_up(&self, name: &str, source: Box<dyn Error + Send + Sync>) -> SourceError {
        let id = self.asked.id.to_owned();
        match source.downcast_ref() {
            Some(ureq::Error::StatusCode(status)) => SourceError::Server { id, status: *status },
            _ => SourceError::Interrupted { id, file: name.to_owned(), source },
        }
    }
}

/// Whether a file is there, whole as far as its size tells.
fn is_complete(path: &Path, size: Option<u64>) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && size.is_none_or(|size| file.len() == size))
}

/// A tag that can be the name of a file; others are not used.
fn plain_etag(header: &str) -> Option<&str> {
    let etag = header.trim_start_matches("W/").trim_matches('"');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ((1..=128).contains(&etag.len()) && etag.bytes().all(plain)).then_some(etag)
}

/// First byte and length of the whole from `bytes 10-19/20`; the length may be `*`.
fn content_range(answer: &Answer) -> Option<(u64, Option<u64>)> {
    let range = text(answer.response.headers(), "content-range")?;
    let (range, total) = range.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}
