//! Ids to text, a piece at a time.

use tokenizers::Tokenizer;

use crate::InferenceError;

/// Turns the ids of one summary into text as they come.
///
/// The pieces are whole characters, and joined they are what the tokenizer makes of all ids at
/// once, special tokens left out. To be exact, text is held back for as long as a later id could
/// still change it: an unfinished character of a byte-level vocabulary, and a run of byte-fallback
/// tokens (`<0xF0>`), of which a decoder keeps all or nothing.
pub struct TextStream<'t> {
    tokenizer: &'t Tokenizer,
    /// White space at the start that belongs to no summary.
    lead: &'t str,
    ids: Vec<u32>,
    given: String,
}

impl<'t> TextStream<'t> {
    /// An empty text.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, lead: "", ids: Vec::new(), given: String::new() }
    }

    /// The same, without the white space that the model learnt to begin with
    /// ([`PromptTemplate::lead`](sft_dataset::PromptTemplate::lead)).
    #[must_use]
    pub fn without_lead(self, lead: &'t str) -> Self {
        Self { lead, ..self }
    }

    /// Adds an id; returns the text that is certain now and was not before, often none.
    ///
    /// # Errors
    /// [`InferenceError::Decode`] if the tokenizer cannot decode the ids.
    pub fn push(&mut self, id: u32) -> Result<String, InferenceError> {
        self.ids.push(id);
        // All ids are decoded again: a decoder may look at its neighbours and at the start of the
        // text, and 0.1 ms for a summary of hundreds of tokens is small beside a step of a model.
        if self.may_still_change(id) {
            return Ok(String::new());
        }
        let text = self.decode()?;
        Ok(self.give(text.trim_end_matches(char::REPLACEMENT_CHARACTER)))
    }

    /// The end: returns the text that was held back, and the whole.
    ///
    /// # Errors
    /// [`InferenceError::Decode`] if the tokenizer cannot decode the ids.
    pub fn finish(mut self) -> Result<(String, String), InferenceError> {
        let text = self.decode()?;
        Ok((self.give(&text), text))
    }

    fn decode(&self) -> Result<String, InferenceError> {
        let text = self.tokenizer.decode(&self.ids, true);
        let mut text = text.map_err(|source| InferenceError::Decode { source })?;
        if text.starts_with(self.lead) {
            text.drain(..self.lead.len());
        } else if self.lead.starts_with(&text) {
            text.clear(); // an unfinished lead
        }
        Ok(text)
    }

    /// What `text` has beyond what was given.
    fn give(&mut self, text: &str) -> String {
        let Some(new) = text.strip_prefix(self.given.as_str()) else { return String::new() };
        self.given.push_str(new);
        new.to_owned()
    }

    /// A special token adds no text; after a byte token another may follow.
    fn may_still_change(&self, id: u32) -> bool {
        self.tokenizer.id_to_token(id).is_none_or(|token| {
            is_byte_token(&token) || self.tokenizer.get_added_vocabulary().is_special_token(&token)
        })
    }
}

/// `<0x00>` to `<0xFF>`.
fn is_byte_token(token: &str) -> bool {
    token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'))
        .is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
