//! AVX2 with FMA.
#![allow(clippy::wildcard_imports)] // intrinsics

use core::arch::x86_64::*;

use super::{Lanes, ODD};
use crate::matmul::quantised::{nf4, rounded};

/// Eight f32; weights are widened.
pub(in super::super) struct Avx2;

// SAFETY (every block here): the trait's caller vouches for the features and for the pointers; all
// loads and stores are of the unaligned kind.
impl Lanes for Avx2 {
    type Sums = __m256;
    type Cells = __m256;
    const WIDTH: usize = 8;
    const PAIRED: bool = false;
    const ROWS: usize = 6;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(cells: *const u32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(cells.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(cell: *const u32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(cell.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: __m256, x: __m256, w: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(x, w, sums) }
    }

    #[inline(always)]
    unsafe fn add_dot(sums: __m256, x: *const u32, w: *const u16) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let w = _mm256_loadu_si256(w.cast());
            let even = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(w));
            let odd =
                _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32(ODD.cast_signed())));
            let sums = _mm256_fmadd_ps(Self::load(x), even, sums);
            _mm256_fmadd_ps(Self::load(x.add(Self::WIDTH)), odd, sums)
        }
    }

    #[inline(always)]
    unsafe fn total(sums: __m256) -> f32 {
        // SAFETY: see above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256, y: *mut f32, add: bool) {
        // SAFETY: see above.
        unsafe {
            let sums = if add { _mm256_add_ps(_mm256_loadu_ps(y), sums) } else { sums };
            _mm256_storeu_ps(y, sums);
        }
    }

    #[inline(always)]
    unsafe fn nf4(codes: &[u8], size: f32, out: &mut [u16]) {
        assert!(codes.len() >= out.len().div_ceil(2), "too few codes");
        let table = nf4::VALUES.map(|value| rounded(value * size));
        let whole = out.len() / 16;
        // SAFETY: see above; just asserted that each load and store is inside its slice.
        unsafe {
            // The lower and the upper bytes of the table, for shuffles by bytes.
            let halves = [0, 8].map(|i| _mm_loadu_si128(table.as_ptr().add(i).cast()));
            let low = halves.map(|half| _mm_and_si128(half, _mm_set1_epi16(0xFF)));
            let high = halves.map(|half| _mm_srli_epi16::<8>(half));
            let (low, high) =
                (_mm_packus_epi16(low[0], low[1]), _mm_packus_epi16(high[0], high[1]));
            let nibble = _mm_set1_epi8(15);
            for i in 0..whole {
                let pairs = _mm_loadl_epi64(codes.as_ptr().add(8 * i).cast());
                let first = _mm_and_si128(_mm_srli_epi16::<4>(pairs), nibble);
                let index = _mm_unpacklo_epi8(first, _mm_and_si128(pairs, nibble));
                let (low, high) = (_mm_shuffle_epi8(low, index), _mm_shuffle_epi8(high, index));
                let out = out.as_mut_ptr().add(16 * i);
                _mm_storeu_si128(out.cast(), _mm_unpacklo_epi8(low, high));
                _mm_storeu_si128(out.add(8).cast(), _mm_unpackhi_epi8(low, high));
            }
        }
        if 16 * whole < out.len() {
            nf4::unpack(&codes[8 * whole..], size, &mut out[16 * whole..]);
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}
