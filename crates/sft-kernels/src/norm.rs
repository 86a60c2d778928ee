//! Root-mean-square normalisation.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::{
    cpu::{self, Locked, locked::slice},
    fused::{fused, only_fused, ready},
};

/// `x / sqrt(mean(x^2) + eps) * weight` over the last dimension (Zhang and Sennrich, 2019).
///
/// As in transformers, the normalisation runs in f32 (f64 stays f64), is cast back to the type of
/// `x`, and only then multiplied with `weight` `[D]`. Differentiable in `x`.
///
/// # Errors
/// When shapes or devices do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if fused(&[x, weight]) {
        if weight.dims1()? != x.dim(D::Minus1)? {
            bail!("a norm of {:?} for an input {:?}", weight.shape(), x.shape())
        }
        let weight = weight.detach().contiguous()?;
        return x.contiguous()?.apply_op1(RmsNorm { weight, eps });
    }
    composed(x, weight, eps)
}

/// The gradient of `x` for that of [`rms_norm`]'s result, outside every graph.
///
/// # Errors
/// When the tensors are not what [`crate::has_backward`] speaks of, or do not fit.
pub fn rms_norm_backward(x: &Tensor, weight: &Tensor, eps: f64, dy: &Tensor) -> Result<Tensor> {
    let tensors = [x, weight, dy];
    only_fused(fused(&tensors), "rms_norm", &tensors)?;
    if weight.dims1()? != x.dim(D::Minus1)? || dy.shape() != x.shape() {
        bail!("a norm of {:?}, input {:?}, gradient {:?}", weight.shape(), x.shape(), dy.shape())
    }
    RmsNorm { weight: weight.contiguous()?, eps }.gradient(x, dy)
}

/// In candle's operations, on every device and in every type.
fn composed(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = if x.dtype() == DType::F64 { x.clone() } else { x.to_dtype(DType::F32)? };
    let scale = (wide.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let normed = wide.broadcast_div(&scale)?.to_dtype(x.dtype())?;
    normed.broadcast_mul(&weight.detach())
}

struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    fn gradient(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dy = ready(dy)?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return crate::cuda::rms_norm_backward(x, &self.weight, self.eps, &dy);
        }
        let [x_values, weight, dy] = [x, &self.weight, &dy].map(Locked::new);
        let (x_values, mut dx) = (x_values.values()?, vec![0.0; x.elem_count()]);
        cpu::rms_norm_backward(x_values, weight.values()?, self.eps, dy.values()?, &mut dx);
        Tensor::from_vec(dx, x.shape(), x.device())
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, layout)?, Locked::new(&self.weight));
        let mut y = vec![0.0; x.len()];
        cpu::rms_norm(x, weight.values()?, self.eps, &mut y);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        crate::cuda::rms_norm(x, layout, &self.weight, self.eps)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.gradient(x, dy).map(Some)
    }
}
