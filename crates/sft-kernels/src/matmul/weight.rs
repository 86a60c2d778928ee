//! How a weight is stored, and what the kernels make of it.

use super::{lanes::Lanes, quantised::Quantised, rect::Rect};
use crate::cpu::round;
use candle_core::{Result, bail};
use half::{bf16, slice::HalfFloatSliceExt};

/// A row-major matrix, where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(super) values: Values<'a>,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// The numbers of a matrix.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
    Quantised(&'a Quantised),
}

impl<'a> Matrix<'a> {
    /// `data` as a matrix `[rows, cols]`.
    ///
    /// # Errors
    /// When `data` has another length.
    pub fn f32(data: &'a [f32], rows: usize, cols: usize) -> Result<Self> {
        check(data.len(), rows, cols)?;
        Ok(Self { values: Values::F32(data), rows, cols })
    }

    /// `data` as a matrix `[rows, cols]`.
    ///
    /// # Errors
    /// When `data` has another length.
    pub fn bf16(data: &'a [bf16], rows: usize, cols: usize) -> Result<Self> {
        check(data.len(), rows, cols)?;
        Ok(Self { values: Values::Bf16(data.reinterpret_cast()), rows, cols })
    }

    /// A copy of an f32 matrix, rounded to the nearest even bf16; none of any other.
    pub fn rounded(&self) -> Option<Vec<bf16>> {
        let Values::F32(values) = self.values else { return None };
        let mut rounded = vec![bf16::ZERO; values.len()];
        round(values, &mut rounded);
        Some(rounded)
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Its columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of a number, rounded up.
    pub(super) fn bytes_each(&self) -> usize {
        match self.values {
            Values::F32(_) => 4,
            Values::Bf16(_) => 2,
            Values::Quantised(_) => 1,
        }
    }
}

pub(super) fn check(len: usize, rows: usize, cols: usize) -> Result<()> {
    if rows.checked_mul(cols) != Some(len) {
        bail!("{len} values are no matrix [{rows}, {cols}]")
    }
    Ok(())
}

/// A number of a weight, as the kernels read it.
pub(super) trait Element: Copy + Default {
    /// Whether a number is a cell as it is.
    const IS_CELL: bool;

    /// Numbers in a cell of these lanes.
    fn per_cell<L: Lanes>() -> usize;
    /// One number as a cell.
    fn widened(self) -> u32;
    /// Two neighbours as a cell, where a cell takes two.
    fn paired(self, next: Self) -> u32;
    /// `sums + x * w` over `2 WIDTH` weights and as many values of `x`, packed by
    /// [`Lanes::pack_row`] for bf16 weights, as they
    /// are for f32 ones.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn add_dot<L: Lanes>(sums: L::Sums, x: *const u32, w: *const Self) -> L::Sums;
    /// Turns the rows of `w` into the columns of a panel of `width` columns: cell `d` of row `r`
    /// becomes `panel[d * width + r]`.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn transpose<L: Lanes>(w: &Rect<'_, Self>, panel: &mut [u32], width: usize);
}

/// The bits of a bf16.
impl Element for u16 {
    const IS_CELL: bool = false;

    #[inline(always)]
    fn per_cell<L: Lanes>() -> usize {
        if L::PAIRED { 2 } else { 1 }
    }

    #[inline(always)]
    fn widened(self) -> u32 {
        u32::from(self) << 16
    }

    #[inline(always)]
    fn paired(self, next: Self) -> u32 {
        u32::from(self) | u32::from(next) << 16
    }

    #[inline(always)]
    unsafe fn add_dot<L: Lanes>(sums: L::Sums, x: *const u32, w: *const u16) -> L::Sums {
        // SAFETY: the caller's promises are passed on.
        unsafe { L::add_dot(sums, x, w) }
    }

    #[inline(always)]
    unsafe fn transpose<L: Lanes>(w: &Rect<'_, u16>, panel: &mut [u32], width: usize) {
        // SAFETY: the caller's promises are passed on.
        unsafe { L::transpose(w, panel, width) }
    }
}

/// Only for lanes whose cells are f32.
impl Element for f32 {
    const IS_CELL: bool = true;

    #[inline(always)]
    fn per_cell<L: Lanes>() -> usize {
        1
    }

    #[inline(always)]
    fn widened(self) -> u32 {
        self.to_bits()
    }

    #[inline(always)]
    fn paired(self, _next: Self) -> u32 {
        unreachable!("an f32 is a whole cell")
    }

    #[inline(always)]
    unsafe fn add_dot<L: Lanes>(sums: L::Sums, x: *const u32, w: *const f32) -> L::Sums {
        let w = w.cast::<u32>();
        // SAFETY: the caller's promises are passed on; an f32 is a cell.
        unsafe {
            let sums = L::add_products(sums, L::load(x), L::load(w));
            L::add_products(sums, L::load(x.add(L::WIDTH)), L::load(w.add(L::WIDTH)))
        }
    }

    #[inline(always)]
    unsafe fn transpose<L: Lanes>(w: &Rect<'_, f32>, panel: &mut [u32], width: usize) {
        // SAFETY: the caller's promises are passed on.
        unsafe { L::transpose_f32(w, panel, width) }
    }
}
