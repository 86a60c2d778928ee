//! Does a text stop in mid-sentence?

use super::frame::{DANGLING, is_frame};
use super::negation::is_join;
use super::reading::Reading;
use super::tokens::Token;

/// Is there no full stop, does the last word ask for another, or do the last words state nothing?
pub(crate) fn is_cut_off(text: &str, reading: &Reading) -> bool {
    let text = text.trim_end_matches(['"', '”', '\'', ')']);
    if !text.ends_with(['.', '!', '?']) || text.ends_with("..") {
        return true;
    }
    let Some(last) = reading.sentences.last() else { return true };
    let tokens = &reading.tokens[last.clone()];
    let dangles = |[word, stop]: &[Token; 2]| word.is(DANGLING) && stop.text == ".";
    if reading.tokens.array_windows().any(dangles) || tokens.last().is_some_and(|t| t.is(DANGLING))
    {
        return true;
    }
    // `The patient.`, `..., and takes.`
    let join = tokens.iter().rposition(is_join);
    let start = last.start + join.map_or(0, |at| at + 1);
    let says = (start..last.end).any(|at| {
        let token = &reading.tokens[at];
        reading.states(at) || token.has_content() && !is_frame(&token.text, &token.stem)
    });
    let closes = |token: &Token| token.is(&["too", "also", "well", "respectively", "reported"]);
    !says && (join.is_none() || last.end - start < 3 && !tokens.last().is_some_and(closes))
}
