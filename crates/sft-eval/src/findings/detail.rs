//! What a detail of a finding asks for.

use super::frame::is_frame;
use super::negation::negations;
use super::quantity::{Quantity, quantities};
use super::tokens::{Token, tokens};

/// A detail in parts.
pub(crate) struct Parts {
    pub(crate) numbers: Vec<Quantity>,
    /// The stems of the other words that are no frame words, or of all where nothing else is left.
    pub(crate) words: Vec<String>,
    /// `no` in `no fracture`.
    pub(crate) negated: bool,
}

pub(crate) fn parts(detail: &str) -> Parts {
    let tokens = tokens(detail);
    let numbers = quantities(&tokens, &vec![false; tokens.len()]);
    let sentence = 0..tokens.len();
    let negations = negations(&tokens, &[sentence], &[], &[], &[]);
    let outside = tokens.iter().enumerate().filter(|(at, token)| {
        token.is_word() && !numbers.iter().any(|number| number.at.contains(at))
    });
    let all: Vec<&Token> = outside.clone().map(|(_, token)| token).collect();
    let uncued: Vec<&Token> =
        outside.filter(|(at, _)| !negations.cues[*at]).map(|(_, token)| token).collect();
    let negated = !uncued.is_empty() && negations.denied.contains(&true);
    let stems = |words: &[&Token]| words.iter().map(|token| token.stem.clone()).collect();
    let telling: Vec<&Token> =
        uncued.iter().copied().filter(|token| !is_frame(&token.text, &token.stem)).collect();
    let words = match () {
        () if !telling.is_empty() || !numbers.is_empty() => stems(&telling),
        () if !uncued.is_empty() => stems(&uncued),
        () => stems(&all),
    };
    Parts { numbers, words, negated }
}
