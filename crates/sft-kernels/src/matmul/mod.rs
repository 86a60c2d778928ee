//! Products of f32 activations with a weight, f32, bf16 or quantised, that is read where it lies.
//!
//! No copy of the weight exists beyond a panel of 24 KiB in each thread's L1 cache, so that the
//! weight may be a memory map larger than the memory. What a packer puts into a panel is all that
//! depends on how a weight is stored.
//!
//! Sums are f32. For a bf16 weight on a processor with AVX-512 BF16 the activations are rounded to
//! bf16 (to nearest even) and subnormal numbers count as zero; on every other path, and for an f32
//! weight, the activations stay f32 and the weights are widened, which is exact. A path's results do not depend on the number of threads;
//! those of two paths differ by rounding, as do those of a row among up to 32 and among more.
#![allow(unsafe_code)]
// A kernel must be compiled inside the function that turns its instruction set on.
#![allow(clippy::inline_always)]

mod dot;
mod lanes;
mod limit;
mod local;
mod pack;
mod packing;
mod path;
mod product;
mod quantised;
mod rect;
mod source;
mod task;
#[cfg(test)]
mod tests;
mod tile;
mod weight;

use candle_core::Result;

pub use limit::peak_flops;
pub(crate) use local::{Part, part_nn, part_nt};
use path::Path;
pub use path::reference;
pub use product::Product;
pub use quantised::{MappedBytes, Parts, Quantised, WeightBytes, nf4_values, size_values};
pub use weight::Matrix;

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Nothing: the output is overwritten.
    Zero,
    /// This row in every row of the output, which is overwritten.
    Bias(&'a [f32]),
    /// What the output holds.
    Existing,
}

/// Which side of the weight is summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `x W^T`.
    Nt,
    /// `x W`.
    Nn,
    /// `x^T W`, of an f32 matrix.
    Tn,
}

impl Form {
    /// Terms in a sum, and sums in a row of the result.
    fn sides(self, w: &Matrix<'_>) -> (usize, usize) {
        match self {
            Self::Nt => (w.cols, w.rows),
            Self::Nn | Self::Tn => (w.rows, w.cols),
        }
    }
}

/// `y = start + x W^T` for `t` rows: `x` is `[t, cols]`, `y` `[t, rows]`.
///
/// # Errors
/// When a length does not fit, or `SFT_KERNELS` names a path that the processor lacks.
pub fn matmul_nt(
    x: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    y: &mut [f32],
) -> Result<()> {
    matmul(vec![Product::nt(x, t, *w, start, y)])
}

/// `dx = start + dy W` for `t` rows: `dy` is `[t, rows]`, `dx` `[t, cols]`.
///
/// # Errors
/// When a length does not fit, or `SFT_KERNELS` names a path that the processor lacks.
pub fn matmul_nn(
    dy: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    dx: &mut [f32],
) -> Result<()> {
    matmul(vec![Product::nn(dy, t, *w, start, dx)])
}

/// Whether the products of this process round activations that meet a bf16 or quantised weight, and
/// so make a copy of them.
pub fn packs_activations() -> bool {
    Path::chosen().is_ok_and(|path| path.kernels(weight::Values::Bf16(&[])).paired)
}

/// Several products side by side: activations that more than one of them reads are packed once, and
/// threads go on from one to the next without waiting.
///
/// # Errors
/// When a length does not fit, the weight of a product with `x^T` is not f32, or `SFT_KERNELS` names
/// a path that the processor lacks.
pub fn matmul(products: Vec<Product<'_>>) -> Result<()> {
    product::compute(Path::chosen()?, products)
}
