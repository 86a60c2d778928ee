//! The gated activation of Llama-class feed-forward layers.

use candle_core::{Result, Tensor};

/// `silu(gate) * up` (Shazeer, 2020), differentiable in both.
///
/// # Errors
/// When shapes, types or devices differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}
