//! Event files as TensorBoard reads them: records with checksums around messages of scalars.

mod event;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use event::Event;

/// How the name of an event file begins; TensorBoard looks for it, and reads the files of a folder in the order of
/// their names.
const PREFIX: &str = "events.out.tfevents.";

/// An event file, open for appending. Each event is written at once.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a new file in `dir` (which is made where it is missing), after all that are there, for a run that stands
    /// at `steps_done`. What older files say of later steps is no longer shown then.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn create(dir: &Path, steps_done: usize) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut second = now().max(0.0) as u64;
        if let Some(newest) = newest(dir)? {
            second = second.max(newest + 1);
        }
        let (path, file) = loop {
            let path = dir.join(format!("{PREFIX}{second:010}.sft"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => second += 1,
                Err(error) => return Err(error),
            }
        };
        let mut events = Self { path, file };
        events.write(&Event::Version)?;
        if steps_done > 0 {
            events.write(&Event::Restart { step: steps_done as u64 + 1 })?;
        }
        Ok(events)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the values of a step, each under its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        self.write(&Event::Scalars { step: step as u64, values })
    }

    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        self.file.write_all(&record::framed(&event.encode(now())))
    }
}

/// Whether an entry of a folder is an event file.
pub fn is_event_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(PREFIX) && path.is_file()
}

/// The highest time in the names of a folder's event files.
fn newest(dir: &Path) -> Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let second =
            name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next()?.parse().ok());
        newest = newest.max(second);
    }
    Ok(newest)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
