//! What the user sees.

use std::io::{self, Write};

use crate::error::Error;

/// Where the program's side of the conversation goes.
pub(crate) struct Screen<W> {
    out: W,
    colours: bool,
}

impl<W: Write> Screen<W> {
    pub(crate) fn new(out: W, colours: bool) -> Self {
        Self { out, colours }
    }

    /// A line, or several.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Error> {
        self.put(&format!("{}\n", printable(text)))
    }

    /// A line beside the matter.
    pub(crate) fn aside(&mut self, text: &str) -> Result<(), Error> {
        let text = printable(text);
        self.put(&if self.colours { format!("\x1b[2m{text}\x1b[0m\n") } else { text + "\n" })
    }

    /// A piece of an answer, at once.
    pub(crate) fn piece(&mut self, text: &str) -> Result<(), Error> {
        self.put(&printable(text))
    }

    /// The end of an answer.
    pub(crate) fn end_line(&mut self) -> Result<(), Error> {
        self.put("\n")
    }

    fn put(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(
            |source: io::Error| Error::Io {
                action: "write to",
                what: "the terminal".to_owned(),
                remedy: "start again at a terminal, or give --clinical-note",
                source,
            },
        )
    }
}

/// The text without characters that would command the terminal: a model may repeat those of a note.
fn printable(text: &str) -> String {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.replace(commands, "\u{FFFD}")
}
