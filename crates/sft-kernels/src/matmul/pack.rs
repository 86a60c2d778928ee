//! Operands in the order in which the kernels read them, in plain Rust.
//!
//! Everything here is inlined into functions compiled for one instruction set, so that the
//! compiler can use its vectors.

use half::bf16;

use super::{rect::Rect, weight::Element};

/// Activations rounded to bf16 (to nearest even), two a cell.
#[inline(always)]
pub(super) fn pairs(x: &[f32], cells: &mut [u32]) {
    let round = |x: f32| bf16::from_f32(x).to_bits();
    let pairs = x.chunks_exact(2);
    if let &[last] = pairs.remainder() {
        cells[x.len() / 2] = round(last).widened() >> 16;
    }
    for (pair, out) in pairs.zip(cells) {
        *out = round(pair[0]).paired(round(pair[1]));
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

/// See [`Lanes::transpose`](super::lanes::Lanes::transpose).
#[inline(always)]
pub(super) fn transpose<E: Element>(
    w: &Rect<'_, E>,
    panel: &mut [u32],
    width: usize,
    paired: bool,
) {
    for r in 0..w.rows {
        let row = w.row(r);
        let column = panel[r..].iter_mut().step_by(width);
        if paired {
            let pairs = row.chunks(2);
            for (pair, out) in pairs.zip(column) {
                *out = pair[0].paired(pair.get(1).copied().unwrap_or_default());
            }
        } else {
            for (x, out) in row.iter().zip(column) {
                *out = x.widened();
            }
        }
    }
}

/// The columns of `w` as columns of a panel of `width` columns: where a cell is a pair, it takes
/// two neighbouring rows.
#[inline(always)]
pub(super) fn interleave<E: Element>(
    w: &Rect<'_, E>,
    panel: &mut [u32],
    width: usize,
    paired: bool,
) {
    if paired {
        for (d, cells) in panel.chunks_exact_mut(width).take(w.rows.div_ceil(2)).enumerate() {
            let even = w.row(2 * d);
            if 2 * d + 1 < w.rows {
                for ((x, &y), out) in even.iter().zip(w.row(2 * d + 1)).zip(cells) {
                    *out = x.paired(y);
                }
            } else {
                for (x, out) in even.iter().zip(cells) {
                    *out = x.paired(E::default());
                }
            }
        }
    } else {
        for (d, cells) in panel.chunks_exact_mut(width).take(w.rows).enumerate() {
            for (x, out) in w.row(d).iter().zip(cells) {
                *out = x.widened();
            }
        }
    }
}
