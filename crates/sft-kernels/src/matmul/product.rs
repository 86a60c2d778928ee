//! A product cut into the work of threads.

use std::{cell::RefCell, ops::Range};

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    Form, Matrix, Start,
    dot::DotTask,
    path::{Kernels, Path},
    tile::PanelTask,
    weight::Values,
};

/// Rows of activations in a task, at most: their cells for one panel stay in the L2 cache.
const ROWS: usize = 512;
/// Up to so many rows the weight is multiplied where it lies: a panel would take longer to pack
/// than to use.
const FEW_ROWS: usize = 32;
/// Pieces for each thread where they are cheap to part: enough for the last to be short.
const PIECES: usize = 16;
/// Tasks for each thread through panels.
const TASKS: usize = 4;
/// Bytes of weight for which a thread of its own is worth waking.
const PIECE_BYTES: usize = 32 * 1024;

/// `y = start + x W^T` or `y = start + x W` on one path.
pub(super) fn product(
    path: Path,
    form: Form,
    x: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    y: &mut [f32],
) -> Result<()> {
    let (depth, width) = match form {
        Form::Nt => (w.cols, w.rows),
        Form::Nn => (w.rows, w.cols),
    };
    if x.len() != t * depth || y.len() != t * width {
        bail!("{} inputs and {} outputs for {t} rows of {depth} and {width}", x.len(), y.len())
    }
    let add = match start {
        Start::Zero => false,
        Start::Existing => true,
        Start::Bias(bias) if bias.len() != width => {
            bail!("a bias of {} for {width} outputs", bias.len())
        }
        Start::Bias(bias) => {
            if width > 0 {
                y.par_chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias));
            }
            true
        }
    };
    if depth == 0 && !add {
        y.fill(0.0);
    }
    if t == 0 || depth == 0 || width == 0 {
        return Ok(());
    }
    let job = Job { kernels: path.kernels(w.values), form, w, depth, width, add };
    if matches!(form, Form::Nt) && t <= FEW_ROWS {
        job.in_place(x, t, y);
    } else {
        job.through_panels(x, t, y);
    }
    Ok(())
}

/// A pointer into an operand, for every task.
struct Shared<T>(T);

// SAFETY: while the tasks run, nobody writes to the activations.
unsafe impl Sync for Shared<*const u32> {}

// SAFETY: each task touches entries of the output that are its own.
unsafe impl Sync for Shared<*mut f32> {}

impl<T: Copy> Shared<T> {
    fn get(&self) -> T {
        self.0
    }
}

/// A product in which nothing is empty.
struct Job<'a> {
    kernels: Kernels,
    form: Form,
    w: &'a Matrix<'a>,
    depth: usize,
    width: usize,
    add: bool,
}

impl Job<'_> {
    /// Packs a row of activations; what lies behind it in `cells` is left alone.
    fn pack(&self, row: &[f32], cells: &mut [u32]) {
        match self.w.values {
            Values::F32(_) => {
                cells.iter_mut().zip(row).for_each(|(cell, x)| *cell = x.to_bits());
            }
            // SAFETY: the path is available, and `cells` has room for the row.
            Values::Bf16(_) => unsafe { (self.kernels.pack_row)(row, cells) },
        }
    }

    /// `y = x W^T` for few rows.
    fn in_place(&self, x: &[f32], t: usize, y: &mut [f32]) {
        let lanes = self.kernels.lanes;
        let steps = self.depth.div_ceil(2 * lanes);
        let stride = steps * if self.kernels.paired { lanes } else { 2 * lanes };
        let mut cells = vec![0; t * stride];
        let rows = cells.par_chunks_exact_mut(stride).zip(x.par_chunks_exact(self.depth));
        rows.with_min_len(PIECE_BYTES.div_ceil(4 * self.depth))
            .for_each(|(cells, row)| self.pack(row, cells));

        let (x, y) = (Shared(cells.as_ptr()), Shared(y.as_mut_ptr()));
        let piece = self
            .width
            .div_ceil(PIECES * rayon::current_num_threads())
            .max(PIECE_BYTES.div_ceil(self.w.bytes_each() * self.depth))
            .next_multiple_of(4);
        (0..self.width.div_ceil(piece)).into_par_iter().with_max_len(1).for_each(|i| {
            let task = DotTask {
                w: self.w.values,
                w_cols: self.w.cols,
                columns: i * piece..((i + 1) * piece).min(self.width),
                rows: t,
                x: x.get(),
                x_stride: stride,
                y: y.get(),
                y_stride: self.width,
                add: self.add,
            };
            // SAFETY: the path is available; `x` was packed for it, and the columns are this task's.
            unsafe { (self.kernels.dots)(&task) }
        });
    }

    /// Either product for many rows: each task multiplies some rows with some columns.
    fn through_panels(&self, x: &[f32], t: usize, y: &mut [f32]) {
        let threads = rayon::current_num_threads();
        let (tile_rows, width) = (self.kernels.rows, self.kernels.width);
        let panels = self.width.div_ceil(width);
        // A task's rows meet each panel of weights while it lies in the cache, so they should be
        // many; but the tasks should be more than the threads.
        let wanted = if threads == 1 { 1 } else { TASKS * threads };
        let down = t.div_ceil(ROWS).max(wanted.div_ceil(panels)).min(t.div_ceil(tile_rows));
        let rows = t.div_ceil(down).next_multiple_of(tile_rows);
        let down = t.div_ceil(rows);
        let across = wanted.div_ceil(down).min(panels);
        let columns = panels.div_ceil(across) * width;
        let across = self.width.div_ceil(columns);

        let y = Shared(y.as_mut_ptr());
        (0..across * down).into_par_iter().with_max_len(1).for_each(|i| {
            let (row, column) = (i % down * rows, i / down * columns);
            let x = &x[row * self.depth..][..rows.min(t - row) * self.depth];
            let columns = column..(column + columns).min(self.width);
            // SAFETY: `y` has a row for each of `x`, and the entries are this task's.
            unsafe { self.task(x, columns, y.get().wrapping_add(row * self.width)) };
        });
    }

    /// Some columns of the product of some rows.
    ///
    /// # Safety
    /// `y` points to a row of the result for each row of `x`, in which nobody else touches
    /// `columns`.
    unsafe fn task(&self, x: &[f32], columns: Range<usize>, y: *mut f32) {
        let x_rows = x.len() / self.depth;
        let run = |x: *const u32, x_stride| {
            let task = PanelTask {
                form: self.form,
                w: self.w.values,
                w_cols: self.w.cols,
                depth: self.depth,
                columns,
                rows: x_rows,
                x,
                x_stride,
                y,
                y_stride: self.width,
                add: self.add,
            };
            // SAFETY: the path is available; `x` has the rows as cells, and the entries of `y` are
            // the caller's promise.
            unsafe { (self.kernels.panels)(&task) }
        };
        if !self.kernels.paired {
            return run(x.as_ptr().cast(), self.depth); // an f32 is a cell
        }
        // An odd number of cache lines: rows a power of two apart would share a set of the cache.
        let stride = (self.depth.div_ceil(32) | 1) * 16;
        PACKED.with_borrow_mut(|cells| {
            let rows = x.chunks_exact(self.depth);
            if cells.len() < rows.len() * stride {
                cells.resize(rows.len() * stride, 0);
            }
            for (row, cells) in rows.zip(cells.chunks_exact_mut(stride)) {
                self.pack(row, cells);
            }
            run(cells.as_ptr(), stride);
        });
    }
}

thread_local! {
    /// Activations as this thread's tasks read them.
    static PACKED: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}
