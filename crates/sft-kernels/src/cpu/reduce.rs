//! Small operations on whole tensors.

use rayon::prelude::*;

use super::{GRAIN, rows_a_task};

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.par_chunks_mut(GRAIN).for_each(|x| x.iter_mut().for_each(|x| *x *= factor));
}

/// `y = 0`.
pub(super) fn clear(y: &mut [f32]) {
    y.par_chunks_mut(GRAIN).for_each(|y| y.fill(0.0));
}

/// `y = x`, of one length.
pub fn copy(x: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| y.copy_from_slice(x));
}

/// Adds a row to every row of `y`.
pub fn add_row(row: &[f32], y: &mut [f32]) {
    if !row.is_empty() {
        y.par_chunks_mut(row.len()).with_min_len(rows_a_task(row.len())).for_each(|y| {
            y.iter_mut().zip(row).for_each(|(y, x)| *y += x);
        });
    }
}

/// The rows of `x` `[T, width]` that `rows` names, in `y` `[rows, width]`.
///
/// # Panics
/// When a row is not there, or `y` has another length.
pub fn gather(x: &[f32], width: usize, rows: &[u32], y: &mut [f32]) {
    assert_eq!(y.len(), rows.len() * width, "slices that do not fit");
    let rows = rows.par_iter().zip(y.par_chunks_exact_mut(width.max(1)));
    rows.with_min_len(rows_a_task(width)).for_each(|(&row, y)| {
        y.copy_from_slice(&x[row as usize * width..][..width]);
    });
}

/// Adds the rows of `x` `[rows, width]` to those of `y` `[T, width]` that `rows` names.
///
/// # Panics
/// When a row is not there, or `x` has another length.
pub fn scatter_add(x: &[f32], width: usize, rows: &[u32], y: &mut [f32]) {
    assert_eq!(x.len(), rows.len() * width, "slices that do not fit");
    for (&row, x) in rows.iter().zip(x.chunks_exact(width.max(1))) {
        let y = &mut y[row as usize * width..][..width];
        y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
    }
}
