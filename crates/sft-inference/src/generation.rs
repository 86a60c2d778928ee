//! What a generation gives back.

use serde::Serialize;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model gave a stop token.
    Eos,
    /// `max_new_tokens` was reached, or the model's context was full.
    Length,
}

/// The summary of one note.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Generation {
    /// The text, without special tokens.
    pub generated_summary: String,
    /// Tokens of the prompt, template included.
    pub prompt_tokens: usize,
    /// Tokens the model gave, the stop token included.
    pub generated_tokens: usize,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Seconds from the start of the pass over the prompt to the first token. Notes whose prompts
    /// went through the model together share the figure.
    pub prefill_s: f64,
    /// Tokens after the first, by the seconds they took; 0 where there are none. For notes
    /// decoded together it is the rate of each, so that the total is higher.
    pub decode_tokens_per_s: f64,
    /// The ids the model gave, the stop id included.
    #[serde(skip)]
    pub ids: Vec<u32>,
}

/// News from a running generation.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More text of a note's summary: whole characters, never empty.
    Text {
        /// Index of the note.
        note: usize,
        /// What to append.
        text: String,
    },
    /// A note's summary is complete.
    Finished {
        /// Index of the note.
        note: usize,
        /// The result.
        generation: Generation,
    },
}
