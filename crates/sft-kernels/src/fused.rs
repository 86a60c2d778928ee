//! Where an operation is one kernel and not a composition of candle's.

use candle_core::Tensor;

/// Whether the fused kernels take these tensors: those of the CPU in f32, those of a CUDA device in f32, bf16 and f16.
pub(crate) fn fused(tensors: &[&Tensor]) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::takes(tensors) {
        return true;
    }
    crate::cpu::locked::takes(tensors)
}
