//! Softmax and negative log-likelihood of rows of logits.

use rayon::prelude::*;

use super::{
    rows_a_task,
    vector::{LANES, exp, largest, total, vectorised},
};

/// The sum of the rows' negative log-likelihoods, and `softmax - onehot` of each row when it is
/// asked for. `logits` is `[n, vocab]`, `labels` has `n` ids below `vocab`.
pub(crate) fn chunk(
    logits: &[f32],
    labels: &[u32],
    vocab: usize,
    with_gradient: bool,
) -> (f64, Option<Vec<f32>>) {
    let mut probs = vec![0.0; if with_gradient { logits.len() } else { 0 }];
    let nll: Vec<f64> = if with_gradient {
        probs
            .par_chunks_mut(vocab)
            .zip(logits.par_chunks(vocab).zip(labels))
            .with_min_len(rows_a_task(vocab))
            .map(|(probs, (row, &label))| {
                let nll = gradient_row(row, label as usize, probs);
                probs[label as usize] -= 1.0;
                nll
            })
            .collect()
    } else {
        let rows = logits.par_chunks(vocab).zip(labels).with_min_len(rows_a_task(vocab));
        rows.map(|(row, &label)| row_nll(row, label as usize)).collect()
    };
    // In the order of the rows, whoever computed them.
    (nll.iter().sum(), with_gradient.then_some(probs))
}

vectorised! {
    /// The softmax of a row, and the negative log-likelihood of its label.
    fn gradient_row(row: &[f32], label: usize, probs: &mut [f32]) -> f64 {
        let max = largest(row);
        let mut lanes = [0.0; LANES];
        let (mut from, mut to) = (row.chunks_exact(LANES), probs.chunks_exact_mut(LANES));
        for (x, p) in from.by_ref().zip(to.by_ref()) {
            for i in 0..LANES {
                p[i] = exp(x[i] - max);
                lanes[i] += p[i];
            }
        }
        for (i, (x, p)) in from.remainder().iter().zip(to.into_remainder()).enumerate() {
            *p = exp(x - max);
            lanes[i] += *p;
        }
        let sum = total(lanes);
        let scale = 1.0 / sum;
        for p in probs.iter_mut() {
            *p *= scale;
        }
        f64::from(sum).ln() - f64::from(row[label] - max)
    }
}

vectorised! {
    /// The negative log-likelihood of a row's label.
    fn row_nll(row: &[f32], label: usize) -> f64 {
        let max = largest(row);
        let mut lanes = [0.0; LANES];
        let mut chunks = row.chunks_exact(LANES);
        for x in chunks.by_ref() {
            for i in 0..LANES {
                lanes[i] += exp(x[i] - max);
            }
        }
        for (i, x) in chunks.remainder().iter().enumerate() {
            lanes[i] += exp(x - max);
        }
        f64::from(total(lanes)).ln() - f64::from(row[label] - max)
    }
}
