//! A product cut into the work of threads.

use std::{cell::RefCell, ops::Range};

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    Form, Matrix, Start, Update,
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
const TASKS: usize = 2;
/// Bytes of weight for which a thread of its own is worth waking.
const PIECE_BYTES: usize = 32 * 1024;

/// `y = start + x W^T` or `y = start + x W` on one path, and an update of the same form.
#[allow(clippy::too_many_arguments)] // the operands of one product
pub(super) fn product(
    path: Path,
    form: Form,
    x: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    update: Option<&Update<'_>>,
    y: &mut [f32],
) -> Result<()> {
    let (depth, width) = form.sides(w);
    let update = update.filter(|update| form.sides(&update.w).0 > 0);
    if let Some(update) = update {
        let (rank, wide) = form.sides(&update.w);
        if update.x.len() != t * rank || wide != width {
            bail!("an update of {} numbers to {wide} for {t} rows of {width}", update.x.len())
        }
    }
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
    if t == 0 || width == 0 {
        return Ok(());
    }
    let job = Job::new(path, form, w, add);
    if depth == 0 {
        return match update {
            Some(update) => product(path, form, update.x, t, &update.w, Start::Existing, None, y),
            None => Ok(()),
        };
    }
    let update = update.map(|update| (update.x, Job::new(path, form, &update.w, true)));
    let update = update.as_ref().map(|(x, job)| (*x, job));
    if matches!(form, Form::Nt) && t <= FEW_ROWS {
        job.in_place(x, t, update, y);
    } else {
        job.through_panels(x, t, update, y);
    }
    Ok(())
}

/// `y = x^T W` for `x` `[w.rows, columns]`, on one path.
pub(super) fn product_tn(
    path: Path,
    x: &[f32],
    columns: usize,
    w: &Matrix<'_>,
    y: &mut [f32],
) -> Result<()> {
    let (depth, width) = Form::Nn.sides(w);
    if x.len() != depth * columns || y.len() != columns * width {
        bail!("{} inputs and {} outputs for {depth} by {columns} and {width}", x.len(), y.len())
    }
    let Values::F32(_) = w.values else { bail!("an f32 matrix was expected") };
    if depth == 0 {
        y.fill(0.0);
    }
    if !x.is_empty() && width > 0 {
        let job = Job { turned: Some(columns), ..Job::new(path, Form::Nn, w, false) };
        job.through_panels(x, columns, None, y);
    }
    Ok(())
}

/// A pointer into the output, for every task.
struct Shared<T>(T);

// SAFETY: each task touches entries of the output that are its own.
unsafe impl Sync for Shared<*mut f32> {}

impl<T: Copy> Shared<T> {
    fn get(&self) -> T {
        self.0
    }
}

/// A product in which nothing is empty.
struct Job<'a> {
    /// Numbers in a row of the activations' memory, where its columns are their rows.
    turned: Option<usize>,
    kernels: Kernels,
    form: Form,
    w: &'a Matrix<'a>,
    depth: usize,
    width: usize,
    add: bool,
}

impl<'a> Job<'a> {
    fn new(path: Path, form: Form, w: &'a Matrix<'a>, add: bool) -> Self {
        let (depth, width) = form.sides(w);
        Self { turned: None, kernels: path.kernels(w.values), form, w, depth, width, add }
    }

    /// Packs a row of activations; what lies behind it in `cells` is left alone.
    fn pack(&self, row: &[f32], cells: &mut [u32]) {
        match self.w.values {
            Values::F32(_) => {
                cells.iter_mut().zip(row).for_each(|(cell, x)| *cell = x.to_bits());
            }
            // SAFETY: the path is available, and `cells` has room for the row.
            Values::Bf16(_) | Values::Quantised(_) => unsafe {
                (self.kernels.pack_row)(row, cells);
            },
        }
    }

    /// `y = x W^T` for few rows, and an update of it.
    fn in_place(&self, x: &[f32], t: usize, update: Option<(&[f32], &Job<'_>)>, y: &mut [f32]) {
        let cells = self.packed(x, t);
        let update = update.map(|(x, job)| (job.packed(x, t), job));
        let y = Shared(y.as_mut_ptr());
        let piece = self
            .width
            .div_ceil(PIECES * rayon::current_num_threads())
            .max(PIECE_BYTES.div_ceil(self.w.bytes_each() * self.depth))
            .next_multiple_of(4);
        (0..self.width.div_ceil(piece)).into_par_iter().with_max_len(1).for_each(|i| {
            let columns = i * piece..((i + 1) * piece).min(self.width);
            // SAFETY: the rows were packed by the job that reads them, and the columns of `y` are
            // this task's.
            unsafe {
                self.dots(&cells, t, columns.clone(), y.get());
                if let Some((cells, job)) = &update {
                    job.dots(cells, t, columns, y.get());
                }
            }
        });
    }

    /// Cells between rows that are multiplied in place.
    fn stride(&self) -> usize {
        let lanes = self.kernels.lanes;
        let steps = self.depth.div_ceil(2 * lanes);
        steps * if self.kernels.paired { lanes } else { 2 * lanes }
    }

    /// Few rows as [`Self::dots`] reads them.
    fn packed(&self, x: &[f32], t: usize) -> Vec<u32> {
        let stride = self.stride();
        let mut cells = vec![0; t * stride];
        let rows = cells.par_chunks_exact_mut(stride).zip(x.par_chunks_exact(self.depth));
        rows.with_min_len(PIECE_BYTES.div_ceil(4 * self.depth))
            .for_each(|(cells, row)| self.pack(row, cells));
        cells
    }

    /// Some columns of `y` `[t, width]`.
    ///
    /// # Safety
    /// `cells` are from [`Self::packed`]; nobody else touches the columns of `y`.
    unsafe fn dots(&self, cells: &[u32], t: usize, columns: Range<usize>, y: *mut f32) {
        let task = DotTask {
            w: self.w.values,
            w_cols: self.w.cols,
            columns,
            rows: t,
            x: cells.as_ptr(),
            x_stride: self.stride(),
            y,
            y_stride: self.width,
            add: self.add,
        };
        // SAFETY: the path is available; the rest is the caller's promise.
        unsafe { (self.kernels.dots)(&task) }
    }

    /// Either product for many rows: each task multiplies some rows with some columns.
    fn through_panels(
        &self,
        x: &[f32],
        t: usize,
        update: Option<(&[f32], &Job<'_>)>,
        y: &mut [f32],
    ) {
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
            let rows = row..(row + rows).min(t);
            let columns = column..(column + columns).min(self.width);
            let y = y.get().wrapping_add(row * self.width);
            // SAFETY: `y` has so many rows, and the entries are this task's.
            unsafe { self.task(x, rows.clone(), columns.clone(), y) };
            if let Some((x, job)) = update {
                // The result is still in the cache.
                // SAFETY: as before.
                unsafe { job.task(x, rows, columns, y) };
            }
        });
    }

    /// Some columns of the product of some rows of `x`.
    ///
    /// # Safety
    /// `y` points to the first of as many rows of the result, in which nobody else touches
    /// `columns`.
    unsafe fn task(&self, x: &[f32], rows: Range<usize>, columns: Range<usize>, y: *mut f32) {
        let run = |x: *const u32, x_stride| {
            let task = PanelTask {
                form: self.form,
                w: self.w.values,
                w_cols: self.w.cols,
                depth: self.depth,
                columns,
                rows: rows.len(),
                x,
                x_stride,
                turned: self.turned.is_some(),
                y,
                y_stride: self.width,
                add: self.add,
            };
            // SAFETY: the path is available; `x` has the rows as cells, and the entries of `y` are
            // the caller's promise.
            unsafe { (self.kernels.panels)(&task) }
        };
        if let Some(columns) = self.turned {
            return run(x[rows.start..].as_ptr().cast(), columns); // an f32 is a cell
        }
        let x = &x[rows.start * self.depth..rows.end * self.depth];
        if !self.kernels.paired {
            return run(x.as_ptr().cast(), self.depth); // an f32 is a cell
        }
        // An odd number of cache lines: rows a power of two apart would share a set of the cache.
        let stride = (self.depth.div_ceil(32) | 1) * 16;
        PACKED.with_borrow_mut(|cells| {
            if cells.len() < rows.len() * stride {
                cells.resize(rows.len() * stride, 0);
            }
            for (row, cells) in x.chunks_exact(self.depth).zip(cells.chunks_exact_mut(stride)) {
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
