//! NEON, which every aarch64 processor has.
#![allow(clippy::wildcard_imports)] // intrinsics

use core::arch::aarch64::*;

use super::{Lanes, ODD};

/// Four f32; weights are widened.
pub(in super::super) struct Neon;

// SAFETY (every block here): NEON is part of the target; the trait's caller vouches for the
// pointers, whose elements need no alignment.
impl Lanes for Neon {
    type Sums = float32x4_t;
    type Cells = float32x4_t;
    const WIDTH: usize = 4;
    const PAIRED: bool = false;
    const ROWS: usize = 6;
    const VECTORS: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn load(cells: *const u32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { cells.cast::<float32x4_t>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(cell: *const u32) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_f32(cell.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn add_products(sums: float32x4_t, x: float32x4_t, w: float32x4_t) -> float32x4_t {
        // SAFETY: see above.
        unsafe { vfmaq_f32(sums, x, w) }
    }

    #[inline(always)]
    unsafe fn add_dot(sums: float32x4_t, x: *const u32, w: *const u16) -> float32x4_t {
        // SAFETY: see above.
        unsafe {
            let w = w.cast::<uint32x4_t>().read_unaligned();
            let even = vreinterpretq_f32_u32(vshlq_n_u32::<16>(w));
            let odd = vreinterpretq_f32_u32(vandq_u32(w, vdupq_n_u32(ODD)));
            let sums = vfmaq_f32(sums, Self::load(x), even);
            vfmaq_f32(sums, Self::load(x.add(Self::WIDTH)), odd)
        }
    }

    #[inline(always)]
    unsafe fn total(sums: float32x4_t) -> f32 {
        // SAFETY: see above.
        unsafe { vaddvq_f32(sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: float32x4_t, y: *mut f32, add: bool) {
        let y = y.cast::<float32x4_t>();
        // SAFETY: see above.
        unsafe {
            let sums = if add { vaddq_f32(y.read_unaligned(), sums) } else { sums };
            y.write_unaligned(sums);
        }
    }
}
