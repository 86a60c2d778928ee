//! AVX2 with FMA.
#![allow(clippy::wildcard_imports)] // intrinsics

use core::arch::x86_64::*;

use super::{Lanes, ODD};

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
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}
