//! Questions and their answers in a conversation that is written down.

use std::ops::Range;

use super::cues::{FILLERS, NO, SHORT, YES};
use super::polarity::Polarity;
use crate::findings::tokens::{Kind, Token};

/// The tokens of `Doctor:` or `Guest_family:` before what is said.
pub(crate) fn label(tokens: &[Token], sentence: &Range<usize>) -> usize {
    let colon = tokens[sentence.clone()].iter().take(4).position(|t| t.kind == Kind::Colon);
    let speaker = ["doctor", "patient", "guest", "nurse", "family", "clinician", "provider"];
    match colon {
        Some(at) if tokens[sentence.start].is(&speaker) => at + 1,
        _ => 0,
    }
}

/// What a sentence answers to a question; `None` for another question.
pub(crate) fn answer(tokens: &[Token], sentence: &Range<usize>) -> Option<Polarity> {
    if tokens.get(sentence.end).is_some_and(|stop| stop.text == "?") {
        return None;
    }
    let start = sentence.start + label(tokens, sentence);
    let words = tokens[start..sentence.end].iter().filter(|t| t.kind != Kind::Comma);
    let mut words = words.skip_while(|t| t.is(FILLERS));
    let (first, second) = (words.next()?, words.next());
    let not = first.is(NO) || second.is_some_and(|t| t.is(&["not", "never"]));
    Some(match () {
        () if not => Polarity::Negated,
        () if first.is(YES) || first.is(SHORT) && second.is_none() => Polarity::Affirmed,
        () => Polarity::Open,
    })
}
