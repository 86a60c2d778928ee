//! A weight that never trains.

use std::sync::Arc;

use candle_core::{DType, Device, Layout, Result, Storage, Tensor, bail};

use crate::{
    MappedFile,
    base_product::{BaseBackward, has_kernel, matrix},
    cpu::locked::Guard,
    frozen_linear::FrozenLinear,
    mapped_matrix::MappedMatrix,
    matmul::{Matrix, Quantised, reference},
};

/// A frozen weight matrix `[out, in]`: no gradient and no optimizer state exist for it.
///
/// It is multiplied with activations of its own type, and on the CPU a bf16 weight also with f32
/// activations, to an f32 result ([`crate::matmul`]).
///
/// Cloning is cheap: clones share the storage.
#[derive(Clone, Debug)]
pub struct FrozenWeight(Stored);

/// Where a weight's numbers are, and how they are stored.
#[derive(Clone, Debug)]
enum Stored {
    /// Contiguous, in any type, on any device.
    Dense(Tensor),
    /// In a file of which no copy exists, for the CPU.
    Mapped(MappedMatrix),
    /// In few bits, for the CPU.
    Quantised(Arc<Quantised>),
}

/// A [`FrozenWeight`] that is read where it lies.
pub struct LockedWeight<'a>(Lock<'a>);

enum Lock<'a> {
    Dense(Guard<'a>, &'a Layout),
    Mapped(&'a MappedMatrix),
    Quantised(&'a Quantised),
}

impl LockedWeight<'_> {
    /// The matrix, `[out, in]`.
    ///
    /// # Errors
    /// When the weight is neither f32 nor bf16 on the CPU.
    pub fn matrix(&self) -> Result<Matrix<'_>> {
        match &self.0 {
            Lock::Mapped(mapped) => mapped.matrix(),
            Lock::Quantised(matrix) => Ok(matrix.matrix()),
            Lock::Dense(storage, layout) => match &***storage {
                Storage::Cpu(storage) => matrix(storage, layout),
                _ => bail!("a weight on the CPU was expected"),
            },
        }
    }
}

impl FrozenWeight {
    /// Freezes a dense `[out, in]` tensor; any autograd history of `tensor` is left behind.
    ///
    /// # Errors
    /// When `tensor` is not a matrix.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        tensor.dims2()?;
        Ok(Self(Stored::Dense(tensor.detach().contiguous()?)))
    }

    /// The matrix `[out, in]` of `dtype`, little-endian and row by row, that begins at byte `start` of
    /// a mapped file: it is read where it lies, on the CPU, and keeps the file mapped.
    ///
    /// `None` where it cannot be used in place, and a copy must be loaded instead: for types other
    /// than f32 and bf16, for data that do not begin at a multiple of their type's size, and on
    /// big-endian machines; also when it is not inside the file.
    pub fn from_map(
        file: &Arc<MappedFile>,
        start: usize,
        dtype: DType,
        shape: [usize; 2],
    ) -> Option<Self> {
        MappedMatrix::new(file, start, dtype, shape).map(|matrix| Self(Stored::Mapped(matrix)))
    }

    /// A weight in few bits, which the products dequantise piece by piece; it counts as bf16.
    pub fn from_quantised(matrix: Quantised) -> Self {
        Self(Stored::Quantised(Arc::new(matrix)))
    }

    /// The weight in few bits, if it is so stored.
    pub fn quantised(&self) -> Option<&Quantised> {
        match &self.0 {
            Stored::Quantised(matrix) => Some(matrix),
            Stored::Dense(_) | Stored::Mapped(_) => None,
        }
    }

    /// Whether the weight lies in a mapped file and takes no memory of its own, but for the scales of a
    /// quantised one.
    pub fn is_mapped(&self) -> bool {
        self.mapped_file().is_some()
    }

    /// The file in which the weight lies, if it is mapped.
    pub fn mapped_file(&self) -> Option<&Arc<MappedFile>> {
        match &self.0 {
            Stored::Mapped(matrix) => Some(matrix.file()),
            Stored::Quantised(matrix) => matrix.mapped_file(),
            Stored::Dense(_) => None,
        }
    }

    /// Rows of the matrix.
    pub fn out_features(&self) -> usize {
        match &self.0 {
            Stored::Dense(tensor) => tensor.dims()[0],
            Stored::Mapped(matrix) => matrix.rows(),
            Stored::Quantised(matrix) => matrix.rows(),
        }
    }

    /// Columns of the matrix.
    pub fn in_features(&self) -> usize {
        match &self.0 {
            Stored::Dense(tensor) => tensor.dims()[1],
            Stored::Mapped(matrix) => matrix.cols(),
            Stored::Quantised(matrix) => matrix.cols(),
        }
    }

    /// The type of the numbers that are multiplied: that in which they are stored, unless quantised.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Stored::Dense(tensor) => tensor.dtype(),
            Stored::Mapped(matrix) => matrix.dtype(),
            Stored::Quantised(_) => DType::BF16,
        }
    }

    /// Where the weight lives.
    pub fn device(&self) -> &Device {
        match &self.0 {
            Stored::Dense(tensor) => tensor.device(),
            Stored::Mapped(_) | Stored::Quantised(_) => &Device::Cpu,
        }
    }

    /// The dense matrix, `[out, in]`, outside every autograd graph: a copy, unless the weight is dense.
    ///
    /// # Errors
    /// When there is no memory for the copy.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match &self.0 {
            Stored::Dense(tensor) => Ok(tensor.clone()),
            Stored::Mapped(matrix) => matrix.to_tensor(),
            Stored::Quantised(_) => self.to_tensor_in(DType::BF16),
        }
    }

    /// [`to_tensor`](Self::to_tensor) in another type: what is quantised is dequantised in f32 and
    /// rounded once.
    ///
    /// # Errors
    /// When there is no memory for the copy.
    pub fn to_tensor_in(&self, dtype: DType) -> Result<Tensor> {
        match &self.0 {
            Stored::Quantised(matrix) => {
                let shape = (matrix.rows(), matrix.cols());
                Tensor::from_vec(matrix.dequantise(), shape, &Device::Cpu)?.to_dtype(dtype)
            }
            Stored::Dense(_) | Stored::Mapped(_) => self.to_tensor()?.to_dtype(dtype),
        }
    }

    /// The weight where it lies, for the products of [`crate::matmul`].
    pub fn lock(&self) -> LockedWeight<'_> {
        LockedWeight(match &self.0 {
            Stored::Mapped(mapped) => Lock::Mapped(mapped),
            Stored::Quantised(matrix) => Lock::Quantised(matrix),
            Stored::Dense(tensor) => {
                let (storage, layout) = tensor.storage_and_layout();
                Lock::Dense(Box::new(storage), layout)
            }
        })
    }

    /// `x W^T` for `x` `[T, in]`, untracked: `[T, out]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if has_kernel(x, self) {
            return x.detach().contiguous()?.apply_op1_no_bwd(&FrozenLinear(self.clone()));
        }
        x.detach().matmul(&self.to_tensor()?.t()?)
    }

    /// The gradient of a layer's input, `dy W` for that of its result, `dy` `[T, out]`, outside every graph: `[T, in]`.
    ///
    /// # Errors
    /// When shapes, types or devices do not fit.
    pub fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        if has_kernel(dy, self) && !reference() {
            return dy.detach().contiguous()?.apply_op1_no_bwd(&BaseBackward(self));
        }
        dy.detach().matmul(&self.to_tensor()?.to_dtype(dy.dtype())?)
    }

    /// The rows of the matrix that `ids` name, `[ids, in]` (an embedding look-up): no other row is
    /// read.
    ///
    /// # Errors
    /// When an id is out of range.
    pub fn gather_rows(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Stored::Dense(tensor) => tensor.index_select(ids, 0),
            Stored::Mapped(matrix) => matrix.gather_rows(&ids.to_vec1()?),
            Stored::Quantised(matrix) => matrix.gather_rows(&ids.to_vec1()?),
        }
    }
}
