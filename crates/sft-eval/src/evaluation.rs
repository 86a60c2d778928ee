//! Figures from the losses of labelled summaries.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::auroc::{Wins, auroc};
use crate::{Bootstrap, Interval};

/// What a model makes of factual and hallucinated summaries. A figure over an empty class is
/// `None`, `null` in JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows that were scored.
    pub rows: usize,
    /// Rows that were not: without a note or a summary, or too long.
    pub skipped: usize,
    /// Scored rows whose note lost its end, so that they fit.
    pub shortened: usize,
    /// Scored rows with the label `factual`.
    pub factual: usize,
    /// Scored rows with any other label.
    pub hallucinated: usize,
    /// Mean negative log-likelihood per target token over all factual rows, in nats.
    pub loss_factual: Option<f64>,
    /// The same over all hallucinated rows.
    pub loss_hallucinated: Option<f64>,
    /// `exp(loss_factual)`.
    pub perplexity_factual: Option<f64>,
    /// The probability that a random factual summary has a lower mean loss per token than a random
    /// hallucinated one; a tie counts one half.
    pub auroc: Option<f64>,
    /// The same against the hallucinated rows of each `hallucination_type`; a row that names none
    /// is in none of them.
    pub auroc_by_type: BTreeMap<String, Option<f64>>,
    /// The same over the pairs of a factual and a hallucinated summary of one note: the note's own
    /// difficulty is in both.
    pub auroc_paired: Option<f64>,
    /// 95 % bootstrap intervals, over notes.
    pub intervals: Intervals,
}

/// How sure the figures of an [`Evaluation`] are: 95 % bootstrap intervals. Whole notes are drawn,
/// with all their rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Intervals {
    /// Of the mean over factual rows of their mean loss per token: each row counts once, whatever
    /// its length.
    pub loss_factual: Option<Interval>,
    /// Of `auroc`.
    pub auroc: Option<Interval>,
    /// Of `auroc_by_type`.
    pub auroc_by_type: BTreeMap<String, Option<Interval>>,
}

/// One row with its loss.
pub(crate) struct Scored<'a> {
    /// Sum over the targets.
    pub(crate) nll: f64,
    pub(crate) targets: usize,
    pub(crate) factual: bool,
    pub(crate) hallucination_type: &'a str,
    /// Equal for rows with equal notes.
    pub(crate) note: usize,
}

impl Scored<'_> {
    /// Mean log-likelihood per target: higher is likelier.
    fn score(&self) -> f64 {
        -self.nll / self.targets as f64
    }
}

/// Scores of the factual and the hallucinated rows of one note.
type Sides = (Vec<f64>, Vec<f64>);

impl Evaluation {
    pub(crate) fn new(rows: &[Scored<'_>], skipped: usize) -> Self {
        let (factual, hallucinated): (Vec<&Scored<'_>>, Vec<_>) =
            rows.iter().partition(|row| row.factual);
        let scores = |rows: &[&Scored<'_>]| rows.iter().map(|row| row.score()).collect::<Vec<_>>();
        let positive = scores(&factual);

        let mut types: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for row in hallucinated.iter().filter(|row| !row.hallucination_type.is_empty()) {
            types.entry(row.hallucination_type).or_default().push(row.score());
        }
        let mut notes: BTreeMap<usize, Sides> = BTreeMap::new();
        for row in rows {
            let (positive, negative) = notes.entry(row.note).or_default();
            if row.factual { positive } else { negative }.push(row.score());
        }
        let mut paired = Wins::default();
        for (positive, negative) in notes.values() {
            paired.count(positive, negative);
        }

        let loss_factual = mean_loss(&factual);
        Self {
            rows: rows.len(),
            skipped,
            shortened: 0,
            factual: factual.len(),
            hallucinated: hallucinated.len(),
            loss_factual,
            loss_hallucinated: mean_loss(&hallucinated),
            perplexity_factual: loss_factual.map(f64::exp),
            auroc: auroc(&positive, &scores(&hallucinated)),
            auroc_by_type: types
                .into_iter()
                .map(|(name, negative)| (name.to_owned(), auroc(&positive, &negative)))
                .collect(),
            auroc_paired: paired.share(),
            intervals: Intervals::new(rows),
        }
    }
}

impl Intervals {
    fn new(rows: &[Scored<'_>]) -> Self {
        let bootstrap = Bootstrap::default();
        let factual: Vec<&Scored<'_>> = rows.iter().filter(|row| row.factual).collect();
        let losses: Vec<f64> = factual.iter().map(|row| -row.score()).collect();
        let notes: Vec<usize> = factual.iter().map(|row| row.note).collect();
        let against = |negative: &dyn Fn(&Scored<'_>) -> bool| {
            let of = rows.iter().filter(|row| row.factual || negative(row));
            let of: Vec<&Scored<'_>> = of.collect();
            let scores: Vec<f64> = of.iter().map(|row| row.score()).collect();
            let positive: Vec<bool> = of.iter().map(|row| row.factual).collect();
            let notes: Vec<usize> = of.iter().map(|row| row.note).collect();
            bootstrap.auroc(&scores, &positive, &notes)
        };
        let types: BTreeSet<&str> = rows
            .iter()
            .filter(|row| !row.factual && !row.hallucination_type.is_empty())
            .map(|row| row.hallucination_type)
            .collect();
        let by_type = |name: &str| against(&|row| !row.factual && row.hallucination_type == name);
        Self {
            loss_factual: bootstrap.mean(&losses, &notes),
            auroc: against(&|_| true),
            auroc_by_type: types.into_iter().map(|name| (name.to_owned(), by_type(name))).collect(),
        }
    }
}

/// Weighted by token.
fn mean_loss(rows: &[&Scored<'_>]) -> Option<f64> {
    let targets: usize = rows.iter().map(|row| row.targets).sum();
    (targets > 0).then(|| rows.iter().map(|row| row.nll).sum::<f64>() / targets as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(nll: f64, targets: usize, kind: Option<&str>, note: usize) -> Scored<'_> {
        let hallucination_type = kind.unwrap_or_default();
        Scored { nll, targets, factual: kind.is_none(), hallucination_type, note }
    }

    #[test]
    fn by_hand() {
        let rows = [
            row(2.0, 2, None, 0),           // mean 1
            row(12.0, 4, None, 1),          // mean 3
            row(10.0, 5, Some("added"), 0), // mean 2
            row(1.5, 3, Some("added"), 1),  // mean 0.5
            row(9.0, 3, Some("wrong"), 1),  // mean 3
            row(4.0, 1, Some(""), 2),       // mean 4
        ];
        let evaluation = Evaluation::new(&rows, 7);
        assert_eq!((evaluation.rows, evaluation.skipped), (6, 7));
        assert_eq!((evaluation.factual, evaluation.hallucinated), (2, 4));
        assert_eq!(evaluation.loss_factual, Some(14.0 / 6.0));
        assert_eq!(evaluation.loss_hallucinated, Some(24.5 / 12.0));
        assert_eq!(evaluation.perplexity_factual, Some((14.0_f64 / 6.0).exp()));
        // 1 beats 2, 3 and 4; 3 beats 4 and ties 3: 4.5 of 8
        assert_eq!(evaluation.auroc, Some(4.5 / 8.0));
        let types = [("added", Some(0.25)), ("wrong", Some(0.75))];
        assert_eq!(evaluation.auroc_by_type, types.map(|(t, a)| (t.to_owned(), a)).into());
        // note 0: 1 beats 2; note 1: 3 loses to 0.5 and ties 3
        assert_eq!(evaluation.auroc_paired, Some(1.5 / 3.0));
    }

    #[test]
    fn an_empty_class() {
        let factual = Evaluation::new(&[row(2.0, 2, None, 0)], 0);
        assert_eq!(factual.loss_factual, Some(1.0));
        assert_eq!((factual.auroc, factual.auroc_paired), (None, None));
        assert_eq!(factual.loss_hallucinated, None);
        let hallucinated = Evaluation::new(&[row(2.0, 2, Some("added"), 0)], 0);
        assert_eq!((hallucinated.loss_factual, hallucinated.perplexity_factual), (None, None));
        assert_eq!(hallucinated.auroc_by_type, [("added".to_owned(), None)].into());
        assert_eq!(factual.intervals.auroc, None);
        assert_eq!(hallucinated.intervals.loss_factual, None);
    }

    #[test]
    fn intervals_lie_around_their_figures() {
        let rows: Vec<Scored<'_>> = (0..40)
            .map(|i| {
                let nll = 1.0 + f64::from(i * 7 % 11) / 4.0;
                if i % 2 == 0 {
                    row(nll, 2, None, i as usize / 2)
                } else {
                    row(nll + 0.5, 2, Some("added"), i as usize / 2)
                }
            })
            .collect();
        let evaluation = Evaluation::new(&rows, 0);
        let interval = evaluation.intervals.auroc.unwrap();
        assert_eq!(Some(interval.estimate), evaluation.auroc);
        assert!(interval.low < interval.estimate && interval.estimate < interval.high);
        assert_eq!(evaluation.intervals.auroc_by_type["added"], Some(interval));
        let loss = evaluation.intervals.loss_factual.unwrap();
        assert!((loss.estimate - evaluation.loss_factual.unwrap()).abs() < 1e-12, "equal lengths");
        assert!(loss.low < loss.high);
    }
}
