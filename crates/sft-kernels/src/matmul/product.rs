//! A product cut into the work of threads.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    Form, Matrix, Start,
    dot::DotTask,
    path::{Kernels, Path},
    tile::PanelTask,
    weight::Values,
};

/// Rows of activations with which a weight is multiplied each time it is read from memory.
const ROWS: usize = 512;
/// Up to so many rows the weight is multiplied where it lies: a panel would take longer to pack
/// than to use.
const FEW_ROWS: usize = 32;
/// Pieces for each thread: enough for the last to be short.
const PIECES: usize = 16;
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
        rayon::scope(|_| job.through_panels(x, t, y)); // enters the pool once
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
    /// Packs rows of activations as `stride` cells each; what lies behind a row is left alone.
    fn pack(&self, x: &[f32], cells: &mut [u32], stride: usize) {
        let rows = cells.par_chunks_exact_mut(stride).zip(x.par_chunks_exact(self.depth));
        rows.with_min_len(PIECE_BYTES.div_ceil(4 * self.depth)).for_each(|(cells, row)| {
            match self.w.values {
                Values::F32(_) => {
                    cells.iter_mut().zip(row).for_each(|(cell, x)| *cell = x.to_bits());
                }
                // SAFETY: the path is available, and the stride is a row of cells or more.
                Values::Bf16(_) => unsafe { (self.kernels.pack_row)(row, cells) },
            }
        });
    }

    /// `y = x W^T` for few rows.
    fn in_place(&self, x: &[f32], t: usize, y: &mut [f32]) {
        let lanes = self.kernels.lanes;
        let steps = self.depth.div_ceil(2 * lanes);
        let stride = steps * if self.kernels.paired { lanes } else { 2 * lanes };
        let mut cells = vec![0; t * stride];
        self.pack(x, &mut cells, stride);

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

    /// Either product for many rows, in blocks.
    fn through_panels(&self, x: &[f32], t: usize, y: &mut [f32]) {
        let block = t.div_ceil(t.div_ceil(ROWS)).next_multiple_of(self.kernels.rows);
        // An odd number of cache lines: rows a power of two apart would share a set of the cache.
        let stride = (self.depth.div_ceil(32) | 1) * 16;
        let mut cells = if self.kernels.paired { vec![0; block * stride] } else { Vec::new() };
        for (x, y) in x.chunks(block * self.depth).zip(y.chunks_mut(block * self.width)) {
            let rows = x.len() / self.depth;
            if self.kernels.paired {
                self.pack(x, &mut cells, stride);
                self.block(rows, cells.as_ptr(), stride, y);
            } else {
                self.block(rows, x.as_ptr().cast(), self.depth, y); // an f32 is a cell
            }
        }
    }

    /// A block of rows, given as cells `x_stride` apart.
    fn block(&self, t: usize, x: *const u32, x_stride: usize, y: &mut [f32]) {
        let pieces = PIECES * rayon::current_num_threads();
        let panels = self.width.div_ceil(self.kernels.width);
        let columns = (panels / pieces).clamp(1, 4) * self.kernels.width;
        let across = self.width.div_ceil(columns);
        let rows = t.div_ceil((pieces / 4).div_ceil(across)).next_multiple_of(self.kernels.rows);
        let down = t.div_ceil(rows);
        let (x, y) = (Shared(x), Shared(y.as_mut_ptr()));
        (0..across * down).into_par_iter().with_max_len(1).for_each(|i| {
            let (row, column) = (i % down * rows, i / down * columns);
            let task = PanelTask {
                form: self.form,
                w: self.w.values,
                w_cols: self.w.cols,
                depth: self.depth,
                columns: column..(column + columns).min(self.width),
                rows: rows.min(t - row),
                x: x.get().wrapping_add(row * x_stride),
                x_stride,
                y: y.get().wrapping_add(row * self.width),
                y_stride: self.width,
                add: self.add,
            };
            // SAFETY: the path is available; `x` has the rows as cells, and the entries are this
            // task's.
            unsafe { (self.kernels.panels)(&task) }
        });
    }
}
