//! AVX-512 (F, BW and VL), and what its bf16 extension shares with it.
#![allow(clippy::wildcard_imports)] // intrinsics

use core::arch::x86_64::*;

use super::{Lanes, ODD};
use crate::matmul::{quantised::nf4, rect::Rect};

/// Sixteen f32; weights are widened.
pub(in super::super) struct Avx512;

// SAFETY (every block here): the trait's caller vouches for the features and for the pointers; all
// loads and stores are of the unaligned kind.
impl Lanes for Avx512 {
    type Sums = __m512;
    type Cells = __m512;
    const WIDTH: usize = 16;
    const PAIRED: bool = false;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(cells: *const u32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(cells.cast()) }
    }

    #[inline(always)]
    unsafe fn splat(cell: *const u32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(cell.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: __m512, x: __m512, w: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(x, w, sums) }
    }

    #[inline(always)]
    unsafe fn add_dot(sums: __m512, x: *const u32, w: *const u16) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let w = _mm512_loadu_si512(w.cast());
            let even = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(w));
            let odd =
                _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32(ODD.cast_signed())));
            let sums = _mm512_fmadd_ps(Self::load(x), even, sums);
            _mm512_fmadd_ps(Self::load(x.add(Self::WIDTH)), odd, sums)
        }
    }

    #[inline(always)]
    unsafe fn total(sums: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512, y: *mut f32, add: bool) {
        // SAFETY: see above.
        unsafe {
            let sums = if add { _mm512_add_ps(_mm512_loadu_ps(y), sums) } else { sums };
            _mm512_storeu_ps(y, sums);
        }
    }

    #[inline(always)]
    unsafe fn transpose(w: &Rect<'_, u16>, panel: &mut [u32], width: usize) {
        // SAFETY: see above.
        unsafe { transpose::<false>(w, panel, width) }
    }

    #[inline(always)]
    unsafe fn transpose_f32(w: &Rect<'_, f32>, panel: &mut [u32], width: usize) {
        // SAFETY: see above; the masks keep every load inside its row.
        unsafe {
            squares(w, panel, width, 16, |from, mask| {
                _mm512_castps_si512(_mm512_maskz_loadu_ps(mask as u16, from))
            });
        }
    }

    #[inline(always)]
    unsafe fn nf4(codes: &[u8], size: f32, out: &mut [u16]) {
        let (pairs, whole) = (out.len() / 2, out.len() / 32);
        assert!(codes.len() >= out.len().div_ceil(2), "too few codes");
        // SAFETY: see above; just asserted that each load and store is inside its slice.
        unsafe {
            let values = _mm512_mul_ps(_mm512_loadu_ps(nf4::VALUES.as_ptr()), _mm512_set1_ps(size));
            let bits = _mm512_castps_si512(values);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
            let half = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            // Twice, since an index into 32 numbers looks at five bits of which four are a code.
            let table = _mm512_broadcast_i64x4(half);
            for i in 0..whole {
                let bytes = _mm_loadu_si128(codes.as_ptr().add(16 * i).cast());
                let words = _mm512_cvtepu8_epi32(bytes);
                let index =
                    _mm512_or_si512(_mm512_srli_epi32::<4>(words), _mm512_slli_epi32::<16>(words));
                let numbers = _mm512_permutexvar_epi16(index, table);
                _mm512_storeu_si512(out.as_mut_ptr().add(32 * i).cast(), numbers);
            }
            let mut done = 16 * whole;
            if pairs - done >= 8 {
                let words = _mm256_cvtepu8_epi32(_mm_loadl_epi64(codes.as_ptr().add(done).cast()));
                let index =
                    _mm256_or_si256(_mm256_srli_epi32::<4>(words), _mm256_slli_epi32::<16>(words));
                let numbers = _mm256_permutexvar_epi16(index, half);
                _mm256_storeu_si256(out.as_mut_ptr().add(2 * done).cast(), numbers);
                done += 8;
            }
            if 2 * done < out.len() {
                nf4::unpack(&codes[done..], size, &mut out[2 * done..]);
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}

/// [`Lanes::transpose`] of bf16: each cell is a pair of them or a widened one.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL.
#[inline(always)]
pub(super) unsafe fn transpose<const PAIRED: bool>(
    w: &Rect<'_, u16>,
    panel: &mut [u32],
    width: usize,
) {
    let step = if PAIRED { 32 } else { 16 };
    // SAFETY: the caller has the features, and the masks keep every load inside its row.
    unsafe {
        squares(w, panel, width, step, |from, mask| {
            if PAIRED {
                _mm512_maskz_loadu_epi16(mask, from.cast())
            } else {
                let half = _mm256_maskz_loadu_epi16(mask as u16, from.cast());
                _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half))
            }
        });
    }
}

/// A transposition in squares of 16 by 16 cells. `load` makes the 16 cells of up to `step` numbers:
/// of those whose bit is set.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL.
#[inline(always)]
unsafe fn squares<E>(
    w: &Rect<'_, E>,
    panel: &mut [u32],
    width: usize,
    step: usize,
    load: impl Fn(*const E, u32) -> __m512i,
) {
    for first_row in (0..w.rows).step_by(16) {
        for (block, first) in (0..w.cols).step_by(step).enumerate() {
            let mask = u32::MAX >> (32 - (w.cols - first).min(step));
            // SAFETY: the caller has the features.
            let square = unsafe {
                let mut rows = [_mm512_setzero_si512(); 16];
                for (i, row) in rows.iter_mut().enumerate() {
                    if first_row + i < w.rows {
                        *row = load(w.row(first_row + i).as_ptr().add(first), mask);
                    }
                }
                transpose16(rows)
            };
            let panel = &mut panel[16 * block * width + first_row..];
            assert!(panel.len() >= 15 * width + 16, "the panel is too small");
            for (i, cells) in square.into_iter().enumerate() {
                // SAFETY: just asserted.
                unsafe { _mm512_storeu_si512(panel.as_mut_ptr().add(i * width).cast(), cells) }
            }
        }
    }
}

/// A square of 16 by 16 cells with rows and columns exchanged.
///
/// # Safety
/// The processor has AVX-512 F.
#[inline(always)]
unsafe fn transpose16(rows: [__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: the caller has the feature.
    unsafe {
        let (mut pairs, mut fours, mut columns) = (rows, rows, rows);
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        // Now 128-bit lane q of fours[4 i + j] is column 4 q + j of the rows from 4 i.
        for i in (0..16).step_by(4) {
            fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
            fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
            fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
        }
        for j in 0..4 {
            let even_top = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
            let odd_top = _mm512_shuffle_i32x4::<0xDD>(fours[j], fours[4 + j]);
            let even_bottom = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
            let odd_bottom = _mm512_shuffle_i32x4::<0xDD>(fours[8 + j], fours[12 + j]);
            columns[j] = _mm512_shuffle_i32x4::<0x88>(even_top, even_bottom);
            columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd_top, odd_bottom);
            columns[8 + j] = _mm512_shuffle_i32x4::<0xDD>(even_top, even_bottom);
            columns[12 + j] = _mm512_shuffle_i32x4::<0xDD>(odd_top, odd_bottom);
        }
        columns
    }
}
