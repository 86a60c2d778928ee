//! Root-mean-square normalisation.

use rayon::prelude::*;

use super::{
    rows_a_task,
    vector::{sum_of, vectorised},
};

/// `y = x r w` by rows, with `r = 1 / sqrt(mean(x^2) + eps)`.
pub(crate) fn forward(x: &[f32], weight: &[f32], eps: f64) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    let width = weight.len();
    y.par_chunks_mut(width).zip(x.par_chunks(width)).with_min_len(rows_a_task(width)).for_each(
        |(y, x)| {
            row_forward(x, weight, eps, y);
        },
    );
    y
}

/// `dx = r (w dy - x r^2 mean(w dy x))`.
pub(crate) fn backward(x: &[f32], weight: &[f32], eps: f64, dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    let width = weight.len();
    dx.par_chunks_mut(width)
        .zip(x.par_chunks(width).zip(dy.par_chunks(width)))
        .with_min_len(rows_a_task(width))
        .for_each(|(dx, (x, dy))| row_backward(x, weight, eps, dy, dx));
    dx
}

fn inverse_root(sum_of_squares: f32, width: usize, eps: f64) -> f32 {
    (1.0 / (f64::from(sum_of_squares) / width as f64 + eps).sqrt()) as f32
}

vectorised! {
    fn row_forward(x: &[f32], weight: &[f32], eps: f64, y: &mut [f32]) {
        let r = inverse_root(sum_of(x, x, |x, y| x * y), x.len(), eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = x * r * w;
        }
    }
}

vectorised! {
    fn row_backward(x: &[f32], weight: &[f32], eps: f64, dy: &[f32], dx: &mut [f32]) {
        let r = inverse_root(sum_of(x, x, |x, y| x * y), x.len(), eps);
        for ((g, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
            *g = dy * w;
        }
        let mean = sum_of(dx, x, |g, x| g * x) / x.len() as f32;
        let along = r * r * mean;
        for (g, x) in dx.iter_mut().zip(x) {
            *g = r * (*g - x * along);
        }
    }
}
