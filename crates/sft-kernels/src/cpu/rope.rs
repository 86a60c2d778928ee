//! Rotary position embedding.

use rayon::prelude::*;

use super::{rows_a_task, vector::vectorised};

/// Which way heads turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By the angle of the position.
    Forward,
    /// Back: the gradient's way.
    Back,
}

/// Rotates the halves of every head of `x`, rows of `width` numbers, by the angles of its token:
/// `cos` and `sin` are `[T, head_dim / 2]`.
pub fn rope(x: &mut [f32], cos: &[f32], sin: &[f32], width: usize, turn: Turn) {
    let half = cos.len() / (x.len() / width.max(1)).max(1);
    if half == 0 {
        return;
    }
    let direction = if turn == Turn::Forward { 1.0 } else { -1.0 };
    x.par_chunks_mut(width)
        .zip(cos.par_chunks(half).zip(sin.par_chunks(half)))
        .with_min_len(rows_a_task(width))
        .for_each(|(x, (cos, sin))| token(x, cos, sin, direction));
}

vectorised! {
    fn token(x: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
        let half = cos.len();
        for x in x.chunks_exact_mut(2 * half) {
            let (x1, x2) = x.split_at_mut(half);
            for i in 0..half {
                let (cos, sin) = (cos[i], direction * sin[i]);
                let (a, b) = (x1[i], x2[i]);
                x1[i] = a * cos - b * sin;
                x2[i] = b * cos + a * sin;
            }
        }
    }
}
