//! The product of a frozen layer on each backend.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Layout, MetalStorage, Result, Shape, Storage,
    Tensor, backend::BackendStorage, bail,
};

use crate::{
    FrozenWeight,
    cpu::host::contiguous,
    matmul::{Bf16Matrix, Start, matmul_nn, matmul_nt},
};

/// `x W^T` for contiguous `x` `[T, in]` and `W` `[out, in]`, through a backend that knows of no
/// gradient.
pub(crate) trait BaseProduct: BackendStorage {
    /// The product, `[T, out]`.
    fn base_product(&self, x: &Layout, w: &Self, w_layout: &Layout) -> Result<Self> {
        let ((m, k), (n, _)) = (x.shape().dims2()?, w_layout.shape().dims2()?);
        self.matmul(w, (1, m, n, k), x, &w_layout.transpose(0, 1)?)
    }
}

impl BaseProduct for CudaStorage {}

impl BaseProduct for MetalStorage {}

impl BaseProduct for CpuStorage {
    fn base_product(&self, x_layout: &Layout, w: &Self, w_layout: &Layout) -> Result<Self> {
        let ((m, k), (n, _)) = (x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        let (Self::F32(x), Self::BF16(w)) = (self, w) else {
            return self.matmul(w, (1, m, n, k), x_layout, &w_layout.transpose(0, 1)?);
        };
        let w = Bf16Matrix::new(contiguous(w, w_layout)?, n, k)?;
        let mut y = vec![0.0; m * n];
        matmul_nt(contiguous(x, x_layout)?, m, &w, Start::Zero, &mut y)?;
        Ok(Self::F32(y))
    }
}

/// Whether f32 activations meet a weight that stays bf16, on the CPU: there the kernels of
/// [`crate::matmul`] compute. candle multiplies equal types only.
pub(crate) fn is_mixed(x: &Tensor, w: &FrozenWeight) -> bool {
    x.dtype() == DType::F32 && w.dtype() == DType::BF16 && w.device().is_cpu()
}

/// A layer's bias, outside every graph, in the type of the product of `x` and `w`.
pub(crate) fn frozen_bias(bias: &Tensor, x: &Tensor, w: &FrozenWeight) -> Result<Tensor> {
    let bias = bias.detach();
    if is_mixed(x, w) { bias.to_dtype(DType::F32) } else { Ok(bias) }
}

/// `dy W` for f32 `dy` `[T, out]` and a bf16 weight on the CPU.
pub(crate) struct MixedBackward<'a>(pub(crate) &'a FrozenWeight);

impl CustomOp1 for MixedBackward<'_> {
    fn name(&self) -> &'static str {
        "frozen-linear-backward"
    }

    fn cpu_fwd(&self, dy: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let weight = self.0.to_tensor()?;
        let (w, w_layout) = weight.storage_and_layout();
        let (CpuStorage::F32(dy), Storage::Cpu(CpuStorage::BF16(w))) = (dy, &*w) else {
            bail!("an f32 gradient and a bf16 weight were expected")
        };
        let ((t, n), (rows, cols)) = (layout.shape().dims2()?, w_layout.shape().dims2()?);
        if n != rows {
            bail!("a gradient of {n} features for a linear layer [{rows}, {cols}]")
        }
        let w = Bf16Matrix::new(contiguous(w, w_layout)?, rows, cols)?;
        let mut dx = vec![0.0; t * cols];
        matmul_nn(contiguous(dy, layout)?, t, &w, Start::Zero, &mut dx)?;
        Ok((CpuStorage::F32(dx), Shape::from((t, cols))))
    }
}
