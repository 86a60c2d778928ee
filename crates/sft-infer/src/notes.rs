//! Where notes come from.

use std::io::{self, IsTerminal};
use std::path::Path;

use sft_dataset::{
    NoteRow,
    limited::{ROWS, read_limited, read_within},
};

use crate::cli::Args;
use crate::error::Error;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One note to summarise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Position among the rows of its file, empty ones included, from 0.
    pub row: usize,
    /// The line of the file where it begins, from 1.
    pub line: u64,
    /// The `id` column of a .csv file.
    pub id: Option<String>,
    pub text: String,
}

/// Every note of one source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notes {
    pub notes: Vec<Note>,
    /// Rows of the file, empty ones included; `None` for a single note that is no file's.
    pub rows: Option<usize>,
}

impl Notes {
    /// Reads what the arguments name, else standard input.
    pub(crate) fn read(args: &Args) -> Result<Self, Error> {
        match (&args.clinical_note, &args.input_file) {
            (Some(text), _) => Self::single(text, "--clinical-note"),
            (None, Some(path)) => Self::from_file(path),
            (None, None) => Self::from_stdin(),
        }
    }

    fn single(text: &str, source_name: &'static str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Err(Error::EmptyNote { source_name });
        }
        Ok(Self {
            notes: vec![Note { row: 0, line: 1, id: None, text: text.to_owned() }],
            rows: None,
        })
    }

    fn from_stdin() -> Result<Self, Error> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Error::NoNote);
        }
        let bytes = read_within(stdin.lock(), ROWS).map_err(|source| Error::Io {
            action: "read",
            what: "standard input".to_owned(),
            remedy: "give the note with --clinical-note or --input-file",
            source,
        })?;
        let text = std::str::from_utf8(without_bom(&bytes))
            .map_err(|error| Error::StdinNotUtf8 { offset: error.valid_up_to() })?;
        if text.trim().is_empty() {
            Err(Error::NoNote)
        } else {
            Self::single(text, "standard input")
        }
    }

    /// Reads a .txt or .csv file.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Error> {
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let (notes, rows) = match extension.as_deref() {
            Some("txt") => lines(path)?,
            Some("csv") => csv_rows(path)?,
            _ => return Err(Error::UnknownKind { path: path.to_owned() }),
        };
        if notes.is_empty() {
            return Err(Error::NoNoteInFile { path: path.to_owned() });
        }
        Ok(Self { notes, rows: Some(rows) })
    }
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}

/// A note a line; lines without text count but are no notes.
fn lines(path: &Path) -> Result<(Vec<Note>, usize), Error> {
    let bytes = read_limited(path, ROWS).map_err(|source| Error::Io {
        action: "read",
        what: path.display().to_string(),
        remedy: "check the path of --input-file",
        source,
    })?;
    let bytes = without_bom(&bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let (mut notes, mut rows) = (Vec::new(), 0);
    for (row, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let number = row as u64 + 1;
        let text = std::str::from_utf8(line)
            .map_err(|_| Error::NotUtf8 { path: path.to_owned(), line: number })?
            .trim();
        if !text.is_empty() {
            notes.push(Note { row, line: number, id: None, text: text.to_owned() });
        }
        rows = row + 1;
    }
    Ok((notes, rows))
}

/// The `clinical_note` column, with the `id` column where there is one.
fn csv_rows(path: &Path) -> Result<(Vec<Note>, usize), Error> {
    let rows = sft_dataset::read_notes(path).map_err(Error::Csv)?;
    let count = rows.len();
    let mut notes = Vec::with_capacity(count);
    for (row, NoteRow { line, id, clinical_note: text }) in rows.into_iter().enumerate() {
        if text.is_empty() {
            tracing::warn!("{}:{line}: the row has no note: skipped", path.display());
        } else {
            notes.push(Note { row, line, id, text });
        }
    }
    Ok((notes, count))
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
