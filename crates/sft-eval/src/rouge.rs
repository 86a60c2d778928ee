//! ROUGE-1, ROUGE-2 and ROUGE-L of a summary against a reference, as Google's Python package
//! `rouge-score` 0.1.2 computes them with its default tokenizer.
//!
//! Words are runs of `a-z` and `0-9` in the lower-cased text; every other character separates them,
//! so `38.5` is two words and a letter with an accent is none. With a stemmer, words of more than
//! three characters lose their endings as by NLTK's `PorterStemmer` (its extensions on). ROUGE-L is
//! of the whole text as one sequence. Source: Lin (2004), "ROUGE: A Package for Automatic Evaluation
//! of Summaries".

use std::collections::BTreeMap;

use serde::Serialize;

use crate::porter::porter;

/// What two texts share, as shares of each. All 0 where one has no words.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Overlap {
    /// Of the summary, 0 to 1.
    pub precision: f64,
    /// Of the reference, 0 to 1.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Overlap {
    /// `shared` things of `summary` in the summary and `reference` in the reference; of 0 the
    /// share is 0.
    pub(crate) fn new(shared: usize, summary: usize, reference: usize) -> Self {
        let share = |of: usize| shared as f64 / of.max(1) as f64;
        Self::of_shares(share(summary), share(reference))
    }

    pub(crate) fn of_shares(precision: f64, recall: f64) -> Self {
        let sum = precision + recall;
        let f1 = if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// The three figures of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rouge {
    /// Of single words.
    pub rouge1: Overlap,
    /// Of pairs of neighbours.
    pub rouge2: Overlap,
    /// Of the longest common subsequence.
    pub rouge_l: Overlap,
}

/// ROUGE of `summary` against `reference`; `stem` as `use_stemmer` of `rouge-score`.
///
/// Takes time in proportion to the product of both lengths.
pub fn rouge(reference: &str, summary: &str, stem: bool) -> Rouge {
    let (reference, summary) = (words(reference, stem), words(summary, stem));
    let longest = if reference.is_empty() || summary.is_empty() {
        Overlap::default()
    } else {
        Overlap::new(common_subsequence(&reference, &summary), summary.len(), reference.len())
    };
    Rouge {
        rouge1: of_runs(&reference, &summary, 1),
        rouge2: of_runs(&reference, &summary, 2),
        rouge_l: longest,
    }
}

fn words(text: &str, stem: bool) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !matches!(c, 'a'..='z' | '0'..='9'));
    let words = words.filter(|word| !word.is_empty());
    words.map(|word| if stem && word.len() > 3 { porter(word) } else { word.to_owned() }).collect()
}

/// Of runs of `n` words, each counted as often as both texts have it.
fn of_runs(reference: &[String], summary: &[String], n: usize) -> Overlap {
    let (theirs, ours) = (counts(reference, n), counts(summary, n));
    let shared = theirs.iter().map(|(run, count)| (*count).min(*ours.get(run).unwrap_or(&0))).sum();
    Overlap::new(shared, ours.values().sum(), theirs.values().sum())
}

fn counts(words: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    for run in words.windows(n) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

/// The length of the longest sequence that both have in this order, gaps allowed.
fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0_usize; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if word == other { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let found = rouge("the cat sat on the mat", "the mat the cat", false);
        // the, the, mat, cat of four and of six
        assert_eq!(found.rouge1, Overlap::new(4, 4, 6));
        assert_eq!(found.rouge2, Overlap::new(2, 3, 5), "`the cat`, `the mat`");
        assert_eq!(found.rouge_l, Overlap::new(2, 4, 6));
    }

    #[test]
    fn nothing_shares_nothing() {
        assert_eq!(rouge("", "", false), Rouge::default());
        assert_eq!(rouge("fever", "", true), Rouge::default());
        assert_eq!(rouge("発熱", "fever", false), Rouge::default());
        assert_eq!(rouge("fever", "fever", false).rouge2, Overlap::default(), "there is no pair");
    }
}
