//! A CSV file as rows of text with their line numbers, and every way in which it may not be one.

use super::columns::check_columns;
use super::quotes::check_quotes;
use crate::DatasetError;
use crate::limited::{ROWS, read_limited};
use csv::{ByteRecord, ReaderBuilder, StringRecord};
use std::path::Path;

/// A CSV file that is UTF-8, has the needed columns, and whose rows are as long as its header.
pub(crate) struct Table {
    pub(crate) header: StringRecord,
    /// The 1-based line where each row starts, and its fields.
    pub(crate) rows: Vec<(u64, StringRecord)>,
}

impl Table {
    /// Reads the file whole; `needed` columns must be in its header, `known` ones at most once.
    pub(crate) fn read(path: &Path, needed: &[&str], known: &[&str]) -> Result<Self, DatasetError> {
        let bytes = read_limited(path, ROWS)
            .map_err(|source| DatasetError::Read { path: path.into(), source })?;
        refuse_other_formats(path, &bytes)?;
        // Only the first three bytes: a mark elsewhere is text.
        let data = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);

        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(data);
        let mut lines = LineCounter { data, at: 0, line: 1 };
        let mut record = ByteRecord::new();
        let mut next = |record: &mut ByteRecord| -> Result<Option<u64>, DatasetError> {
            let more = reader.read_byte_record(record);
            let line = lines.start_of(record);
            match more {
                Ok(more) => Ok(more.then_some(line)),
                Err(source) => Err(DatasetError::Row { path: path.into(), line, source }),
            }
        };

        if next(&mut record)?.is_none() {
            return Err(DatasetError::EmptyCsv { path: path.into(), header: false });
        }
        let mut header = StringRecord::from_byte_record(record.clone())
            .map_err(|_| bad_utf8(path, data, "(header)"))?;
        header.trim();
        if header.iter().any(|name| name.contains('\0')) {
            return Err(binary(path));
        }
        // A header that swallows the file, and only then a header with wrong names.
        let quotes = check_quotes(path, data);
        if !matches!(quotes, Err(DatasetError::UnclosedQuote { .. })) {
            check_columns(path, &header, needed, known)?;
        }
        quotes?;

        let mut rows = Vec::new();
        while let Some(line) = next(&mut record)? {
            if record.len() != header.len() {
                let (expected, found) = (header.len(), record.len());
                return Err(DatasetError::RowLength { path: path.into(), line, expected, found });
            }
            let row = StringRecord::from_byte_record(record.clone())
                .map_err(|error| bad_utf8(path, data, &header[error.utf8_error().field()]))?;
            rows.push((line, row));
        }
        if rows.is_empty() {
            return Err(DatasetError::EmptyCsv { path: path.into(), header: true });
        }
        Ok(Self { header, rows })
    }
}

fn bad_utf8(path: &Path, data: &[u8], column: &str) -> DatasetError {
    let good = std::str::from_utf8(data).map_or_else(|error| error.valid_up_to(), str::len);
    let line = 1 + newlines(&data[..good]);
    DatasetError::BadUtf8 { path: path.into(), line, column: column.to_owned() }
}

/// Formats that people give by mistake, recognised before the CSV reader makes nonsense of them.
fn refuse_other_formats(path: &Path, bytes: &[u8]) -> Result<(), DatasetError> {
    const UTF16: (&str, &str) = (
        "text in UTF-16",
        "save it again as \"CSV UTF-8\", or convert it with `iconv -f UTF-16 -t UTF-8`",
    );
    let nuls =
        |start: usize| bytes.iter().skip(start).step_by(2).take(500).filter(|&&b| b == 0).count();
    let (even, odd) = (nuls(0), nuls(1));
    let half = bytes.len().min(1000) / 4;
    let (format, remedy) = if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        UTF16
    } else if bytes.starts_with(b"PK\x03\x04") {
        ("a workbook or another zip file", "open it and export the sheet as \"CSV UTF-8\"")
    } else if !bytes.contains(&0) {
        return Ok(());
    } else if (even == 0 && odd > half) || (odd == 0 && even > half) {
        UTF16
    } else {
        // A NUL in a cell is a character like others.
        return Ok(());
    };
    Err(DatasetError::NotText { path: path.into(), format, remedy })
}

fn binary(path: &Path) -> DatasetError {
    DatasetError::NotText {
        path: path.into(),
        format: "a binary file (it begins with NUL bytes)",
        remedy: "give the CSV file it was made from, or export it as \"CSV UTF-8\"",
    }
}

/// Line numbers of rows. `csv::Position::line` cannot be used: it counts from where the reader
/// stopped, which is before blank lines and, in a CRLF file, before the line feed of the row above.
struct LineCounter<'a> {
    data: &'a [u8],
    at: usize,
    line: u64,
}

impl LineCounter<'_> {
    /// The 1-based line of a record's first byte. Records must come in file order.
    fn start_of(&mut self, record: &ByteRecord) -> u64 {
        let stopped = record.position().map_or(self.at, |position| position.byte() as usize);
        let blank = self.data[stopped..].iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
        let start = stopped + blank;
        self.line += newlines(&self.data[self.at..start]);
        self.at = start;
        self.line
    }
}

// A vectorised count is not worth a dependency.
#[allow(clippy::naive_bytecount)]
fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&b| b == b'\n').count() as u64
}
