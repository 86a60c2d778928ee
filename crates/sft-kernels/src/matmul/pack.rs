//! Operands in the order in which the kernels read them, in plain Rust.
//!
//! Everything here is inlined into functions compiled for one instruction set, so that the
//! compiler can use its vectors.

use half::bf16;

use super::{lanes::Lanes, rect::Rect};

/// Two bf16 as a cell: the first in the lower half.
#[inline(always)]
fn cell(first: u16, second: u16) -> u32 {
    u32::from(first) | u32::from(second) << 16
}

/// A bf16 as f32.
#[inline(always)]
fn widen(x: u16) -> u32 {
    u32::from(x) << 16
}

/// Activations rounded to bf16 (to nearest even), two a cell.
#[inline(always)]
pub(super) fn pairs(x: &[f32], cells: &mut [u32]) {
    let round = |x: f32| bf16::from_f32(x).to_bits();
    let pairs = x.chunks_exact(2);
    if let &[last] = pairs.remainder() {
        cells[x.len() / 2] = cell(round(last), 0);
    }
    for (pair, out) in pairs.zip(cells) {
        *out = cell(round(pair[0]), round(pair[1]));
    }
}

/// Activations in blocks: `width` values of even index, then the `width` between them, as words of
/// `width` pairs of bf16 fall into a vector of lower and a vector of upper halves.
#[inline(always)]
pub(super) fn evens_and_odds(x: &[f32], cells: &mut [u32], width: usize) {
    for (x, cells) in x.chunks(2 * width).zip(cells.chunks_exact_mut(2 * width)) {
        let (evens, odds) = cells.split_at_mut(width);
        for (x, out) in x.iter().step_by(2).zip(evens) {
            *out = x.to_bits();
        }
        for (x, out) in x.iter().skip(1).step_by(2).zip(odds) {
            *out = x.to_bits();
        }
    }
}

/// See [`Lanes::transpose`].
#[inline(always)]
pub(super) fn transpose(w: &Rect<'_>, panel: &mut [u32], width: usize, paired: bool) {
    for r in 0..w.rows {
        let row = w.row(r);
        let column = panel[r..].iter_mut().step_by(width);
        if paired {
            let pairs = row.chunks(2);
            for (pair, out) in pairs.zip(column) {
                *out = cell(pair[0], pair.get(1).copied().unwrap_or(0));
            }
        } else {
            for (&x, out) in row.iter().zip(column) {
                *out = widen(x);
            }
        }
    }
}

/// The columns of `w` as columns of a panel of `width` columns: where a cell is a pair, it takes
/// two neighbouring rows.
#[inline(always)]
pub(super) fn interleave<L: Lanes>(w: &Rect<'_>, panel: &mut [u32], width: usize) {
    if L::PAIRED {
        for (d, cells) in panel.chunks_exact_mut(width).take(w.rows.div_ceil(2)).enumerate() {
            let even = w.row(2 * d);
            if 2 * d + 1 < w.rows {
                for ((&x, &y), out) in even.iter().zip(w.row(2 * d + 1)).zip(cells) {
                    *out = cell(x, y);
                }
            } else {
                for (&x, out) in even.iter().zip(cells) {
                    *out = cell(x, 0);
                }
            }
        }
    } else {
        for (d, cells) in panel.chunks_exact_mut(width).take(w.rows).enumerate() {
            for (&x, out) in w.row(d).iter().zip(cells) {
                *out = widen(x);
            }
        }
    }
}
