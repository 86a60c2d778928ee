//! ROUGE against the Python package; `tests/rouge/make_golden.py` says how the golden file is made.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use sft_eval::{Overlap, rouge};

#[derive(Deserialize)]
struct Golden {
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    kind: String,
    reference: String,
    summary: String,
    /// Of ROUGE-1, 2 and L: precision, recall, F1.
    plain: [[f64; 3]; 3],
    stemmed: [[f64; 3]; 3],
}

#[test]
fn two_hundred_pairs_are_those_of_the_python_package() {
    let golden: Golden = serde_json::from_str(include_str!("rouge/golden.json")).unwrap();
    assert_eq!(golden.pairs.len(), 200);
    let (mut differ, mut worst) = (0, 0.0_f64);
    for pair in &golden.pairs {
        for (stem, expected) in [(false, &pair.plain), (true, &pair.stemmed)] {
            let found = rouge(&pair.reference, &pair.summary, stem);
            let found = [found.rouge1, found.rouge2, found.rouge_l];
            for (found, expected) in found.iter().zip(expected) {
                let Overlap { precision, recall, f1 } = *found;
                for (found, expected) in [precision, recall, f1].iter().zip(expected) {
                    worst = worst.max((found - expected).abs());
                    let (kind, text) = (&pair.kind, &pair.summary);
                    assert!((found - expected).abs() < 1e-6, "{kind}, stem {stem}: {text}");
                }
            }
        }
        differ += usize::from(pair.plain != pair.stemmed);
    }
    assert!(differ > 30, "the stemmer changes only {differ} pairs");
    assert!(worst < 1e-12, "{worst:e}");
}
