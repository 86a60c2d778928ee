//! What the processor could do at most, for benches to compare with.

use std::{hint::black_box, time::Instant};

use candle_core::Result;

use super::{Matrix, lanes::Lanes, path::Path};

/// Sums that do not wait for each other: more than any processor's latency asks for.
const CHAINS: usize = 12;
const ROUNDS: usize = 1 << 18;

/// Floating-point operations a second of all threads together, when the instruction with which a
/// weight stored like `w` is multiplied does nothing but follow itself: the limit of every product.
///
/// # Errors
/// When `SFT_KERNELS` names a path that the processor lacks.
pub fn peak_flops(w: &Matrix<'_>) -> Result<f64> {
    let kernels = Path::chosen()?.kernels(w.values);
    let each = 2 * kernels.lanes * if kernels.paired { 2 } else { 1 };
    let work = (CHAINS * ROUNDS * each * rayon::current_num_threads()) as f64;
    let once = || {
        let start = Instant::now();
        // SAFETY: the path is available.
        rayon::broadcast(|_| black_box(unsafe { (kernels.spin)(ROUNDS) }));
        work / start.elapsed().as_secs_f64()
    };
    Ok((0..20).map(|_| once()).fold(0.0, f64::max))
}

/// Adds products to registers.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(super) unsafe fn spin<L: Lanes>(rounds: usize) -> f32 {
    const ONES: u32 = 0x3F80_3F80; // two bf16, or about one f32
    let cells = [ONES; 64];
    // SAFETY: the caller has the features, and no vector is longer than the cells.
    unsafe {
        let (x, w) = (L::splat(cells.as_ptr()), L::load(cells.as_ptr()));
        let mut sums = [L::zero(); CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = L::add_products(*sum, x, w);
            }
        }
        sums.into_iter().map(|sum| L::total(sum)).sum()
    }
}
