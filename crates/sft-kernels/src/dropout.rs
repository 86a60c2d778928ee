//! Dropout masks that do not depend on how rows are batched.

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::{
    cpu::vector::{LANES, vectorised},
    random::{module_key, philox4x32, philox4x32_lanes, split},
};

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
                let [low, high] = split(example);
                mask_row([position, low, high], [key0, key1], threshold, keep, row);
            },
        );
    }
    Tensor::from_vec(mask, (count, features), device)?.to_dtype(dtype)
}

vectorised! {
    /// One row: each four entries are the bits of one counter, [`LANES`] counters at a time.
    fn mask_row(row: [u32; 3], key: [u32; 2], threshold: u64, keep: f32, mask: &mut [f32]) {
        let mut first = 0;
        for entries in mask.chunks_mut(4 * LANES) {
            let blocks = std::array::from_fn(|i| first + i as u32);
            let [position, low, high] = row.map(|counter| [counter; LANES]);
            let bits = philox4x32_lanes([blocks, position, low, high], key);
            for (block, entries) in entries.chunks_mut(4).enumerate() {
                for (entry, bits) in entries.iter_mut().zip(&bits) {
                    *entry = if u64::from(bits[block]) < threshold { 0.0 } else { keep };
                }
            }
            first += LANES as u32;
        }
    }
}
