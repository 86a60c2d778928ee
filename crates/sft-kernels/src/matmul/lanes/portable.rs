//! Any processor.

use super::{Lanes, ODD};

const WIDTH: usize = 4;

/// Plain Rust: four f32, multiplied, then added (two roundings; a fused one would be a call into
/// the mathematics library where the processor has none).
pub(in super::super) struct Portable;

impl Lanes for Portable {
    type Sums = [f32; WIDTH];
    type Cells = [f32; WIDTH];
    const WIDTH: usize = WIDTH;
    const PAIRED: bool = false;
    const ROWS: usize = 4;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> [f32; WIDTH] {
        [0.0; WIDTH]
    }

    #[inline(always)]
    unsafe fn load(cells: *const u32) -> [f32; WIDTH] {
        // SAFETY: the caller vouches for WIDTH cells.
        unsafe { cells.cast::<[f32; WIDTH]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn splat(cell: *const u32) -> [f32; WIDTH] {
        // SAFETY: the caller vouches for the cell.
        unsafe { [cell.cast::<f32>().read_unaligned(); WIDTH] }
    }

    #[inline(always)]
    unsafe fn add_products(
        mut sums: [f32; WIDTH],
        x: [f32; WIDTH],
        w: [f32; WIDTH],
    ) -> [f32; WIDTH] {
        for i in 0..WIDTH {
            sums[i] += x[i] * w[i];
        }
        sums
    }

    #[inline(always)]
    unsafe fn add_dot(sums: [f32; WIDTH], x: *const u32, w: *const u16) -> [f32; WIDTH] {
        // SAFETY: the caller vouches for 2 WIDTH values of x and of w.
        let (evens, odds, w) = unsafe {
            (
                Self::load(x),
                Self::load(x.add(WIDTH)),
                w.cast::<[[u16; 2]; WIDTH]>().read_unaligned(),
            )
        };
        let even = w.map(|[even, _]| f32::from_bits(u32::from(even) << 16));
        let odd = w.map(|[_, odd]| f32::from_bits(u32::from(odd) << 16 & ODD));
        // SAFETY: no feature is needed here.
        unsafe { Self::add_products(Self::add_products(sums, evens, even), odds, odd) }
    }

    #[inline(always)]
    unsafe fn total([a, b, c, d]: [f32; WIDTH]) -> f32 {
        (a + c) + (b + d)
    }

    #[inline(always)]
    unsafe fn store(mut sums: [f32; WIDTH], y: *mut f32, add: bool) {
        let y = y.cast::<[f32; WIDTH]>();
        // SAFETY: the caller vouches for WIDTH sums.
        unsafe {
            if add {
                let there = y.read_unaligned();
                for i in 0..WIDTH {
                    sums[i] += there[i];
                }
            }
            y.write_unaligned(sums);
        }
    }
}
