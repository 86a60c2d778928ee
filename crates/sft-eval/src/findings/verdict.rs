//! What a check finds.

use super::Side;
use std::fmt;
use std::ops::Range;

/// What is wrong with a summary; nothing, if both lists are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What the summary should say and does not.
    pub missing: Vec<Missing>,
    /// What the summary says and the note does not.
    pub unsupported: Vec<Unsupported>,
}

impl Verdict {
    /// Does the summary say all it should?
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Does the summary say only what the note says?
    pub fn supported(&self) -> bool {
        self.unsupported.is_empty()
    }
}

/// Something that the summary does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The finding's term; empty where the whole text is meant.
    pub term: String,
    /// What of it.
    pub lack: Lack,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// There is no text.
    Text,
    /// The text stops in mid-sentence, or its last sentence states nothing.
    End,
    /// The finding is not mentioned.
    Mention,
    /// It is mentioned, but never with the note's polarity.
    Polarity,
    /// Its side.
    Side(Side),
    /// One of its details.
    Detail(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.lack {
            Lack::Text => write!(f, "any text"),
            Lack::End => write!(f, "the end of the last sentence"),
            Lack::Mention => write!(f, "{}", self.term),
            Lack::Polarity => write!(f, "{} as the note has it, present or absent", self.term),
            Lack::Side(side) => write!(f, "the side of {}: {}", self.term, side.name()),
            Lack::Detail(detail) => write!(f, "{}: {detail}", self.term),
        }
    }
}

/// Something that the note does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Bytes of the summary.
    pub span: Range<usize>,
    /// The words there.
    pub words: String,
    /// Why.
    pub reason: Reason,
}

/// Why words are not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Neither a word of the note or its findings nor a frame word.
    Word,
    /// The finding, its result or another word is negated here and not in the note, or the other
    /// way round.
    Polarity,
    /// The note gives this finding no such side.
    Side(String),
    /// The note gives this finding no such number or time.
    Number(String),
    /// The note has no such number or time.
    UnknownNumber,
    /// The note says it of somebody else.
    OtherPerson,
    /// It was said before.
    Repetition,
    /// Another text begins.
    OtherText,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = &self.words;
        match &self.reason {
            Reason::Word => write!(f, "`{words}` is no word of the note"),
            Reason::Polarity => write!(f, "`{words}` is negated wrongly, or should be"),
            Reason::Side(term) => write!(f, "`{words}` is not the side of {term}"),
            Reason::Number(term) => write!(f, "`{words}` is not said of {term}"),
            Reason::UnknownNumber => write!(f, "`{words}` is no number or time of the note"),
            Reason::OtherPerson => write!(f, "`{words}` is said of somebody else"),
            Reason::Repetition => write!(f, "`{words}` was said before"),
            Reason::OtherText => write!(f, "`{words}` begins another text"),
        }
    }
}
