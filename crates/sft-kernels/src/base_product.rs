//! The product of a frozen layer on each backend.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Layout, MetalStorage, Result, Shape, Tensor,
    backend::BackendStorage, bail,
};

use crate::{
    FrozenWeight,
    cpu::locked::{contiguous, slice},
    matmul::{Matrix, Start, matmul_nt, reference},
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
        let transposed = w_layout.transpose(0, 1)?;
        match (self, w) {
            (Self::F32(x), Self::F32(_) | Self::BF16(_)) if !reference() => {
                let w = matrix(w, w_layout)?;
                let mut y = vec![0.0; m * n];
                matmul_nt(contiguous(x, x_layout)?, m, &w, Start::Zero, &mut y)?;
                Ok(Self::F32(y))
            }
            (Self::F32(_), Self::BF16(_)) => {
                let wide = w.to_dtype(w_layout, DType::F32)?;
                let transposed = Layout::contiguous(w_layout.shape()).transpose(0, 1)?;
                self.matmul(&wide, (1, m, n, k), x_layout, &transposed)
            }
            _ => self.matmul(w, (1, m, n, k), x_layout, &transposed),
        }
    }
}

/// A contiguous f32 or bf16 matrix, where it lies.
pub(crate) fn matrix<'a>(w: &'a CpuStorage, layout: &Layout) -> Result<Matrix<'a>> {
    let (rows, cols) = layout.shape().dims2()?;
    match w {
        CpuStorage::F32(w) => Matrix::f32(contiguous(w, layout)?, rows, cols),
        CpuStorage::BF16(w) => Matrix::bf16(contiguous(w, layout)?, rows, cols),
        _ => bail!("an f32 or a bf16 weight was expected"),
    }
}

/// Whether the kernels of [`crate::matmul`] multiply them: f32 activations and a weight that may be
/// bf16, on the CPU. candle multiplies equal types only.
pub(crate) fn has_kernel(x: &Tensor, w: &FrozenWeight) -> bool {
    let stored = matches!(w.dtype(), DType::F32 | DType::BF16);
    x.dtype() == DType::F32 && stored && w.device().is_cpu()
}

/// A layer's bias, outside every graph, in the type of the product of `x` and `w`.
pub(crate) fn frozen_bias(bias: &Tensor, x: &Tensor, w: &FrozenWeight) -> Result<Tensor> {
    let bias = bias.detach();
    if has_kernel(x, w) { bias.to_dtype(DType::F32) } else { Ok(bias) }
}

/// `dy W` where [`has_kernel`] says so.
pub(crate) struct BaseBackward<'a>(pub(crate) &'a FrozenWeight);

impl CustomOp1 for BaseBackward<'_> {
    fn name(&self) -> &'static str {
        "frozen-linear-backward"
    }

    fn cpu_fwd(&self, dy: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let ((t, n), (rows, cols)) =
            (layout.shape().dims2()?, (self.0.out_features(), self.0.in_features()));
        if n != rows {
            bail!("a gradient of {n} features for a linear layer [{rows}, {cols}]")
        }
        let mut dx = vec![0.0; t * cols];
        self.0.matmul_nn(slice(dy, layout)?, t, Start::Zero, &mut dx)?;
        Ok((CpuStorage::F32(dx), Shape::from((t, cols))))
    }
}
