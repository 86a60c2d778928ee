//! What an instruction set offers to the products.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512bf16::Avx512Bf16;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::Neon;
pub(super) use portable::Portable;

use super::{
    pack,
    quantised::{int8, nf4},
    rect::Rect,
};

/// The upper half of a word: the odd one of two neighbouring bf16, already an f32.
pub(super) const ODD: u32 = 0xFFFF_0000;

/// Vectors of f32 sums, and the operations that add products to them.
///
/// A reduction runs over *cells* of 32 bits. Where `PAIRED`, a cell holds two neighbouring bf16
/// and one instruction multiplies both; otherwise it holds one f32.
///
/// # Safety
/// The methods may be called only on a processor that has the type's features, with pointers to
/// as many readable (for `store`: writable) elements as each says. No alignment is needed.
pub(super) trait Lanes {
    /// f32 sums.
    type Sums: Copy;
    /// Cells, one for each sum.
    type Cells: Copy;
    /// Sums in a vector.
    const WIDTH: usize;
    /// Whether a cell is two bf16.
    const PAIRED: bool;
    /// Rows of a register tile, 8 at most.
    const ROWS: usize;
    /// Vectors in a row of a register tile, 4 at most.
    const VECTORS: usize;

    /// Zeros.
    unsafe fn zero() -> Self::Sums;
    /// `WIDTH` cells.
    unsafe fn load(cells: *const u32) -> Self::Cells;
    /// One cell in every lane.
    unsafe fn splat(cell: *const u32) -> Self::Cells;
    /// `sums + x * w`, lane by lane.
    unsafe fn add_products(sums: Self::Sums, x: Self::Cells, w: Self::Cells) -> Self::Sums;
    /// `sums + x * w` over `2 WIDTH` weights and as many values of `x`, packed by [`Self::pack_row`].
    unsafe fn add_dot(sums: Self::Sums, x: *const u32, w: *const u16) -> Self::Sums;
    /// The sum of all lanes, always in the same order.
    unsafe fn total(sums: Self::Sums) -> f32;
    /// Writes `WIDTH` sums, or adds them to what is there.
    unsafe fn store(sums: Self::Sums, y: *mut f32, add: bool);

    /// Packs a row of activations for [`Self::add_dot`]; `cells` is zero and long enough.
    #[inline(always)]
    unsafe fn pack_row(x: &[f32], cells: &mut [u32]) {
        if Self::PAIRED {
            pack::pairs(x, cells);
        } else {
            pack::evens_and_odds(x, cells, Self::WIDTH);
        }
    }

    /// Turns the rows of `w` into the columns of a panel of `width` columns: cell `d` of row `r`
    /// becomes `panel[d * width + r]`.
    #[inline(always)]
    unsafe fn transpose(w: &Rect<'_, u16>, panel: &mut [u32], width: usize) {
        pack::transpose(w, panel, width, Self::PAIRED);
    }

    /// [`Self::transpose`] of a weight in f32, where a cell is one.
    #[inline(always)]
    unsafe fn transpose_f32(w: &Rect<'_, f32>, panel: &mut [u32], width: usize) {
        pack::transpose(w, panel, width, false);
    }

    /// Numbers of an NF4 block of this size, two codes a byte, as bits of bf16.
    #[inline(always)]
    unsafe fn nf4(codes: &[u8], size: f32, out: &mut [u16]) {
        nf4::unpack(codes, size, out);
    }

    /// Numbers of an int8 block with this scale, as bits of bf16.
    #[inline(always)]
    unsafe fn int8(codes: &[u8], scale: f32, out: &mut [u16]) {
        int8::unpack(codes, scale, out);
    }

    /// Asks for a cache line that will be read soon; any address will do.
    #[inline(always)]
    unsafe fn prefetch(_address: *const u8) {}
}
