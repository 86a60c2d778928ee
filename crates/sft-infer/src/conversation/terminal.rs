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

#[cfg(unix)]
use super::restore;
use super::session::{Input, Line};
use crate::error::Error;
use crate::run::INTERRUPTED;

/// Terminals on which `rustyline` reads whole lines, without editing.
const WITHOUT_KEYS: [&str; 3] = ["dumb", "cons25", "emacs"];

/// The user's side of the conversation.
///
/// While a line is read Ctrl-C is a key; otherwise it is a signal, which sets `stop`. Where there are no keys it is a
/// signal at the prompt too, which no reading of a line returns from, so there it leaves.
pub(crate) struct Terminal {
    editor: Editor<Continuation, MemHistory>,
    stop: Arc<AtomicBool>,
    has_keys: bool,
    /// Whether Ctrl-C leaves.
    leaves: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes over the terminal's lines and Ctrl-C.
    pub(crate) fn open(stop: Arc<AtomicBool>) -> Result<Self, Error> {
        // A flag and not the `ctrlc` crate: that takes SIGTERM too, which must still end the program.
        signal_hook::flag::register(SIGINT, Arc::clone(&stop)).map_err(failed)?;
        let leaves = Arc::new(AtomicBool::new(false));
        let leave = Arc::clone(&leaves);
        signal_hook::flag::register_conditional_shutdown(SIGINT, INTERRUPTED, leave)
            .map_err(failed)?;
        #[cfg(unix)]
        restore::before_signals_end_the_program().map_err(failed)?;
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = Editor::with_history(config, MemHistory::new())
            .map_err(|error| failed(io::Error::other(error)))?;
        editor.set_helper(Some(Continuation));
        let term = std::env::var("TERM").unwrap_or_default();
        let has_keys = !WITHOUT_KEYS.iter().any(|name| term.eq_ignore_ascii_case(name));
        Ok(Self { editor, stop, has_keys, leaves })
    }
}

impl Input for Terminal {
    fn read(&mut self) -> Result<Line, Error> {
        loop {
            self.leaves.store(!self.has_keys, Ordering::Relaxed);
            let line = self.editor.readline("note> ");
            self.leaves.store(false, Ordering::Relaxed);
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
