//! Lines from the terminal, with editing, history and paste.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustyline::completion::Completer;
use rustyline::error::{ReadlineError, Signal};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};
use signal_hook::consts::SIGINT;

use super::session::{Input, Line};
use crate::error::Error;

/// The user's side of the conversation.
///
/// While a line is read Ctrl-C is a key; otherwise it is a signal, which sets `stop`.
pub(crate) struct Terminal {
    editor: Editor<Continuation, MemHistory>,
    stop: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes over the terminal's lines and Ctrl-C.
    pub(crate) fn open(stop: Arc<AtomicBool>) -> Result<Self, Error> {
        // A flag and not the `ctrlc` crate: that takes SIGTERM too, which must still end the program.
        signal_hook::flag::register(SIGINT, Arc::clone(&stop)).map_err(failed)?;
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = Editor::with_history(config, MemHistory::new())
            .map_err(|error| failed(io::Error::other(error)))?;
        editor.set_helper(Some(Continuation));
        Ok(Self { editor, stop })
    }
}

impl Input for Terminal {
    fn read(&mut self) -> Result<Line, Error> {
        loop {
            let line = self.editor.readline("note> ");
            self.stop.store(false, Ordering::Relaxed); // a Ctrl-C that came after the last answer
            return match line {
                Ok(text) => Ok(Line::Text(text.replace("\\\n", "\n"))),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(ReadlineError::Signal(Signal::Resize)) => continue,
                Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => Ok(Line::Interrupt),
                Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                    Ok(Line::NotUtf8)
                }
                Err(error) => Err(failed(io::Error::other(error))),
            };
        }
    }
}

/// A line that ends in a backslash goes on.
struct Continuation;

impl Validator for Continuation {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if context.input().ends_with('\\') {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Continuation {
    type Candidate = String;
}
impl Hinter for Continuation {
    type Hint = String;
}
impl Highlighter for Continuation {}
impl Helper for Continuation {}

fn failed(source: io::Error) -> Error {
    Error::Io {
        action: "use",
        what: "the terminal".to_owned(),
        remedy: "give the note with --clinical-note or --input-file",
        source,
    }
}
