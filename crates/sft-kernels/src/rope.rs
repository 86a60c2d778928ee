//! Rotary position embedding.

use candle_core::{D, Result, Tensor};

/// Rotates the halves of each head: `[x1 cos - x2 sin, x2 cos + x1 sin]` (Su et al., 2021, in the
/// half-split order of Hugging Face's checkpoints; Meta's and GGUF's interleave instead).
///
/// `x` is `[T, H, head_dim]`; `cos` and `sin` are `[T, head_dim / 2]`, a row for each token's
/// position. Differentiable in `x`.
///
/// # Errors
/// When shapes or devices do not fit.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (cos, sin) =
        (cos.unsqueeze(1)?.to_dtype(x.dtype())?, sin.unsqueeze(1)?.to_dtype(x.dtype())?); // [T, 1, half]
    let x1 = x.narrow(D::Minus1, 0, half)?;
    let x2 = x.narrow(D::Minus1, half, half)?;
    let y1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
    let y2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
    Tensor::cat(&[y1, y2], D::Minus1)
}
