//! Quotes that the CSV reader would take without a word, and lose text or rows over.

use crate::DatasetError;
use std::path::Path;

/// Where the scan is in a row.
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// Behind a quote that ends the field, unless another quote follows at once.
    Quote,
    /// Behind a quote and spaces: the field has ended.
    Ended,
}

/// Checks that every quoted field is closed, and that its closing quote stands before a comma or
/// the end of the row. Otherwise a quote of the text is not doubled: bare, or as in `\"`.
///
/// The reader itself accepts both: it takes the rest of the file for one field, or joins what
/// follows the quote to the field.
pub(super) fn check_quotes(path: &Path, data: &[u8]) -> Result<(), DatasetError> {
    let (mut state, mut line, mut start) = (State::FieldStart, 1, 1);
    for &byte in data {
        state = match (state, byte) {
            (State::FieldStart, b'"') => {
                start = line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) | (State::Quote, b'"') => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::FieldStart,
            (State::Quote | State::Ended, b' ' | b'\t') => State::Ended,
            (State::Quote | State::Ended, _) => {
                return Err(DatasetError::BareQuote { path: path.into(), line, start });
            }
            (State::FieldStart | State::Plain, _) => State::Plain,
        };
        line += u64::from(byte == b'\n');
    }
    match state {
        State::Quoted => Err(DatasetError::UnclosedQuote { path: path.into(), line: start }),
        _ => Ok(()),
    }
}
