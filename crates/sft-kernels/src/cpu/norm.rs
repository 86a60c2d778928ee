//! Root-mean-square normalisation.

use rayon::prelude::*;

use super::{
    rows_a_task,
    vector::{LANES, sum_of, total, vectorised},
};

/// `y = x r w` by rows, with `r = 1 / sqrt(mean(x^2) + eps)`; `weight` has a row's length.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
    let width = weight.len();
    y.par_chunks_mut(width)
        .zip(x.par_chunks(width))
        .with_min_len(rows_a_task(width))
        .for_each(|(y, x)| forward(x, weight, eps, y));
}

/// Adds the gradient of `x`, `r (w dy - x r^2 mean(w dy x))`, to `dx`.
pub fn rms_norm_backward(x: &[f32], weight: &[f32], eps: f64, dy: &[f32], dx: &mut [f32]) {
    let width = weight.len();
    dx.par_chunks_mut(width)
        .zip(x.par_chunks(width).zip(dy.par_chunks(width)))
        .with_min_len(rows_a_task(width))
        .for_each(|(dx, (x, dy))| backward(x, weight, eps, dy, dx));
}

fn inverse_root(sum_of_squares: f32, width: usize, eps: f64) -> f32 {
    (1.0 / (f64::from(sum_of_squares) / width as f64 + eps).sqrt()) as f32
}

vectorised! {
    fn forward(x: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
        let r = inverse_root(sum_of(x, x, |x, y| x * y), x.len(), eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = x * r * w;
        }
    }
}

vectorised! {
    fn backward(x: &[f32], weight: &[f32], eps: f64, dy: &[f32], dx: &mut [f32]) {
        let r = inverse_root(sum_of(x, x, |x, y| x * y), x.len(), eps);
        let mut lanes = [0.0; LANES];
        let whole = x.len() - x.len() % LANES;
        for first in (0..whole).step_by(LANES) {
            let (x, w, dy) = (&x[first..][..LANES], &weight[first..][..LANES], &dy[first..][..LANES]);
            for i in 0..LANES {
                lanes[i] += dy[i] * w[i] * x[i];
            }
        }
        for i in whole..x.len() {
            lanes[i - whole] += dy[i] * weight[i] * x[i];
        }
        let along = r * r * (total(lanes) / x.len() as f32);
        for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
            *dx += r * (dy * w - x * along);
        }
    }
}
