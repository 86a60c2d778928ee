//! Softmax and negative log-likelihood of rows of logits.

use rayon::prelude::*;

use super::{
    rows_a_task,
    vector::{LANES, exp, largest, total, vectorised},
};

/// The sum of the rows' negative log-likelihoods. `logits` is `[n, vocab]`, `labels` has `n` ids
/// below `vocab`. With `gradient`, the logits become `softmax - onehot`.
pub fn cross_entropy(logits: &mut [f32], labels: &[u32], vocab: usize, gradient: bool) -> f64 {
    let nll: Vec<f64> = logits
        .par_chunks_mut(vocab.max(1))
        .zip(labels)
        .with_min_len(rows_a_task(vocab))
        .map(|(row, &label)| {
            let label = label as usize;
            if !gradient {
                return nll_of(row, label);
            }
            let nll = softmax(row, label);
            row[label] -= 1.0;
            nll
        })
        .collect();
    nll.iter().sum() // in the order of the rows, whoever computed them
}

vectorised! {
    /// Puts the softmax of a row in its place; the negative log-likelihood of its label.
    fn softmax(row: &mut [f32], label: usize) -> f64 {
        let max = largest(row);
        let target = row[label] - max;
        let mut lanes = [0.0; LANES];
        let mut chunks = row.chunks_exact_mut(LANES);
        for x in chunks.by_ref() {
            for i in 0..LANES {
                x[i] = exp(x[i] - max);
                lanes[i] += x[i];
            }
        }
        for (i, x) in chunks.into_remainder().iter_mut().enumerate() {
            *x = exp(*x - max);
            lanes[i] += *x;
        }
        let sum = total(lanes);
        let scale = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= scale;
        }
        f64::from(sum).ln() - f64::from(target)
    }
}

vectorised! {
    /// The negative log-likelihood of a row's label.
    fn nll_of(row: &[f32], label: usize) -> f64 {
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
