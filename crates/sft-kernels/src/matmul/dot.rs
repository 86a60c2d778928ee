//! The product of few rows of activations with a weight read once, in place: what it takes is the
//! time to read the weight.

use std::ops::Range;

use super::{
    lanes::Lanes,
    weight::{Element, Values},
};

/// Rows of the weight that are read side by side.
const SIDE_BY_SIDE: usize = 4;
/// Weights in the widest vector.
const WIDEST: usize = 32;

/// Some columns of `y = x W^T`, the work of one thread.
pub(super) struct DotTask<'a> {
    /// The whole weight, and the length of its rows.
    pub(super) w: Values<'a>,
    pub(super) w_cols: usize,
    /// Rows of the weight, which are columns of the result.
    pub(super) columns: Range<usize>,
    /// Rows of activations, packed as [`Element::add_dot`] wants them, `x_stride` cells apart, and of the
    /// result, `y_stride` apart.
    pub(super) rows: usize,
    pub(super) x: *const u32,
    pub(super) x_stride: usize,
    pub(super) y: *mut f32,
    pub(super) y_stride: usize,
    /// Whether to add to the result or to overwrite it.
    pub(super) add: bool,
}

/// Computes the task's part of the result.
///
/// # Safety
/// The processor has the features of `L`. `x` has `rows` rows with zeros up to the next multiple of
/// two vectors, `y` has `rows` rows in which nobody else touches `columns`.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes>(task: &DotTask<'_>) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match task.w {
            Values::F32(w) => dots_of::<L, f32>(task, w),
            Values::Bf16(w) => dots_of::<L, u16>(task, w),
        }
    }
}

#[inline(always)]
unsafe fn dots_of<L: Lanes, E: Element>(task: &DotTask<'_>, w: &[E]) {
    let mut column = task.columns.start;
    while column < task.columns.end {
        let four = column + SIDE_BY_SIDE <= task.columns.end;
        let mut row = 0;
        while row < task.rows {
            // SAFETY: the rows and columns lie inside the task's.
            row += unsafe {
                match (task.rows - row, four) {
                    (4.., true) => group::<L, E, 4, SIDE_BY_SIDE>(task, w, row, column),
                    (2.., true) => group::<L, E, 2, SIDE_BY_SIDE>(task, w, row, column),
                    (_, true) => group::<L, E, 1, SIDE_BY_SIDE>(task, w, row, column),
                    (4.., false) => group::<L, E, 4, 1>(task, w, row, column),
                    (_, false) => group::<L, E, 1, 1>(task, w, row, column),
                }
            };
        }
        column += if four { SIDE_BY_SIDE } else { 1 };
    }
}

/// `M` rows of activations times `R` rows of the weight. Returns `M`.
#[inline(always)]
unsafe fn group<L: Lanes, E: Element, const M: usize, const R: usize>(
    task: &DotTask<'_>,
    w: &[E],
    row: usize,
    column: usize,
) -> usize {
    const { assert!(2 * L::WIDTH <= WIDEST) };
    let step = 2 * L::WIDTH;
    let cells = step / E::per_cell::<L>();
    let weights = &w[column * task.w_cols..][..R * task.w_cols];
    let (whole, tail) = (task.w_cols / step, task.w_cols % step);
    // SAFETY: the caller has the features; `weights` has R rows of `whole` steps and a tail, `x` has
    // M rows of as many steps, the tail rounded up.
    unsafe {
        let mut sums = [[L::zero(); M]; R];
        let x = task.x.add(row * task.x_stride);
        for s in 0..whole {
            for (r, sums) in sums.iter_mut().enumerate() {
                let w = weights.as_ptr().add(r * task.w_cols + s * step);
                for (m, sums) in sums.iter_mut().enumerate() {
                    *sums = E::add_dot::<L>(*sums, x.add(m * task.x_stride + s * cells), w);
                }
            }
        }
        if tail > 0 {
            for (r, sums) in sums.iter_mut().enumerate() {
                let mut w = [E::default(); WIDEST];
                w[..tail].copy_from_slice(&weights[r * task.w_cols + whole * step..][..tail]);
                for (m, sums) in sums.iter_mut().enumerate() {
                    let x = x.add(m * task.x_stride + whole * cells);
                    *sums = E::add_dot::<L>(*sums, x, w.as_ptr());
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (m, sums) in sums.into_iter().enumerate() {
                let y = task.y.add((row + m) * task.y_stride + column + r);
                *y = if task.add { *y + L::total(sums) } else { L::total(sums) };
            }
        }
    }
    M
}
