//! A weight that never trains.

use candle_core::{DType, Device, Result, Storage, Tensor, bail};

use crate::{
    base_product::{BaseBackward, has_kernel, matrix},
    frozen_linear::FrozenLinear,
    matmul::{Matrix, Start, matmul_nn, matmul_nt, reference},
};

/// A frozen weight matrix `[out, in]`: no gradient and no optimizer state exist for it.
///
/// It is multiplied with activations of its own type, and on the CPU a bf16 weight also with f32
/// activations, to an f32 result ([`crate::matmul`]).
///
/// Cloning is cheap: clones share the storage.
#[derive(Clone, Debug)]
pub struct FrozenWeight {
    tensor: Tensor,
}

impl FrozenWeight {
    /// Freezes a dense `[out, in]` tensor; any autograd history of `tensor` is left behind.
    ///
    /// # Errors
    /// When `tensor` is not a matrix.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        tensor.dims2()?;
        Ok(Self { tensor: tensor.detach().contiguous()? })
    }

    /// Rows of the matrix.
    pub fn out_features(&self) -> usize {
        self.tensor.dims()[0]
    }

    /// Columns of the matrix.
    pub fn in_features(&self) -> usize {
        self.tensor.dims()[1]
    }

    /// The type in which the weight is stored.
    pub fn dtype(&self) -> DType {
        self.tensor.dtype()
    }

    /// Where the weight lives.
    pub fn device(&self) -> &Device {
        self.tensor.device()
    }

    /// The dense matrix, `[out, in]`, outside every autograd graph.
    ///
    /// # Errors
    /// Never for a dense weight; a packed storage may fail to unpack.
    pub fn to_tensor(&self) -> Result<Tensor> {
        Ok(self.tensor.clone())
    }

    /// `y = start + x W^T` for `t` rows of a host's memory: `x` is `[t, in]`, `y` `[t, out]`.
    ///
    /// # Errors
    /// When the weight is neither f32 nor bf16 on the CPU, or a length does not fit.
    pub fn matmul_nt(&self, x: &[f32], t: usize, start: Start<'_>, y: &mut [f32]) -> Result<()> {
        self.with_matrix(|w| matmul_nt(x, t, w, start, y))
    }

    /// `dx = start + dy W` for `t` rows of a host's memory: `dy` is `[t, out]`, `dx` `[t, in]`.
    ///
    /// # Errors
    /// When the weight is neither f32 nor bf16 on the CPU, or a length does not fit.
    pub fn matmul_nn(&self, dy: &[f32], t: usize, start: Start<'_>, dx: &mut [f32]) -> Result<()> {
        self.with_matrix(|w| matmul_nn(dy, t, w, start, dx))
    }

    fn with_matrix(&self, f: impl FnOnce(&Matrix<'_>) -> Result<()>) -> Result<()> {
        let (storage, layout) = self.tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => f(&matrix(storage, layout)?),
            _ => bail!("a weight on the CPU was expected"),
        }
    }

    /// `x W^T` for `x` `[T, in]`, untracked: `[T, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if has_kernel(x, self) {
            return x.detach().contiguous()?.apply_op1_no_bwd(&FrozenLinear(self.clone()));
        }
        x.detach().matmul(&self.tensor.t()?)
    }

    /// `dy W` for `dy` `[T, out]`, untracked: `[T, in]`.
    pub(crate) fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        if has_kernel(dy, self) && !reference() {
            return dy.detach().contiguous()?.apply_op1_no_bwd(&BaseBackward(self));
        }
        dy.detach().matmul(&self.tensor.to_dtype(dy.dtype())?)
    }

    /// The rows of the matrix that `ids` name, `[ids, in]` (an embedding look-up).
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn gather_rows(&self, ids: &Tensor) -> Result<Tensor> {
        self.tensor.index_select(ids, 0)
    }
}
