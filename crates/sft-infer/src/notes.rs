//! Where notes come from.

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

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
        let mut bytes = Vec::new();
        stdin.lock().read_to_end(&mut bytes).map_err(|source| Error::Io {
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
        let parse = match extension.as_deref() {
            Some("txt") => lines,
            Some("csv") => csv_rows,
            _ => return Err(Error::UnknownKind { path: path.to_owned() }),
        };
        let bytes = fs::read(path).map_err(|source| Error::Io {
            action: "read",
            what: path.display().to_string(),
            remedy: "check the path of --input-file",
            source,
        })?;
        let (notes, rows) = parse(path, without_bom(&bytes))?;
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
fn lines(path: &Path, bytes: &[u8]) -> Result<(Vec<Note>, usize), Error> {
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
fn csv_rows(path: &Path, bytes: &[u8]) -> Result<(Vec<Note>, usize), Error> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let read_error = |error: csv::Error| Error::Io {
        action: "read",
        what: path.display().to_string(),
        remedy: "check that it is a CSV file",
        source: error.into(),
    };
    let header = reader.byte_headers().map_err(read_error)?.clone();
    let column = |name: &str| {
        header.iter().position(|field| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some(note_column) = column("clinical_note") else {
        return Err(no_column(path, &header));
    };
    let id_column = column("id");

    let mut notes = Vec::new();
    let mut rows = 0;
    let mut lines = LineCounter { bytes, offset: 0, line: 1 };
    for (row, record) in reader.byte_records().enumerate() {
        let record = record.map_err(read_error)?;
        let line = lines.at(record.position().map_or(0, csv::Position::byte) as usize);
        if record.len() != header.len() {
            return Err(Error::RowLength {
                path: path.to_owned(),
                line,
                fields: record.len(),
                columns: header.len(),
            });
        }
        let text = |column: usize| {
            std::str::from_utf8(&record[column])
                .map(|text| text.trim().to_owned())
                .map_err(|_| Error::NotUtf8 { path: path.to_owned(), line })
        };
        let note =
            Note { row, line, id: id_column.map(text).transpose()?, text: text(note_column)? };
        if note.text.is_empty() {
            tracing::warn!("{}:{line}: the row has no note: skipped", path.display());
        } else {
            notes.push(note);
        }
        rows = row + 1;
    }
    Ok((notes, rows))
}

fn no_column(path: &Path, header: &csv::ByteRecord) -> Error {
    let names: Vec<_> = header.iter().map(String::from_utf8_lossy).collect();
    let columns =
        if names.is_empty() { "(the file is empty)".to_owned() } else { names.join(", ") };
    let remedy = if names.len() == 1 && columns.contains([';', '\t']) {
        "separate the columns with commas"
    } else {
        "give the column that holds the notes this name in the first line"
    };
    Error::NoColumn { path: path.to_owned(), columns, remedy }
}

/// Line numbers of rising offsets. The csv crate's own are one short after a CRLF.
struct LineCounter<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: u64,
}

impl LineCounter<'_> {
    /// The line of the first byte at or after `offset` that is no line break.
    fn at(&mut self, offset: usize) -> u64 {
        let mut end = offset.min(self.bytes.len());
        while self.bytes.get(end).is_some_and(|b| matches!(b, b'\r' | b'\n')) {
            end += 1;
        }
        self.line += self.bytes[self.offset..end].split(|&b| b == b'\n').skip(1).count() as u64;
        self.offset = end;
        self.line
    }
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
