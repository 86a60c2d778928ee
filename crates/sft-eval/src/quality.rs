//! What a summary looks like, without asking whether it is true: its length, how much of it is
//! copied from the note, and how much it repeats.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::findings::tokens::{Token, tokens};

/// Words in a run that counts as repeated.
const RUN: usize = 4;

/// Figures of one summary. Words are words and numbers, whatever their case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Words of the summary.
    pub words: usize,
    /// Words of the summary for each word of the reference; `None` without a reference or where
    /// that has no words.
    pub length_ratio: Option<f64>,
    /// The share of the summary's words that lie in a fragment copied from the note, 0 to 1:
    /// "extractive fragment coverage" of Grusky, Naaman and Artzi (2018), "Newsroom".
    pub coverage: f64,
    /// The mean length of the copied fragment that a word of the summary lies in, in words:
    /// "extractive fragment density" of the same.
    pub density: f64,
    /// The longest fragment copied from the note, in words.
    pub longest_copy: usize,
    /// The share of the runs of four words that the summary has had before, 0 to 1.
    pub repetition: f64,
    /// Did generation end by itself, rather than at its limit?
    pub ended: bool,
}

/// The figures of `summary`, of which the caller knows whether generation `ended` by itself.
///
/// Takes time in proportion to the product of both lengths at worst.
pub fn quality(note: &str, summary: &str, reference: Option<&str>, ended: bool) -> Quality {
    let (note, summary) = (words(note), words(summary));
    let fragments = fragments(&note, &summary);
    let of_summary = |sum: usize| sum as f64 / summary.len().max(1) as f64;
    let reference = reference.map(|text| words(text).len()).filter(|&words| words > 0);
    let runs: Vec<&[String]> = summary.windows(RUN).collect();
    let different: BTreeSet<&[String]> = runs.iter().copied().collect();
    Quality {
        words: summary.len(),
        length_ratio: reference.map(|words| summary.len() as f64 / words as f64),
        coverage: of_summary(fragments.iter().sum()),
        density: of_summary(fragments.iter().map(|length| length * length).sum()),
        longest_copy: fragments.iter().copied().max().unwrap_or(0),
        repetition: (runs.len() - different.len()) as f64 / runs.len().max(1) as f64,
        ended,
    }
}

fn words(text: &str) -> Vec<String> {
    tokens(text).into_iter().filter(Token::has_content).map(|token| token.text).collect()
}

/// The lengths of the copied fragments: from left to right, the longest that the note has
/// (figure 2 of "Newsroom").
fn fragments(note: &[String], summary: &[String]) -> Vec<usize> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, word) in note.iter().enumerate() {
        places.entry(word).or_default().push(at);
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < summary.len() {
        let starts = places.get(summary[at].as_str()).map_or(&[][..], Vec::as_slice);
        let copied = |&start: &usize| {
            summary[at..]
                .iter()
                .zip(&note[start..])
                .take_while(|(ours, theirs)| ours == theirs)
                .count()
        };
        let longest = starts.iter().map(copied).max().unwrap_or(0);
        found.extend((longest > 0).then_some(longest));
        at += longest.max(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_by_hand() {
        let note = "Fever of 38.5 °C and a dry cough since Monday. No chest pain.";
        // `no chest pain` (3) and `dry cough since monday` (4) of 10 words
        let found = quality(note, "She has no chest pain but dry cough since Monday.", None, true);
        assert_eq!((found.words, found.longest_copy), (10, 4));
        assert!((found.coverage - 7.0 / 10.0).abs() < 1e-15);
        assert!((found.density - 25.0 / 10.0).abs() < 1e-15);
        assert_eq!((found.repetition, found.length_ratio, found.ended), (0.0, None, true));
    }

    #[test]
    fn a_copy_is_one_fragment_and_a_new_text_none() {
        let note = "fever and cough and fever and chills";
        let copy = quality(note, note, Some("fever"), false);
        assert_eq!((copy.coverage, copy.density), (1.0, 7.0));
        assert_eq!((copy.longest_copy, copy.length_ratio), (7, Some(7.0)));
        let new = quality(note, "headache", Some(""), true);
        assert_eq!((new.coverage, new.density, new.longest_copy), (0.0, 0.0, 0));
        assert_eq!(new.length_ratio, None);
    }

    #[test]
    fn going_round_in_circles() {
        let text = "fever and a cough fever and a cough fever and a cough";
        // nine runs of four words, four different ones
        assert!((quality("", text, None, true).repetition - 5.0 / 9.0).abs() < 1e-15);
        assert_eq!(quality("", "", None, true), Quality { ended: true, ..empty() });
    }

    fn empty() -> Quality {
        Quality {
            words: 0,
            length_ratio: None,
            coverage: 0.0,
            density: 0.0,
            longest_copy: 0,
            repetition: 0.0,
            ended: false,
        }
    }
}
