//! Summaries that might fuse with the end of a prompt.

use rayon::prelude::*;
use tokenizers::Tokenizer;

/// First characters outside ASCII that summaries have: letters, units, quotes, other scripts.
const NON_ASCII: &str = "éÉàñöüßçøµμ°±≥≤²½–—‘“”•→αβΔ中日한Жאع";

/// Summary starts worth trying at the end of `prompt`: single characters of many kinds, and for
/// each token of the vocabulary that begins with an end of the prompt what it goes on with.
pub(super) fn probes(prompt: &str, tokenizer: &Tokenizer) -> Vec<String> {
    // A summary is trimmed: it starts with no white space.
    let characters = ('!'..='~').chain(NON_ASCII.chars()).map(String::from);
    let ids: Vec<u32> = tokenizer.get_vocab(false).into_values().collect();
    let mut continuations: Vec<String> = ids
        .into_par_iter()
        .filter_map(|id| tokenizer.decode(&[id], false).ok())
        .flat_map_iter(|token| {
            let ends = |at: &usize| *at > 0 && prompt.ends_with(&token[..*at]);
            let borders: Vec<usize> = token.char_indices().map(|(at, _)| at).filter(ends).collect();
            borders.into_iter().map(|at| token[at..].to_owned()).collect::<Vec<_>>()
        })
        .filter(|rest| !rest.starts_with(char::is_whitespace))
        .collect();
    continuations.sort_unstable();
    continuations.dedup();
    characters.chain(continuations).collect()
}
