//! The product of few rows of activations with a weight read once, in place: what it takes is the
//! time to read the weight.

use std::ops::Range;

use super::{
    lanes::Lanes,
    quantised::Quantised,
    task::Task,
    weight::{Element, Values},
};

/// Rows of the weight that are read side by side.
const SIDE_BY_SIDE: usize = 4;
/// Bytes between the weights at work and those that are asked for: rows are too short for the
/// processor to see by itself what comes next.
const AHEAD: usize = 8192;
/// Weights in the widest vector.
const WIDEST: usize = 32;

/// Computes the task's part of the result.
///
/// # Safety
/// The processor has the features of `L`. The form is [`Form::Nt`](super::Form::Nt); `x` has `rows`
/// rows, packed as [`Element::add_dot`] wants them, with zeros up to the next multiple of two vectors;
/// `y` has `rows` rows in which nobody else touches `columns`.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes>(task: &Task<'_>) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match task.w {
            Values::F32(w) => dots_of::<L, f32>(task, w),
            Values::Bf16(w) => dots_of::<L, u16>(task, w),
            Values::Quantised(w) => dots_of_quantised::<L>(task, w),
        }
    }
}

#[inline(always)]
unsafe fn dots_of<L: Lanes, E: Element>(task: &Task<'_>, w: &[E]) {
    let mut column = task.columns.start;
    while column < task.columns.end {
        let four = column + SIDE_BY_SIDE <= task.columns.end;
        let mut row = 0;
        while row < task.rows {
            // SAFETY: the rows and columns lie inside the task's.
            row += unsafe {
                match (task.rows - row, four) {
                    // Eight rows at once: the weights come from memory, and a second pass over them
                    // would not overlap with that.
                    (8.., true) => {
                        group::<L, E, 8, 2>(task, w, row, column);
                        group::<L, E, 8, 2>(task, w, row, column + 2)
                    }
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
    task: &Task<'_>,
    w: &[E],
    row: usize,
    column: usize,
) -> usize {
    let weights =
        Segment { w: &w[column * task.w_cols..], stride: task.w_cols, begin: 0, len: task.depth };
    // SAFETY: the caller's promises are passed on.
    unsafe {
        let mut sums = [[L::zero(); M]; R];
        weights.add::<L, M, R>(task, row, &mut sums);
        finish::<L, M, R>(task, row, column, sums);
    }
    M
}

/// Neighbouring columns of rows of the weight.
struct Segment<'a, E> {
    /// From the first number on, rows `stride` apart.
    w: &'a [E],
    stride: usize,
    /// The first column, a multiple of every vector.
    begin: usize,
    len: usize,
}

impl<E: Element> Segment<'_, E> {
    /// Adds the products of `R` rows of the segment with `M` rows of activations.
    #[inline(always)]
    unsafe fn add<L: Lanes, const M: usize, const R: usize>(
        &self,
        task: &Task<'_>,
        row: usize,
        sums: &mut [[L::Sums; M]; R],
    ) {
        const { assert!(2 * L::WIDTH <= WIDEST) };
        let step = 2 * L::WIDTH;
        let cells = step / E::per_cell::<L>();
        let weights = &self.w[..(R - 1) * self.stride + self.len];
        let (whole, tail) = (self.len / step, self.len % step);
        // SAFETY: the caller has the features; `weights` has R rows of `whole` steps and a tail, `x`
        // has M rows of as many steps, the tail rounded up.
        unsafe {
            let x = task.x.add(row * task.x_stride + self.begin / step * cells);
            for s in 0..whole {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = weights.as_ptr().add(r * self.stride + s * step);
                    L::prefetch(w.cast::<u8>().wrapping_add(AHEAD));
                    for (m, sums) in sums.iter_mut().enumerate() {
                        *sums = E::add_dot::<L>(*sums, x.add(m * task.x_stride + s * cells), w);
                    }
                }
            }
            if tail > 0 {
                for (r, sums) in sums.iter_mut().enumerate() {
                    let mut w = [E::default(); WIDEST];
                    w[..tail].copy_from_slice(&weights[r * self.stride + whole * step..][..tail]);
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let x = x.add(m * task.x_stride + whole * cells);
                        *sums = E::add_dot::<L>(*sums, x, w.as_ptr());
                    }
                }
            }
        }
    }
}

/// Puts the sums into the result.
#[inline(always)]
unsafe fn finish<L: Lanes, const M: usize, const R: usize>(
    task: &Task<'_>,
    row: usize,
    column: usize,
    sums: [[L::Sums; M]; R],
) {
    for (r, sums) in sums.into_iter().enumerate() {
        for (m, sums) in sums.into_iter().enumerate() {
            // SAFETY: the rows and columns lie inside the task's.
            unsafe {
                let y = task.y.add((row + m) * task.y_stride + column + r);
                *y = if task.add { *y + L::total(sums) } else { L::total(sums) };
            }
        }
    }
}

/// Numbers of a row that are dequantised at a time: four rows of them fit the L1 cache.
const SEGMENT: usize = 1024;
/// Rows of activations whose sums are kept meanwhile.
const ROWS: usize = 32;

#[inline(always)]
unsafe fn dots_of_quantised<L: Lanes>(task: &Task<'_>, w: &Quantised) {
    let mut scratch = [0; SIDE_BY_SIDE * SEGMENT];
    for first in (0..task.rows).step_by(ROWS) {
        let rows = first..(first + ROWS).min(task.rows);
        let mut column = task.columns.start;
        while column < task.columns.end {
            // SAFETY: the rows and columns lie inside the task's.
            column += unsafe {
                if column + SIDE_BY_SIDE <= task.columns.end {
                    dequantised::<L, SIDE_BY_SIDE>(task, w, rows.clone(), column, &mut scratch)
                } else {
                    dequantised::<L, 1>(task, w, rows.clone(), column, &mut scratch)
                }
            };
        }
    }
}

/// Asks for the codes that follow a segment of `R` rows.
#[inline(always)]
unsafe fn prefetch_after<L: Lanes, const R: usize>(
    task: &Task<'_>,
    w: &Quantised,
    column: usize,
    begin: usize,
) {
    let (column, begin) =
        if begin + SEGMENT < task.w_cols { (column, begin + SEGMENT) } else { (column + R, 0) };
    let rows = R.min(task.columns.end.saturating_sub(column));
    if rows > 0
        && let Some(codes) = w.stored((column, begin), (rows, SEGMENT.min(task.w_cols - begin)))
    {
        for line in codes.lines() {
            // SAFETY: the caller has the features.
            unsafe { L::prefetch(line) };
        }
    }
}

/// Some rows of activations times `R` rows of the weight, each of them dequantised once. Returns `R`.
#[inline(always)]
unsafe fn dequantised<L: Lanes, const R: usize>(
    task: &Task<'_>,
    w: &Quantised,
    rows: Range<usize>,
    column: usize,
    scratch: &mut [u16],
) -> usize {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        let mut sums = [[[L::zero(); 1]; R]; ROWS];
        for begin in (0..task.w_cols).step_by(SEGMENT) {
            let len = SEGMENT.min(task.w_cols - begin);
            prefetch_after::<L, R>(task, w, column, begin);
            for (r, out) in scratch.chunks_exact_mut(SEGMENT).take(R).enumerate() {
                w.unpack::<L>(column + r, begin, &mut out[..len]);
            }
            let segment = Segment { w: &*scratch, stride: SEGMENT, begin, len };
            let mut row = rows.start;
            for sums in sums[..rows.len()].chunks_mut(4) {
                if let [a, b, c, d] = sums {
                    let mut four = [[L::zero(); 4]; R];
                    for (r, four) in four.iter_mut().enumerate() {
                        *four = [a[r][0], b[r][0], c[r][0], d[r][0]];
                    }
                    segment.add::<L, 4, R>(task, row, &mut four);
                    for (r, four) in four.iter().enumerate() {
                        [a[r][0], b[r][0], c[r][0], d[r][0]] = *four;
                    }
                } else {
                    for (m, sums) in sums.iter_mut().enumerate() {
                        segment.add::<L, 1, R>(task, row + m, sums);
                    }
                }
                row += 4;
            }
        }
        for (row, sums) in rows.zip(sums) {
            finish::<L, 1, R>(task, row, column, sums);
        }
    }
    R
}
