//! Where an operation is one kernel and not a composition of candle's.

use candle_core::{DType, Device, Result, Tensor, bail};

/// Whether the fused kernels take these tensors: those of the CPU in f32, those of a CUDA device in f32, bf16 and f16.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::takes(tensors) {
        return true;
    }
    crate::cpu::locked::takes(tensors)
}

/// The same for kernels that read one number at a time, whatever the width.
pub(crate) fn fused_of_any_width(tensors: &[&Tensor]) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::takes_any_width(tensors) {
        return true;
    }
    crate::cpu::locked::takes(tensors)
}

/// Whether every operation has its backward as a function of its own, outside candle's autograd, for activations of `dtype` on
/// `device` whose rows have these widths, in heads of `head_dim`.
pub fn has_backward(device: &Device, dtype: DType, widths: &[usize], head_dim: usize) -> bool {
    if crate::matmul::reference() {
        return false;
    }
    if device.is_cpu() {
        return dtype == DType::F32;
    }
    let even = widths.iter().chain([&head_dim]).all(|width| width.is_multiple_of(4)); // `cuda::takes`
    let fits = head_dim <= crate::launch::MOST_HEAD_DIM && even;
    let kind = crate::launch::Kind::of(dtype);
    cfg!(feature = "cuda") && device.is_cuda() && fits && kind.is_some()
}

/// Refuses tensors that no fused kernel takes (`takes`, of the same tensors).
pub(crate) fn only_fused(takes: bool, operation: &str, tensors: &[&Tensor]) -> Result<()> {
    if takes {
        return Ok(());
    }
    let kinds: Vec<_> = tensors.iter().map(|tensor| (tensor.dtype(), tensor.shape())).collect();
    bail!("{operation} has no backward of its own for {kinds:?}")
}

/// A gradient as the kernels read it: contiguous, its first number at a multiple of four.
pub(crate) fn ready(dy: &Tensor) -> Result<Tensor> {
    if dy.layout().start_offset().is_multiple_of(4) {
        dy.contiguous()
    } else {
        dy.force_contiguous()
    }
}
