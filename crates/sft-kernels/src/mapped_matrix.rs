//! A matrix that lies in a mapped file.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};
use half::bf16;

use crate::{MappedFile, matmul::Matrix};

/// A row-major matrix `[rows, cols]` of f32 or bf16 inside a file, which stays mapped as long.
#[derive(Clone, Debug)]
pub(crate) struct MappedMatrix {
    file: Arc<MappedFile>,
    /// The first byte.
    start: usize,
    dtype: DType,
    rows: usize,
    cols: usize,
}

/// Its numbers.
enum Numbers<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

impl MappedMatrix {
    /// The matrix that begins at a byte of the file, if its numbers can be read where they are.
    pub(crate) fn new(
        file: &Arc<MappedFile>,
        start: usize,
        dtype: DType,
        [rows, cols]: [usize; 2],
    ) -> Option<Self> {
        let in_place = matches!(dtype, DType::F32 | DType::BF16) && cfg!(target_endian = "little");
        let bytes = rows.checked_mul(cols)?.checked_mul(dtype.size_in_bytes())?;
        let data = file.get(start..start.checked_add(bytes)?)?;
        let aligned = data.as_ptr().addr().is_multiple_of(dtype.size_in_bytes());
        let file = Arc::clone(file);
        (in_place && aligned).then_some(Self { file, start, dtype, rows, cols })
    }

    pub(crate) fn file(&self) -> &Arc<MappedFile> {
        &self.file
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    #[allow(unsafe_code)]
    fn numbers(&self) -> Numbers<'_> {
        let len = self.rows * self.cols;
        let data = &self.file[self.start..][..len * self.dtype.size_in_bytes()];
        // SAFETY: `new` has checked the alignment of the data for its type; every pattern of bits is
        // a number of either type.
        unsafe {
            if self.dtype == DType::BF16 {
                Numbers::Bf16(std::slice::from_raw_parts(data.as_ptr().cast(), len))
            } else {
                Numbers::F32(std::slice::from_raw_parts(data.as_ptr().cast(), len))
            }
        }
    }

    /// For the products, without a copy.
    pub(crate) fn matrix(&self) -> Result<Matrix<'_>> {
        match self.numbers() {
            Numbers::F32(numbers) => Matrix::f32(numbers, self.rows, self.cols),
            Numbers::Bf16(numbers) => Matrix::bf16(numbers, self.rows, self.cols),
        }
    }

    /// A copy, `[rows, cols]`.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        let shape = (self.rows, self.cols);
        match self.numbers() {
            Numbers::F32(numbers) => Tensor::from_slice(numbers, shape, &Device::Cpu),
            Numbers::Bf16(numbers) => Tensor::from_slice(numbers, shape, &Device::Cpu),
        }
    }

    /// A copy of some rows, `[ids, cols]`.
    pub(crate) fn gather_rows(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.rows) {
            bail!("row {id} of a matrix of {} rows", self.rows)
        }
        let shape = (ids.len(), self.cols);
        match self.numbers() {
            Numbers::F32(numbers) => {
                Tensor::from_vec(picked(numbers, self.cols, ids), shape, &Device::Cpu)
            }
            Numbers::Bf16(numbers) => {
                Tensor::from_vec(picked(numbers, self.cols, ids), shape, &Device::Cpu)
            }
        }
    }
}

fn picked<T: Copy>(numbers: &[T], cols: usize, ids: &[u32]) -> Vec<T> {
    ids.iter().flat_map(|&id| &numbers[id as usize * cols..][..cols]).copied().collect()
}
