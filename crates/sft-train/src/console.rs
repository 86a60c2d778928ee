//! Writing to the terminal. Nothing that goes wrong there may end a training run; only [`print()`] can fail.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

/// A text that is the whole result of a process, on standard output. A reader that went away (`| head`) had enough.
pub(crate) fn print(text: impl Display) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A line of the result, on standard output.
pub(crate) fn result(line: impl Display) {
    let _ = print(line);
}

/// A line about the result, on standard error.
pub(crate) fn status(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Something the user should know although it stops nothing.
pub(crate) fn note(line: impl Display) {
    status(format_args!("note: {line}"));
}

/// Something that may spoil the result.
pub(crate) fn warning(line: impl Display) {
    status(format_args!("warning: {line}"));
}

/// The one line that says why the run ended.
pub(crate) fn error(line: impl Display) {
    status(format_args!("error: {line}"));
}

/// Marks the trained part of an example: brackets everywhere, and green on a terminal.
pub(crate) fn trained(text: &str) -> String {
    if std::io::stdout().is_terminal() {
        format!("\u{1b}[32m⟦{text}⟧\u{1b}[0m")
    } else {
        format!("⟦{text}⟧")
    }
}
