//! Rotary position embedding.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};

use crate::{
    cpu::{self, Locked, Turn, locked::slice},
    fused::{fused_of_any_width, only_fused, ready},
};

/// Rotates the halves of each head: `[x1 cos - x2 sin, x2 cos + x1 sin]` (Su et al., 2021, in the
/// half-split order of Hugging Face's checkpoints; Meta's and GGUF's interleave instead).
///
/// `x` is `[T, H, head_dim]`; `cos` and `sin` are `[T, head_dim / 2]`, a row for each token's
/// position. Differentiable in `x`.
///
/// # Errors
/// When shapes or devices do not fit.
pub fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    if fused_of_any_width(&[x, cos, sin]) {
        return x.contiguous()?.apply_op1(angled(x, cos, sin)?);
    }
    composed(x, cos, sin)
}

/// The gradient of `x` for that of [`rope`]'s result, outside every graph: a rotation back.
///
/// # Errors
/// When the tensors are not what [`crate::has_backward`] speaks of, or do not fit.
pub fn rope_backward(dy: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let tensors = [dy, cos, sin];
    only_fused(fused_of_any_width(&tensors), "rope", &tensors)?;
    angled(dy, cos, sin)?.gradient(dy)
}

/// The rotation of heads like those of `x`.
fn angled(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Rope> {
    let (tokens, _, head_dim) = x.dims3()?;
    if [cos, sin].iter().any(|table| table.dims() != [tokens, head_dim / 2]) {
        bail!("angles {:?} for heads {:?}", cos.shape(), x.shape())
    }
    Ok(Rope { cos: cos.contiguous()?, sin: sin.contiguous()? })
}

/// In candle's operations, on every device and in every type.
fn composed(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (cos, sin) =
        (cos.unsqueeze(1)?.to_dtype(x.dtype())?, sin.unsqueeze(1)?.to_dtype(x.dtype())?); // [T, 1, half]
    let x1 = x.narrow(D::Minus1, 0, half)?;
    let x2 = x.narrow(D::Minus1, half, half)?;
    let y1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
    let y2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
    Tensor::cat(&[y1, y2], D::Minus1)
}

struct Rope {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    fn turned(&self, x: &[f32], shape: &Shape, turn: Turn) -> Result<Vec<f32>> {
        let (_, heads, head_dim) = shape.dims3()?;
        let [cos, sin] = [Locked::new(&self.cos), Locked::new(&self.sin)];
        let mut y = x.to_vec();
        cpu::rope(&mut y, cos.values()?, sin.values()?, heads * head_dim, turn);
        Ok(y)
    }

    /// A rotation back.
    fn gradient(&self, dy: &Tensor) -> Result<Tensor> {
        let dy = ready(dy)?;
        #[cfg(feature = "cuda")]
        if dy.device().is_cuda() {
            return crate::cuda::rope_back(&dy, [&self.cos, &self.sin]);
        }
        let dx = self.turned(Locked::new(&dy).values()?, dy.shape(), Turn::Back)?;
        Tensor::from_vec(dx, dy.shape(), dy.device())
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = self.turned(slice(x, layout)?, layout.shape(), Turn::Forward)?;
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::cuda::rope(x, layout, [&self.cos, &self.sin])
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(dy).map(Some)
    }
}
