//! Rotary position embedding.

use rayon::prelude::*;

use super::{rows_a_task, vector::vectorised};

/// Rotates the halves of every head of `x` `[T, heads, head_dim]` by the angles of its token, `[T,
/// head_dim / 2]`; `direction` 1 forward, -1 back.
pub(crate) fn rotated(
    x: &[f32],
    cos: &[f32],
    sin: &[f32],
    width: usize,
    direction: f32,
) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    let tokens = x.len() / width.max(1);
    let half = cos.len() / tokens.max(1);
    if half == 0 {
        return y;
    }
    y.par_chunks_mut(width)
        .zip(x.par_chunks(width))
        .zip(cos.par_chunks(half).zip(sin.par_chunks(half)))
        .with_min_len(rows_a_task(width))
        .for_each(|((y, x), (cos, sin))| token(x, cos, sin, direction, y));
    y
}

vectorised! {
    fn token(x: &[f32], cos: &[f32], sin: &[f32], direction: f32, y: &mut [f32]) {
        let half = cos.len();
        for (y, x) in y.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)) {
            let ((y1, y2), (x1, x2)) = (y.split_at_mut(half), x.split_at(half));
            for i in 0..half {
                let (cos, sin) = (cos[i], direction * sin[i]);
                y1[i] = x1[i] * cos - x2[i] * sin;
                y2[i] = x2[i] * cos + x1[i] * sin;
            }
        }
    }
}
