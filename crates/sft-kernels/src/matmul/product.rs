//! Products cut into the work of threads.

use std::{cell::Cell, ops::Range};

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{
    Form, Matrix, Start,
    packing::{Input, Packing},
    path::{Kernels, Path},
    task::Task,
    weight::Values,
};

/// Rows of activations in a piece, at most: their cells for one panel stay in the L2 cache.
const ROWS: usize = 512;
/// Up to so many rows the weight is multiplied where it lies: a panel would take longer to pack
/// than to use.
const FEW_ROWS: usize = 32;
/// Pieces for each thread: enough for the last to be short.
const PIECES: usize = 16;
/// The same through panels, which are dearer to part.
const PANEL_PIECES: usize = 8;
/// Bytes of weight for which a thread of its own is worth waking.
const PIECE_BYTES: usize = 32 * 1024;

/// A sum of products with a common form: `y = start + x W^T + u B^T + ...`
#[derive(Debug)]
pub struct Product<'a> {
    form: Form,
    start: Start<'a>,
    terms: Vec<(&'a [f32], Matrix<'a>)>,
    t: usize,
    y: &'a mut [f32],
}

impl<'a> Product<'a> {
    /// `y = start + x W^T`: `x` is `[t, cols]`, `y` `[t, rows]`.
    pub fn nt(x: &'a [f32], t: usize, w: Matrix<'a>, start: Start<'a>, y: &'a mut [f32]) -> Self {
        Self::new(Form::Nt, x, t, w, start, y)
    }

    /// `y = start + x W`: `x` is `[t, rows]`, `y` `[t, cols]`.
    pub fn nn(x: &'a [f32], t: usize, w: Matrix<'a>, start: Start<'a>, y: &'a mut [f32]) -> Self {
        Self::new(Form::Nn, x, t, w, start, y)
    }

    /// `y = start + x^T W`: `x` is `[rows, t]`, `y` `[t, cols]`. The weight is f32.
    pub fn tn(x: &'a [f32], t: usize, w: Matrix<'a>, start: Start<'a>, y: &'a mut [f32]) -> Self {
        Self::new(Form::Tn, x, t, w, start, y)
    }

    pub(super) fn new(
        form: Form,
        x: &'a [f32],
        t: usize,
        w: Matrix<'a>,
        start: Start<'a>,
        y: &'a mut [f32],
    ) -> Self {
        Self { form, start, terms: vec![(x, w)], t, y }
    }

    /// The same and one more product of the form, which is added while the result lies in the cache.
    #[must_use]
    pub fn plus(mut self, x: &'a [f32], w: Matrix<'a>) -> Self {
        self.terms.push((x, w));
        self
    }
}

/// Computes products side by side on one path: activations that several of them read are packed
/// once, and the threads meet at the end of all.
pub(super) fn compute(path: Path, products: Vec<Product<'_>>) -> Result<()> {
    let mut packing = Packing::default();
    let jobs = products.into_iter().map(|product| Job::new(path, product, &mut packing));
    let jobs: Vec<Job<'_>> = jobs.collect::<Result<_>>()?;
    let mut cells = CELLS.take();
    packing.pack(&mut cells);

    let threads = rayon::current_num_threads();
    let total: f64 = jobs.iter().map(Job::cost).sum();
    let pieces: Vec<(&Job<'_>, Piece)> = jobs
        .iter()
        .flat_map(|job| job.cut(total, threads).into_iter().map(move |piece| (job, piece)))
        .collect();
    pieces.into_par_iter().with_max_len(1).for_each(|(job, piece)| {
        // SAFETY: `cells` are those of the packing that the job was made for, and no two pieces
        // have an entry of the result in common.
        unsafe { job.compute(&cells, piece) };
    });
    CELLS.set(cells);
    Ok(())
}

thread_local! {
    /// Memory for packed activations, for the next products that this thread begins. (They are taken
    /// out while they are used: a waiting thread may begin others.)
    static CELLS: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

/// A pointer into the output, for every piece.
#[derive(Clone, Copy)]
struct Output(*mut f32);

// SAFETY: each piece touches entries of the output that are its own.
unsafe impl Sync for Output {}
// SAFETY: as above.
unsafe impl Send for Output {}

/// One of the products.
struct Job<'a> {
    form: Form,
    start: Start<'a>,
    terms: Vec<Term<'a>>,
    /// Rows and columns of the result.
    t: usize,
    width: usize,
    y: Output,
    /// The output, borrowed for as long.
    _y: std::marker::PhantomData<&'a mut [f32]>,
}

/// One product of a sum. Nothing is empty.
struct Term<'a> {
    kernels: Kernels,
    w: Matrix<'a>,
    depth: usize,
    cells: Cells<'a>,
}

/// Activations as the kernels read them.
#[derive(Clone, Copy)]
enum Cells<'a> {
    /// As they are: an f32 is a cell.
    AsTheyAre(&'a [f32]),
    /// From this cell on, in rows of so many.
    Packed { at: usize, stride: usize },
}

/// Some rows and columns of a result.
#[derive(Clone, Debug)]
struct Piece {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl<'a> Job<'a> {
    fn new(path: Path, product: Product<'a>, packing: &mut Packing<'a>) -> Result<Self> {
        let Product { form, start, terms, t, y } = product;
        let width = form.sides(&terms[0].1).1;
        if t.checked_mul(width) != Some(y.len()) {
            bail!("{} outputs for {t} rows of {width}", y.len())
        }
        if let Start::Bias(bias) = start
            && bias.len() != width
        {
            bail!("a bias of {} for {width} outputs", bias.len())
        }
        let mut job = Self {
            form,
            start,
            terms: Vec::with_capacity(terms.len()),
            t,
            width,
            y: Output(y.as_mut_ptr()),
            _y: std::marker::PhantomData,
        };
        for (x, w) in terms {
            let (depth, wide) = form.sides(&w);
            if t.checked_mul(depth) != Some(x.len()) || wide != width {
                bail!("{} inputs to {wide} outputs for {t} rows of {width}", x.len())
            }
            if matches!((form, w.values), (Form::Tn, Values::Bf16(_) | Values::Quantised(_))) {
                bail!("an f32 matrix was expected")
            }
            if depth > 0 && t > 0 && width > 0 {
                let kernels = path.kernels(w.values);
                let cells = job.cells(x, depth, &kernels, w.values, packing);
                job.terms.push(Term { kernels, w, depth, cells });
            }
        }
        Ok(job)
    }

    /// Whether the weight is multiplied where it lies.
    fn in_place(&self) -> bool {
        matches!(self.form, Form::Nt) && self.t <= FEW_ROWS
    }

    fn cells(
        &self,
        x: &'a [f32],
        depth: usize,
        kernels: &Kernels,
        w: Values<'_>,
        packing: &mut Packing<'a>,
    ) -> Cells<'a> {
        let widened = matches!(w, Values::F32(_));
        let stride = if self.in_place() {
            let steps = depth.div_ceil(2 * kernels.lanes);
            steps * if kernels.paired { kernels.lanes } else { 2 * kernels.lanes }
        } else if kernels.paired {
            // An odd number of cache lines: rows a power of two apart would share a set of the cache.
            (depth.div_ceil(32) | 1) * 16
        } else {
            return Cells::AsTheyAre(x);
        };
        let pack_row = (!widened).then_some(kernels.pack_row);
        Cells::Packed { at: packing.of(Input { x, depth, stride, at: 0, pack_row }), stride }
    }

    /// Multiplications.
    fn cost(&self) -> f64 {
        (self.t * self.width) as f64 * self.terms.iter().map(|term| term.depth as f64).sum::<f64>()
    }

    /// Pieces of about the same cost for all jobs, whose costs are `total`. Results do not depend on
    /// where they begin and end.
    fn cut(&self, total: f64, threads: usize) -> Vec<Piece> {
        if self.t == 0 || self.width == 0 {
            return Vec::new();
        }
        let share = self.cost() / total.max(1.0);
        let wanted = |pieces: usize| {
            let pieces =
                if threads == 1 { 1.0 } else { ((pieces * threads) as f64 * share).ceil() };
            (pieces as usize).max(1)
        };
        let first = self.terms.first();
        let (rows, columns) = if self.in_place() {
            let bytes = |term: &Term<'_>| term.depth * term.w.bytes_each();
            let least = PIECE_BYTES.div_ceil(first.map_or(1, bytes));
            (self.t, self.width.div_ceil(wanted(PIECES)).max(least).next_multiple_of(4))
        } else {
            let (tile_rows, width) =
                first.map_or((1, self.width), |term| (term.kernels.rows, term.kernels.width));
            let panels = self.width.div_ceil(width);
            let wanted = wanted(PANEL_PIECES);
            // A panel is packed for each piece of rows.
            let down = self.t.div_ceil(ROWS).max(wanted.div_ceil(panels));
            let down = down.min(self.t.div_ceil(tile_rows));
            let across = wanted.div_ceil(down).min(panels);
            (self.t.div_ceil(down).next_multiple_of(tile_rows), panels.div_ceil(across) * width)
        };
        let spans = |len: usize, step: usize| {
            (0..len).step_by(step).map(move |begin| begin..(begin + step).min(len))
        };
        let across = spans(self.width, columns);
        across
            .flat_map(|columns| {
                spans(self.t, rows).map(move |rows| Piece { rows, columns: columns.clone() })
            })
            .collect()
    }

    /// Computes a piece of the result.
    ///
    /// # Safety
    /// `cells` are those of the packing; nobody else touches the piece.
    unsafe fn compute(&self, cells: &[u32], piece: Piece) {
        let y = self.y.0.wrapping_add(piece.rows.start * self.width);
        let row = |row: usize| {
            let start = y.wrapping_add(row * self.width + piece.columns.start);
            // SAFETY: the row is inside the output, and its columns are this piece's.
            unsafe { std::slice::from_raw_parts_mut(start, piece.columns.len()) }
        };
        let mut add = match self.start {
            Start::Zero => false,
            Start::Existing => true,
            Start::Bias(bias) => {
                let bias = &bias[piece.columns.clone()];
                (0..piece.rows.len()).for_each(|i| row(i).copy_from_slice(bias));
                true
            }
        };
        for term in &self.terms {
            // SAFETY: the path is available; the rows are inside the activations and the output, and
            // the columns are this piece's.
            unsafe { self.add(term, cells, &piece, y, add) };
            add = true;
        }
        if !add {
            (0..piece.rows.len()).for_each(|i| row(i).fill(0.0));
        }
    }

    /// Writes or adds a term's part of a piece, whose first row is at `y`.
    ///
    /// # Safety
    /// As for [`Self::compute`].
    unsafe fn add(&self, term: &Term<'_>, cells: &[u32], piece: &Piece, y: *mut f32, add: bool) {
        let turned = matches!(self.form, Form::Tn);
        let (x, x_stride) = match term.cells {
            Cells::AsTheyAre(x) if turned => (x[piece.rows.start..].as_ptr().cast(), self.t),
            Cells::AsTheyAre(x) => (x[piece.rows.start * term.depth..].as_ptr().cast(), term.depth),
            Cells::Packed { at, stride } => {
                (cells[at + piece.rows.start * stride..].as_ptr(), stride)
            }
        };
        let task = Task {
            form: self.form,
            w: term.w.values,
            w_cols: term.w.cols,
            depth: term.depth,
            columns: piece.columns.clone(),
            rows: piece.rows.len(),
            x,
            x_stride,
            y,
            y_stride: self.width,
            add,
        };
        let kernel = if self.in_place() { term.kernels.dots } else { term.kernels.panels };
        // SAFETY: the path is available; the rest is the caller's promise.
        unsafe { kernel(&task) };
    }
}
