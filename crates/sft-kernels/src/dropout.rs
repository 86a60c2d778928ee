//! Dropout masks that do not depend on how rows are batched.

use candle_core::{DType, Device, Result, Tensor};

use crate::cpu::Dropout;

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
    let dropout = Dropout::new(stream, module, rows, p)?;
    let count = rows.position.len();
    let mut mask = vec![0f32; count * features];
    dropout.apply(features, &vec![1.0; count * features], &mut mask)?;
    Tensor::from_vec(mask, (count, features), device)?.to_dtype(dtype)
}
