//! The product through register tiles: each part of the weight is turned into a panel in the L1
//! cache once, and meets all rows of activations there.

use super::{
    Form,
    lanes::Lanes,
    pack,
    rect::{Lines, Rect},
    source::{Dense, Source},
    task::Task,
    weight::{Element, Values},
};

/// Cells along the reduction in one panel, a multiple of 16: with the widest row of 48 cells a panel
/// takes 24 of the usual 32 or 48 KiB.
const DEPTH: usize = 128;
const WIDEST: usize = 48;
/// Numbers in a panel, at most: two a cell.
pub(super) const MOST: usize = 2 * DEPTH * WIDEST;

/// Up to so many register tiles of rows take numbers in the right order where they lie.
const FEW_TILES: usize = 4;

/// A part of the weight in the order in which the tiles read it: `[depth, columns]` cells.
#[repr(align(64))]
struct Panel([u32; DEPTH * WIDEST]);

/// Computes the task's part of the result.
///
/// Each entry is a sum over blocks of the reduction, in order, of sums over the cells of a block,
/// in order: nothing depends on how the result is cut into tasks and tiles.
///
/// # Safety
/// The processor has the features of `L`. `x` has `rows` rows of as many cells as `depth` weights
/// take, `y` has `rows` rows in which nobody else touches `columns`.
#[inline(always)]
pub(super) unsafe fn panels<L: Lanes>(task: &Task<'_>, tile: TileFn) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match task.w {
            Values::F32(w) => panels_of::<L, _>(task, Dense(w, task.w_cols), tile),
            Values::Bf16(w) => panels_of::<L, _>(task, Dense(w, task.w_cols), tile),
            Values::Quantised(w) => panels_of::<L, _>(task, w, tile),
        }
    }
}

#[inline(always)]
unsafe fn panels_of<'a, L: Lanes, S: Source<'a>>(task: &Task<'_>, w: S, compute: TileFn) {
    const { assert!(L::WIDTH * L::VECTORS <= WIDEST && L::ROWS <= 8 && L::VECTORS <= 4) };
    let width = L::WIDTH * L::VECTORS;
    let per_cell = S::Element::per_cell::<L>();
    let cells = task.depth.div_ceil(per_cell);
    let block = cells.div_ceil(cells.div_ceil(DEPTH)).next_multiple_of(16);
    let part = |first: usize, column: usize| {
        let begin = first * per_cell;
        let extent = (block * per_cell).min(task.depth - begin);
        let columns = width.min(task.columns.end - column);
        match task.form {
            Form::Nt => ((column, begin), (columns, extent)),
            Form::Nn | Form::Tn => ((begin, column), (extent, columns)),
        }
    };

    #[allow(clippy::large_stack_arrays)] // the L1 cache's share of the stack
    let mut panel = Panel([0; DEPTH * WIDEST]);
    let mut scratch = S::SCRATCH;
    let tiles = task.rows.div_ceil(L::ROWS);
    let turned = matches!(task.form, Form::Tn) && !L::PAIRED;
    // Few rows read numbers that lie in the right order where they are. (Rows a power of two apart
    // would share a set of the cache.)
    let few = S::Element::IS_CELL && !matches!(task.form, Form::Nt) && tiles <= FEW_TILES;
    let in_place = few && !task.w_cols.is_multiple_of(1024);
    for first in (0..cells).step_by(block) {
        for column in task.columns.clone().step_by(width) {
            let (corner, size) = part(first, column);
            // SAFETY: the caller has the features.
            let weights = unsafe { w.numbers::<L>(corner, size, &mut scratch) };
            let in_place = in_place && size.1.is_multiple_of(L::WIDTH);
            match task.form {
                _ if in_place => {}
                // SAFETY: the caller has the features.
                Form::Nt => unsafe { S::Element::transpose::<L>(&weights, &mut panel.0, width) },
                Form::Nn | Form::Tn => {
                    pack::interleave(&weights, &mut panel.0, width, per_cell == 2);
                }
            }
            // The next panel's weights come into the cache while this one is at work.
            let next = if column + width < task.columns.end {
                Some(part(first, column + width))
            } else if first + block < cells {
                Some(part(first + block, task.columns.start))
            } else {
                None
            };
            let next = next.and_then(|(corner, size)| w.stored(corner, size));
            let mut next = next.as_ref().map(Rect::lines);
            let lines_per_tile = next.as_ref().map_or(0, Lines::len).div_ceil(tiles);
            for t in 0..tiles {
                for line in next.iter_mut().flat_map(|lines| lines.take(lines_per_tile)) {
                    // SAFETY: the caller has the features.
                    unsafe { L::prefetch(line) };
                }
                let row = t * L::ROWS;
                // SAFETY: row, first and column lie inside the task's operands.
                unsafe {
                    let x = if turned {
                        first * task.x_stride + row
                    } else {
                        row * task.x_stride + first
                    };
                    let (panel, panel_stride) = if in_place {
                        (weights.row(0).as_ptr().cast(), task.w_cols)
                    } else {
                        (panel.0.as_ptr(), width)
                    };
                    let tile = Tile {
                        rows: L::ROWS.min(task.rows - row),
                        turned,
                        x: task.x.add(x),
                        x_stride: task.x_stride,
                        panel,
                        panel_stride,
                        depth: block.min(cells - first),
                        columns: width.min(task.columns.end - column),
                        y: task.y.add(row * task.y_stride + column),
                        y_stride: task.y_stride,
                        add: task.add || first > 0,
                    };
                    compute(&tile);
                }
            }
        }
    }
}

/// [`tile`] for a type of lanes: a function of its own, because it is long and serves every source.
pub(super) type TileFn = unsafe fn(&Tile);

/// A few rows of activations times a panel.
pub(super) struct Tile {
    rows: usize,
    turned: bool,
    x: *const u32,
    x_stride: usize,
    panel: *const u32,
    panel_stride: usize,
    depth: usize,
    columns: usize,
    y: *mut f32,
    y_stride: usize,
    add: bool,
}

/// Computes a tile.
///
/// # Safety
/// The processor has the features of `L`; the tile is one that [`panels`] makes.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes>(tile: &Tile) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        if tile.turned && !L::PAIRED {
            by_vectors::<L, true>(tile);
        } else {
            by_vectors::<L, false>(tile);
        }
    }
}

#[inline(always)]
unsafe fn by_vectors<L: Lanes, const TURNED: bool>(tile: &Tile) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match tile.columns.div_ceil(L::WIDTH) {
            4 if L::VECTORS >= 4 => by_rows::<L, 4, TURNED>(tile),
            3 if L::VECTORS >= 3 => by_rows::<L, 3, TURNED>(tile),
            2 => by_rows::<L, 2, TURNED>(tile),
            _ => by_rows::<L, 1, TURNED>(tile),
        }
    }
}

#[inline(always)]
unsafe fn by_rows<L: Lanes, const V: usize, const TURNED: bool>(tile: &Tile) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match tile.rows {
            8 if L::ROWS >= 8 => registers::<L, 8, V, TURNED>(tile),
            7 if L::ROWS >= 7 => registers::<L, 7, V, TURNED>(tile),
            6 if L::ROWS >= 6 => registers::<L, 6, V, TURNED>(tile),
            5 if L::ROWS >= 5 => registers::<L, 5, V, TURNED>(tile),
            4 => registers::<L, 4, V, TURNED>(tile),
            3 => registers::<L, 3, V, TURNED>(tile),
            2 => registers::<L, 2, V, TURNED>(tile),
            _ => registers::<L, 1, V, TURNED>(tile),
        }
    }
}

/// The innermost loop: `M` rows by `V` vectors of sums stay in registers.
///
/// # Safety
/// As for [`panels`]; `tile` has `M` rows and at most `V` vectors of columns.
#[inline(always)]
unsafe fn registers<L: Lanes, const M: usize, const V: usize, const TURNED: bool>(tile: &Tile) {
    // SAFETY: the panel has `depth` rows of `stride` cells, `x` has `M` rows of `depth` cells, and
    // `y` has `M` rows of `columns` values; a vector that would pass its end goes through `rest`.
    unsafe {
        let mut sums = [[L::zero(); V]; M];
        for d in 0..tile.depth {
            let row = tile.panel.add(d * tile.panel_stride);
            let mut w = [L::load(row); V];
            for (v, w) in w.iter_mut().enumerate().skip(1) {
                *w = L::load(row.add(v * L::WIDTH));
            }
            for (m, sums) in sums.iter_mut().enumerate() {
                let x = if TURNED { d * tile.x_stride + m } else { m * tile.x_stride + d };
                let x = L::splat(tile.x.add(x));
                for (sums, &w) in sums.iter_mut().zip(&w) {
                    *sums = L::add_products(*sums, x, w);
                }
            }
        }
        if tile.columns == V * L::WIDTH {
            for (m, sums) in sums.into_iter().enumerate() {
                for (v, sums) in sums.into_iter().enumerate() {
                    L::store(sums, tile.y.add(m * tile.y_stride + v * L::WIDTH), tile.add);
                }
            }
        } else {
            let mut rest = [0f32; WIDEST];
            for (m, sums) in sums.into_iter().enumerate() {
                for (v, sums) in sums.into_iter().enumerate() {
                    L::store(sums, rest.as_mut_ptr().add(v * L::WIDTH), false);
                }
                let y = tile.y.add(m * tile.y_stride);
                for (c, &sum) in rest[..tile.columns].iter().enumerate() {
                    *y.add(c) = if tile.add { *y.add(c) + sum } else { sum };
                }
            }
        }
    }
}
