//! Figures from the losses of labelled summaries.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::auroc::{Wins, auroc};

/// What a model makes of factual and hallucinated summaries. A figure over an empty class is
/// `None`, `null` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows that were scored.
    pub rows: usize,
    /// Rows that were not: without a note or a summary, or too long.
    pub skipped: usize,
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
}

/// A model beside its base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The model with its adapter; its figures stand at the top level of the JSON object.
    #[serde(flatten)]
    pub model: Evaluation,
    /// The untouched base.
    pub base: Evaluation,
    /// The model's `auroc` less the base's.
    pub auroc_gain: Option<f64>,
}

impl Comparison {
    /// Sets a model beside its base.
    pub fn new(model: Evaluation, base: Evaluation) -> Self {
        let auroc_gain = model.auroc.zip(base.auroc).map(|(model, base)| model - base);
        Self { model, base, auroc_gain }
    }
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
        }
    }
}

/// Weighted by token.
fn mean_loss(rows: &[&Scored<'_>]) -> Option<f64> {
    let targets: usize = rows.iter().map(|row| row.targets).sum();
    (targets > 0).then(|| rows.iter().map(|row| row.nll).sum::<f64>() / targets as f64)
}

#[cfg(test)]
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
        assert_eq!(Comparison::new(factual, hallucinated).auroc_gain, None);
    }

    #[test]
    fn the_gain_is_the_difference() {
        let rows = |factual: f64| [row(factual, 2, None, 0), row(1.0, 1, Some("added"), 0)];
        let of = |factual| Evaluation::new(&rows(factual), 0);
        assert_eq!(Comparison::new(of(1.0), of(2.0)).auroc_gain, Some(0.5));
    }
}
