//! The product of a frozen layer on each backend.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, DType, Layout, MetalStorage, Result, Shape, Storage,
    Tensor, backend::BackendStorage, bail,
};

use crate::{
    FrozenWeight,
    cpu::locked::{contiguous, slice},
    matmul::{Matrix, Start, matmul_nn, matmul_nt, reference},
};

/// `x W^T` for contiguous `x` `[T, in]` and `W` `[out, in]`, through a backend that knows of no
/// gradient.
pub(crate) trait BaseProduct: BackendStorage {
    /// The product, `[T, out]`.
    fn base_product(&self, x: &Layout, w: &FrozenWeight) -> Result<Self>;
}

/// The product through the backend's own matmul, with a dense weight.
macro_rules! dense_product {
    ($x:expr, $x_layout:expr, $w:expr, $variant:ident) => {{
        let weight = $w;
        let (w, w_layout) = weight.storage_and_layout();
        let Storage::$variant(w) = &*w else {
            bail!("the frozen weight is not on its input's device")
        };
        let ((m, k), (n, _)) = ($x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        $x.matmul(w, (1, m, n, k), $x_layout, &w_layout.transpose(0, 1)?)
    }};
}

impl BaseProduct for CudaStorage {
    fn base_product(&self, x: &Layout, w: &FrozenWeight) -> Result<Self> {
        dense_product!(self, x, w.to_tensor()?, Cuda)
    }
}

impl BaseProduct for MetalStorage {
    fn base_product(&self, x: &Layout, w: &FrozenWeight) -> Result<Self> {
        dense_product!(self, x, w.to_tensor()?, Metal)
    }
}

impl BaseProduct for CpuStorage {
    fn base_product(&self, x_layout: &Layout, w: &FrozenWeight) -> Result<Self> {
        match self {
            Self::F32(x) if multiplies(w) && !reference() => {
                let (m, _) = x_layout.shape().dims2()?;
                let mut y = vec![0.0; m * w.out_features()];
                let x = contiguous(x, x_layout)?;
                matmul_nt(x, m, &w.lock().matrix()?, Start::Zero, &mut y)?;
                Ok(Self::F32(y))
            }
            Self::F32(_) if multiplies(w) => {
                dense_product!(self, x_layout, w.to_tensor()?.to_dtype(DType::F32)?, Cpu)
            }
            _ => dense_product!(self, x_layout, w.to_tensor()?, Cpu),
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

/// Whether the kernels of [`crate::matmul`] multiply f32 activations with this weight.
fn multiplies(w: &FrozenWeight) -> bool {
    matches!(w.dtype(), DType::F32 | DType::BF16) && w.device().is_cpu()
}

/// Whether the kernels of [`crate::matmul`] multiply them: f32 activations and a weight that may be
/// bf16, on the CPU. candle multiplies equal types only.
pub(crate) fn has_kernel(x: &Tensor, w: &FrozenWeight) -> bool {
    x.dtype() == DType::F32 && multiplies(w)
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
        let dy = slice(dy, layout)?;
        matmul_nn(dy, t, &self.0.lock().matrix()?, Start::Zero, &mut dx)?;
        Ok((CpuStorage::F32(dx), Shape::from((t, cols))))
    }
}
