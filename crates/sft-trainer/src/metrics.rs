//! metrics.jsonl.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::lock::is_named;
use crate::{TrainError, files, files::Context};

/// Name of the file.
pub(crate) const FILE: &str = "metrics.jsonl";

/// The open file; a line is written at once.
#[derive(Debug)]
pub(crate) struct Metrics {
    path: PathBuf,
    file: File,
}

/// A line of an evaluation.
#[derive(Serialize)]
pub(crate) struct EvalRecord {
    pub(crate) step: usize,
    pub(crate) epoch: usize,
    pub(crate) eval_loss: f64,
}

impl Metrics {
    /// Opens the file of a run that stands at `step`. Later lines, of a run that was killed, and a line cut short
    /// by the kill are dropped, so that the file reads as that of one run.
    pub(crate) fn open(dir: &Path, step: usize) -> Result<Self, TrainError> {
        let path = dir.join(FILE);
        let old = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.context("read", &path)?,
        };
        Self::create(path, lines_until(&old, step))
    }

    fn create(path: PathBuf, text: &[u8]) -> Result<Self, TrainError> {
        files::write_file(&path, text)?;
        let file = OpenOptions::new().read(true).append(true).open(&path).context("open", &path)?;
        Ok(Self { path, file })
    }

    /// Whether the file still has its name.
    pub(crate) fn is_there(&self) -> bool {
        is_named(&self.file, &self.path)
    }

    /// Whether another run's file has its name.
    pub(crate) fn is_taken(&self) -> bool {
        self.path.exists() && !self.is_there()
    }

    /// Writes the file anew after its name was removed: what is open can still be read, as a rule.
    pub(crate) fn restore(&mut self) -> Result<(), TrainError> {
        let mut text = Vec::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_end(&mut text));
        if read.is_err() {
            text.clear();
        }
        *self = Self::create(self.path.clone(), &text)?;
        Ok(())
    }

    /// Adds a line.
    pub(crate) fn append(&mut self, record: &impl Serialize) -> Result<(), TrainError> {
        let json = serde_json::to_string(record);
        let line =
            json.map_err(|source| TrainError::Json { path: self.path.clone(), source })? + "\n";
        self.file.write_all(line.as_bytes()).context("write", &self.path)
    }

    /// Flushes all lines to the disk.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        self.file.sync_data().context("flush", &self.path)
    }
}

/// The part of the file before the first line that is past `step` or not a whole line of ours.
fn lines_until(text: &[u8], step: usize) -> &[u8] {
    #[derive(Deserialize)]
    struct Line {
        step: usize,
    }
    let kept = text.split_inclusive(|&byte| byte == b'\n').take_while(|line| {
        line.ends_with(b"\n")
            && serde_json::from_slice::<Line>(line).is_ok_and(|line| line.step <= step)
    });
    &text[..kept.map(<[u8]>::len).sum()]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":null}\n{\"step\":2,\"eval_loss\":2.25}\n\
                        {\"step\":3,\"loss\":2.0}\n{\"step\":4,\"lo";

    #[test]
    fn lines_past_the_step_and_a_cut_line_are_dropped() {
        let keep = |step| std::str::from_utf8(lines_until(TEXT.as_bytes(), step)).unwrap();
        assert_eq!(keep(0), "");
        assert_eq!(keep(2).lines().count(), 3);
        assert!(keep(2).ends_with("2.25}\n"));
        assert_eq!(keep(9).lines().count(), 4);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_whose_name_was_removed_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut metrics = Metrics::open(dir.path(), 0).unwrap();
        let record = |step| EvalRecord { step, epoch: 1, eval_loss: 1.5 };
        metrics.append(&record(1)).unwrap();
        fs::remove_file(&path).unwrap();
        metrics.append(&record(2)).unwrap();
        assert!(!metrics.is_there());
        metrics.restore().unwrap();
        metrics.append(&record(3)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn lines_are_appended_after_the_kept_ones() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), TEXT).unwrap();
        let mut metrics = Metrics::open(dir.path(), 1).unwrap();
        metrics.append(&EvalRecord { step: 2, epoch: 1, eval_loss: 1.5 }).unwrap();
        metrics.sync().unwrap();
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert_eq!(text, "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"epoch\":1,\"eval_loss\":1.5}\n");
    }
}
