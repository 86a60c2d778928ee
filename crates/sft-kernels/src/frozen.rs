//! A weight that never trains.

use candle_core::{DType, Device, Result, Tensor};

use crate::{
    base_product::{MixedBackward, is_mixed},
    frozen_linear::FrozenLinear,
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

    /// `x W^T` for `x` `[T, in]`, untracked: `[T, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_mixed(x, self) {
            return x.detach().contiguous()?.apply_op1_no_bwd(&FrozenLinear(self.clone()));
        }
        x.detach().matmul(&self.tensor.t()?)
    }

    /// `dy W` for `dy` `[T, out]`, untracked: `[T, in]`.
    pub(crate) fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        if is_mixed(dy, self) {
            return dy.detach().contiguous()?.apply_op1_no_bwd(&MixedBackward(self));
        }
        dy.detach().matmul(&self.tensor)
    }

    /// The rows of the matrix that `ids` name, `[ids, in]` (an embedding look-up).
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn gather_rows(&self, ids: &Tensor) -> Result<Tensor> {
        self.tensor.index_select(ids, 0)
    }
}
