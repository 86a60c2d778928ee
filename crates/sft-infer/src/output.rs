//! Where summaries go.

use std::io::{self, StdoutLock, Write};

use serde::Serialize;
use sft_inference::Generation;

use crate::cli::Args;
use crate::error::Error;
use crate::notes::{Note, Notes};
use crate::partial::PartialFile;

/// The summaries of a run, in the order of the notes.
pub(crate) struct Output {
    sink: Sink,
    format: Format,
    from_file: bool,
    next_row: usize,
}

enum Sink {
    Stdout(StdoutLock<'static>),
    File(PartialFile),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// An object a line.
    Json,
    /// The text of one note, as it is.
    Text,
    /// A line for each row of the input file.
    Lines,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(flatten)]
    generation: &'a Generation,
}

impl Output {
    /// Opens the place the arguments name, else standard output.
    pub(crate) fn open(args: &Args, notes: &Notes) -> Result<Self, Error> {
        let format = match (args.json, notes.rows) {
            (true, _) => Format::Json,
            (false, None) => Format::Text,
            (false, Some(_)) => Format::Lines,
        };
        let sink = match &args.output_file {
            None => Sink::Stdout(io::stdout().lock()),
            Some(path) => Sink::File(PartialFile::create(
                path,
                args.inputs().iter().map(std::path::PathBuf::as_path),
            )?),
        };
        Ok(Self { sink, format, from_file: notes.rows.is_some(), next_row: 0 })
    }

    /// The file behind it, if there is one.
    pub(crate) fn file(&self) -> Option<&PartialFile> {
        match &self.sink {
            Sink::Stdout(_) => None,
            Sink::File(file) => Some(file),
        }
    }

    /// A piece of a summary that is being made: shown at once where a single one is printed.
    pub(crate) fn piece(&mut self, text: &str) -> Result<(), Error> {
        if self.streams() { self.write(text.as_bytes()) } else { Ok(()) }
    }

    /// A complete summary.
    pub(crate) fn summary(&mut self, note: &Note, generation: &Generation) -> Result<(), Error> {
        let text = &generation.generated_summary;
        let mut bytes = match self.format {
            Format::Text if self.streams() => Vec::new(),
            Format::Text => text.clone().into_bytes(),
            Format::Lines => {
                let empty_rows = note.row - self.next_row;
                self.next_row = note.row + 1;
                [vec![b'\n'; empty_rows], in_one_line(text).into_bytes()].concat()
            }
            Format::Json => {
                let line = self.from_file.then_some(note.line);
                serde_json::to_vec(&JsonLine { line, id: note.id.as_deref(), generation })?
            }
        };
        bytes.push(b'\n');
        self.write(&bytes)?;
        if let Sink::File(file) = &mut self.sink {
            file.count_one();
        }
        Ok(())
    }

    /// The end: every row has its line, and a file gets its name.
    pub(crate) fn finish(mut self, notes: &Notes) -> Result<(), Error> {
        if let (Format::Lines, Some(rows)) = (self.format, notes.rows) {
            self.write(&vec![b'\n'; rows - self.next_row])?;
        }
        match self.sink {
            Sink::Stdout(_) => Ok(()),
            Sink::File(file) => file.complete(),
        }
    }

    fn streams(&self) -> bool {
        self.format == Format::Text && matches!(self.sink, Sink::Stdout(_))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.sink {
            Sink::File(file) => file.write(bytes),
            Sink::Stdout(out) => {
                out.write_all(bytes).and_then(|()| out.flush()).map_err(|source| Error::Io {
                    action: "write to",
                    what: "standard output".to_owned(),
                    remedy: "use --output-file",
                    source,
                })
            }
        }
    }
}

/// The lines of a summary joined by spaces.
fn in_one_line(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined() {
        assert_eq!(in_one_line(" fever\r\n\n  cough  \nrest\n"), "fever cough rest");
        assert_eq!(in_one_line("\n"), "");
    }
}
