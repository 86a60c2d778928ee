//! The prompt around a note.

use crate::DatasetError;
use crate::limited::{SETTINGS, read_limited};
use std::ops::Range;
use std::path::Path;

pub(super) const PLACEHOLDER: &str = "{clinical_note}";

/// A text with `{clinical_note}` exactly once, used byte for byte: nothing is trimmed or added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptTemplate {
    text: String,
    /// Where the placeholder starts in `text`.
    at: usize,
    lead: String,
}

impl Default for PromptTemplate {
    /// `### Clinical note:⏎{clinical_note}⏎⏎### Summary:⏎`
    fn default() -> Self {
        let before = "### Clinical note:\n";
        let text = format!("{before}{PLACEHOLDER}\n\n### Summary:\n");
        Self { text, at: before.len(), lead: String::new() }
    }
}

impl PromptTemplate {
    /// A template from its text.
    ///
    /// # Errors
    /// [`DatasetError::Placeholder`] unless `{clinical_note}` is there exactly once.
    pub fn new(text: impl Into<String>) -> Result<Self, DatasetError> {
        let text = text.into();
        let mut places = text.match_indices(PLACEHOLDER).map(|(at, _)| at);
        match (places.next(), places.count()) {
            (Some(at), 0) => Ok(Self { text, at, lead: String::new() }),
            (first, more) => {
                Err(DatasetError::Placeholder { count: usize::from(first.is_some()) + more })
            }
        }
    }

    /// The template a user names: a file if there is one under that path, else the string itself.
    ///
    /// # Errors
    /// As [`PromptTemplate::new`], and if the file cannot be read or is not UTF-8.
    pub fn from_arg(file_or_text: &str) -> Result<Self, DatasetError> {
        let path = Path::new(file_or_text);
        if !path.exists() {
            return Self::new(file_or_text);
        }
        let bytes = read_limited(path, SETTINGS)
            .map_err(|source| DatasetError::Read { path: path.into(), source })?;
        let text = String::from_utf8(bytes)
            .map_err(|source| DatasetError::TemplateUtf8 { path: path.into(), source })?;
        Self::new(text)
    }

    /// The same template with white space between prompt and summary that counts as the summary's
    /// start: the model learns to write it. Where the prompt ends in plain text, as in
    /// `[INST] ... [/INST]`, the space in front of a summary is a part of its first token.
    #[must_use]
    pub fn with_lead(self, lead: &str) -> Self {
        Self { lead: lead.to_owned(), ..self }
    }

    /// The white space that a summary starts with; none unless [`PromptTemplate::with_lead`] set it.
    pub fn lead(&self) -> &str {
        &self.lead
    }

    /// The template's text, the placeholder included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The prompt for a note, which is put in as it is.
    pub fn render(&self, note: &str) -> String {
        [self.before(), note, self.after()].concat()
    }

    /// The text before the note.
    pub(super) fn before(&self) -> &str {
        &self.text[..self.at]
    }

    /// The text after the note.
    pub(super) fn after(&self) -> &str {
        &self.text[self.at + PLACEHOLDER.len()..]
    }

    /// The last characters before a summary, for messages.
    pub(super) fn end(&self) -> String {
        let after = self.after();
        let at = after.char_indices().rev().nth(11).map_or(0, |(at, _)| at);
        if after.is_empty() { PLACEHOLDER.to_owned() } else { after[at..].to_owned() }
    }

    /// Which bytes of a rendered prompt are the template's own, with a note of `note_len` bytes.
    pub(super) fn own_bytes(&self, note_len: usize) -> [Range<usize>; 2] {
        let note_end = self.at + note_len;
        [0..self.at, note_end..note_end + self.after().len()]
    }
}
