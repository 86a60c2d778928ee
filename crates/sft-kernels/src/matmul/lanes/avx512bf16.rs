//! AVX-512 with its bf16 extension.
#![allow(clippy::wildcard_imports)] // intrinsics

use core::{arch::x86_64::*, mem::transmute};

use super::{Lanes, avx512::Avx512};
use crate::matmul::{pack, quantised::int8, rect::Rect};

/// Sixteen f32 sums, to each of which one instruction adds two products of bf16.
///
/// `vdpbf16ps` takes subnormal numbers for zero, and fuses each product with its addition.
pub(in super::super) struct Avx512Bf16;

// SAFETY (every block here): the trait's caller vouches for the features and for the pointers; all
// loads and stores are of the unaligned kind.
impl Lanes for Avx512Bf16 {
    type Sums = __m512;
    type Cells = __m512bh;
    const WIDTH: usize = 16;
    const PAIRED: bool = true;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: see above.
        unsafe { Avx512::zero() }
    }

    #[inline(always)]
    unsafe fn load(cells: *const u32) -> __m512bh {
        // SAFETY: see above; both types are 512 plain bits.
        unsafe { transmute(_mm512_loadu_si512(cells.cast())) }
    }

    #[inline(always)]
    unsafe fn splat(cell: *const u32) -> __m512bh {
        // SAFETY: see above; both types are 512 plain bits.
        unsafe { transmute(_mm512_set1_epi32(cell.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: __m512, x: __m512bh, w: __m512bh) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_dpbf16_ps(sums, x, w) }
    }

    #[inline(always)]
    unsafe fn add_dot(sums: __m512, x: *const u32, w: *const u16) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_dpbf16_ps(sums, Self::load(x), Self::load(w.cast())) }
    }

    #[inline(always)]
    unsafe fn total(sums: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { Avx512::total(sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512, y: *mut f32, add: bool) {
        // SAFETY: see above.
        unsafe { Avx512::store(sums, y, add) }
    }

    #[inline(always)]
    unsafe fn pack_row(x: &[f32], cells: &mut [u32]) {
        let blocks = x.chunks_exact(32);
        let rest = blocks.remainder();
        for (x, cells) in blocks.zip(cells.chunks_exact_mut(16)) {
            // SAFETY: see above; the chunks have 32 values and 16 cells.
            unsafe {
                let (first, second) =
                    (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
                let rounded: __m512i = transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_storeu_si512(cells.as_mut_ptr().cast(), rounded);
            }
        }
        pack::pairs(rest, &mut cells[x.len() / 32 * 16..]);
    }

    #[inline(always)]
    unsafe fn transpose(w: &Rect<'_, u16>, panel: &mut [u32], width: usize) {
        // SAFETY: see above.
        unsafe { super::avx512::transpose::<true>(w, panel, width) }
    }

    #[inline(always)]
    unsafe fn nf4(codes: &[u8], size: f32, out: &mut [u16]) {
        // SAFETY: see above.
        unsafe { Avx512::nf4(codes, size, out) }
    }

    #[inline(always)]
    unsafe fn int8(codes: &[u8], scale: f32, out: &mut [u16]) {
        let whole = out.len() / 32;
        assert!(codes.len() >= out.len(), "too few codes");
        // SAFETY: see above; just asserted that each load and store is inside its slice.
        unsafe {
            let scales = _mm512_set1_ps(scale);
            for i in 0..whole {
                let codes = codes.as_ptr().add(32 * i);
                let first = _mm512_cvtepi8_epi32(_mm_loadu_si128(codes.cast()));
                let second = _mm512_cvtepi8_epi32(_mm_loadu_si128(codes.add(16).cast()));
                let first = _mm512_mul_ps(_mm512_cvtepi32_ps(first), scales);
                let second = _mm512_mul_ps(_mm512_cvtepi32_ps(second), scales);
                let rounded: __m512i = transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_storeu_si512(out.as_mut_ptr().add(32 * i).cast(), rounded);
            }
        }
        int8::unpack(&codes[32 * whole..], scale, &mut out[32 * whole..]);
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: see above.
        unsafe { Avx512::prefetch(address) }
    }
}
