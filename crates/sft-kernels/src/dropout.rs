//! Dropout masks that do not depend on how rows are batched.

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::random::{module_key, philox4x32, split};

/// The randomness of one optimizer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutStream {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step.
    pub step: u64,
}

/// What the rows of a `[T, ...]` tensor are.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Number of the training example that each row belongs to, `[T]`.
    pub example: &'a [u64],
    /// Position of each row in its sequence, `[T]`.
    pub position: &'a [u32],
}

/// A mask `[T, features]` of 0 (with probability `p`) and `1 / (1 - p)`.
///
/// An entry is a function of (seed, step, module, example, position, feature): it is the same
/// wherever the row lies in a batch, in a recomputation, and after a resume.
///
/// # Errors
/// When `p` is not in `[0, 1)` or the rows' lists differ in length.
pub fn dropout_mask(
    stream: DropoutStream,
    module: &str,
    rows: Rows<'_>,
    features: usize,
    p: f64,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        bail!("a dropout probability lies in [0, 1), not {p}")
    }
    let count = rows.position.len();
    if rows.example.len() != count {
        bail!("{} examples for {count} positions", rows.example.len())
    }
    let [step_low, step_high] = split(stream.step);
    let [module_low, module_high] = split(module_key(module));
    let [key0, key1, ..] =
        philox4x32([step_low, step_high, module_low, module_high], split(stream.seed));
    let threshold = (p * 4_294_967_296.0).round() as u64;
    let keep = (1.0 / (1.0 - p)) as f32;
    let mut mask = vec![0f32; count * features];
    if features > 0 {
        mask.par_chunks_mut(features).zip(rows.example.par_iter().zip(rows.position)).for_each(
            |(row, (&example, &position))| {
                let [example_low, example_high] = split(example);
                for (block, entries) in row.chunks_mut(4).enumerate() {
                    let counter = [block as u32, position, example_low, example_high];
                    let bits = philox4x32(counter, [key0, key1]);
                    for (entry, bits) in entries.iter_mut().zip(bits) {
                        *entry = if u64::from(bits) < threshold { 0.0 } else { keep };
                    }
                }
            },
        );
    }
    Tensor::from_vec(mask, (count, features), device)?.to_dtype(dtype)
}
