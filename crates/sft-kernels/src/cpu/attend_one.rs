//! Attention of a sequence's last position over the keys and values before it: what it takes is the
//! time to read them.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    GRAIN,
    vector::{LANES, exp, largest, sum_of, total, vectorised},
};

/// Softmax attention of one token: `q` and `out` are `[heads, head_dim]`, `keys` and `values`
/// `[tokens, kv_heads, head_dim]`, its own among them. A window lets it see the last so many.
///
/// # Errors
/// When the lengths do not fit together, or there is nothing to see.
pub fn attend_one(
    q: &[f32],
    [keys, values]: [&[f32]; 2],
    [kv_heads, head_dim]: [usize; 2],
    window: Option<usize>,
    out: &mut [f32],
) -> Result<()> {
    let width = kv_heads * head_dim;
    let seen = (keys.len() / width.max(1)).min(window.unwrap_or(usize::MAX));
    let fits = seen > 0
        && !q.is_empty()
        && keys.len().is_multiple_of(width)
        && keys.len() == values.len()
        && q.len().is_multiple_of(width)
        && q.len() == out.len();
    if !fits {
        bail!(
            "attention of {} numbers over {} keys and {} values in {kv_heads} heads of {head_dim}, \
             window {window:?}",
            q.len(),
            keys.len(),
            values.len()
        )
    }
    let from = keys.len() - seen * width;
    let (keys, values) = (&keys[from..], &values[from..]);
    let group = q.len() / kv_heads;
    out.par_chunks_mut(group)
        .zip(q.par_chunks(group))
        .enumerate()
        .with_min_len((GRAIN / (2 * seen * head_dim)).max(1))
        .for_each(|(head, (out, q))| {
            let at = head * head_dim;
            let mut scores = vec![0.0; seen * (q.len() / head_dim)];
            one_head(q, [&keys[at..], &values[at..]], head_dim, width, &mut scores, out);
        });
    Ok(())
}

vectorised! {
    /// The query heads `[group, head_dim]` that read one head of keys and values, whose rows are
    /// `width` apart; `scores` is memory for `[group, keys]`.
    fn one_head(
        q: &[f32],
        keys_and_values: [&[f32]; 2],
        head_dim: usize,
        width: usize,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let [keys, values] = keys_and_values;
        let seen = scores.len() / (q.len() / head_dim);
        for (i, key) in keys.chunks(width).enumerate() {
            for (q, scores) in q.chunks_exact(head_dim).zip(scores.chunks_exact_mut(seen)) {
                scores[i] = sum_of(q, &key[..head_dim], |q, k| q * k);
            }
        }
        let factor = (1.0 / (head_dim as f64).sqrt()) as f32;
        for row in scores.chunks_exact_mut(seen) {
            softmax(row, factor);
        }
        out.fill(0.0);
        for (i, value) in values.chunks(width).enumerate() {
            for (out, scores) in out.chunks_exact_mut(head_dim).zip(scores.chunks_exact(seen)) {
                let p = scores[i];
                for (out, v) in out.iter_mut().zip(value) {
                    *out += p * v;
                }
            }
        }
    }
}

/// The softmax of `factor row`.
#[inline(always)]
#[allow(clippy::inline_always)] // compiled where it is called, for its instructions
fn softmax(row: &mut [f32], factor: f32) {
    let max = largest(row);
    let mut lanes = [0.0; LANES];
    for x in row.chunks_mut(LANES) {
        for (x, sum) in x.iter_mut().zip(&mut lanes) {
            *x = exp((*x - max) * factor);
            *sum += *x;
        }
    }
    let scale = 1.0 / total(lanes);
    for x in row {
        *x *= scale;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        AttentionSpec,
        cpu::{AttentionShape, attention},
        random::uniform,
    };

    #[test]
    fn one_query_is_attended_as_among_many() {
        for (tokens, heads, kv_heads, dim) in [(1, 4, 2, 8), (7, 3, 3, 20), (700, 9, 3, 64)] {
            let q = uniform(1, 1, heads * dim);
            let [k, v] = [2, 3].map(|stream| uniform(1, stream, tokens * kv_heads * dim));
            for window in [None, Some(1), Some(5), Some(1000)] {
                let spec = AttentionSpec {
                    cu_seqlens_q: &[0, 1],
                    cu_seqlens_k: &[0, tokens as u32],
                    sliding_window: window,
                };
                let shape = AttentionShape::new(heads, kv_heads, dim, &spec).unwrap();
                let (mut found, mut expected) = (vec![9.0; q.len()], vec![0.0; q.len()]);
                attend_one(&q, [&k, &v], [kv_heads, dim], window, &mut found).unwrap();
                attention(&shape, [&q, &k, &v], &mut expected).unwrap();
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{tokens} {window:?}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut out = [0.0; 8];
        let x = [0.0; 16];
        let mut run = |q: &[f32], k: &[f32], v: &[f32], window| {
            attend_one(q, [k, v], [2, 4], window, &mut out).is_err()
        };
        assert!(!run(&x[..8], &x, &x, None));
        assert!(run(&x[..8], &x, &x[..8], None));
        assert!(run(&x[..8], &x[..12], &x[..12], None));
        assert!(run(&x, &x, &x, None));
        assert!(run(&x[..8], &[], &[], None));
        assert!(run(&[], &x, &x, None));
        assert!(run(&x[..8], &x, &x, Some(0)));
    }
}
