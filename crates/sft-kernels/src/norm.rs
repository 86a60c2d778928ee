//! Root-mean-square normalisation.

use candle_core::{D, DType, Result, Tensor};

/// `x / sqrt(mean(x^2) + eps) * weight` over the last dimension (Zhang and Sennrich, 2019).
///
/// As in transformers, the normalisation runs in f32 (f64 stays f64), is cast back to the type of
/// `x`, and only then multiplied with `weight` `[D]`. Differentiable in `x`.
///
/// # Errors
/// When shapes or devices do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = if x.dtype() == DType::F64 { x.clone() } else { x.to_dtype(DType::F32)? };
    let scale = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let normed = wide.broadcast_div(&scale)?.to_dtype(x.dtype())?;
    normed.broadcast_mul(&weight.detach())
}
