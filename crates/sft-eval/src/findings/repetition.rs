//! Text that goes round in circles.

use super::reading::Reading;
use std::ops::Range;

/// The tokens of each repetition: a sentence said before, a phrase said twice in a row (of one or
/// two words: three times), a finding twice in one list or more than three times in all.
pub(crate) fn repetitions(reading: &Reading) -> Vec<Range<usize>> {
    let content: Vec<usize> =
        (0..reading.tokens.len()).filter(|&at| reading.tokens[at].has_content()).collect();
    let stem = |at: usize| reading.tokens[at].stem.as_str();
    let stems = |range: &Range<usize>| -> Vec<&str> {
        content.iter().filter(|at| range.contains(at)).map(|&at| stem(at)).collect()
    };
    let mut found = Vec::new();
    for (i, sentence) in reading.sentences.iter().enumerate() {
        let words = stems(sentence);
        if !words.is_empty() && reading.sentences[..i].iter().any(|s| stems(s) == words) {
            found.push(sentence.clone());
        }
    }
    for length in 1..=content.len() / 2 {
        let copies = if length < 3 { 3 } else { 2 };
        let repeats = content.windows(length * copies).find(|window| {
            let (first, rest) = window.split_at(length);
            rest.chunks(length)
                .all(|chunk| chunk.iter().map(|&at| stem(at)).eq(first.iter().map(|&at| stem(at))))
        });
        if let Some(window) = repeats {
            found.push(window[length]..window[window.len() - 1] + 1);
            break;
        }
    }
    for (i, mention) in reading.mentions.iter().enumerate() {
        let same = |m: &usize| {
            reading.mentions[*m].findings == mention.findings
                && reading.sides_of(*m) == reading.sides_of(i)
        };
        let list = (0..i).rev().take_while(|&m| reading.listed[m + 1]);
        if list.into_iter().any(|m| same(&m)) || (0..i).filter(same).count() > 2 {
            found.push(mention.at.clone());
        }
    }
    found
}
