//! A weight in blocks of few bits, dequantised piece by piece while it is multiplied.

pub(super) mod int8;
pub(super) mod nf4;
mod parts;
mod size_map;
#[cfg(test)]
mod tests;

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, slice::HalfBitsSliceExt};
use rayon::prelude::*;

use super::{
    lanes::Lanes,
    rect::Rect,
    weight::{Matrix, Values, check},
};
use int8::Int8;
use nf4::Nf4;
pub use parts::{MappedBytes, Parts, WeightBytes, nf4_values, size_values};

/// Numbers that share a scale.
pub(super) const BLOCK: usize = 64;
/// Numbers for which a thread is worth waking.
const PIECE: usize = 1024 * BLOCK;

/// A frozen row-major matrix `[rows, cols]` in four or eight bits a number.
///
/// The products see each number rounded to bf16.
#[derive(Debug)]
pub struct Quantised {
    codes: Codes,
    rows: usize,
    cols: usize,
}

#[derive(Debug)]
enum Codes {
    Nf4(Nf4),
    Int8(Int8),
}

impl Quantised {
    /// Four bits a number: bitsandbytes' NF4 in blocks of 64 along the flattened matrix, with double
    /// quantisation (Dettmers et al., 2023). About 4.13 bits a number in all.
    ///
    /// # Errors
    /// When `values` is not `rows` by `cols`, or a value is not finite.
    pub fn nf4<T: Copy + Into<f32> + Sync>(values: &[T], rows: usize, cols: usize) -> Result<Self> {
        check(values.len(), rows, cols)?;
        Ok(Self { codes: Codes::Nf4(Nf4::of(values)?), rows, cols })
    }

    /// Eight bits a number: whole multiples of 1/127 of the largest magnitude in each block of 64
    /// along a row. 8.5 bits a number in all.
    ///
    /// # Errors
    /// When `values` is not `rows` by `cols`, or a value is not finite.
    pub fn int8<T: Copy + Into<f32> + Sync>(
        values: &[T],
        rows: usize,
        cols: usize,
    ) -> Result<Self> {
        check(values.len(), rows, cols)?;
        Ok(Self { codes: Codes::Int8(Int8::of(values, cols)?), rows, cols })
    }

    /// [`nf4`](Self::nf4) of a dense matrix, read where it lies.
    ///
    /// # Errors
    /// When a value is not finite, or the matrix is quantised.
    pub fn nf4_of(matrix: &Matrix<'_>) -> Result<Self> {
        match matrix.values {
            Values::F32(values) => Self::nf4(values, matrix.rows, matrix.cols),
            Values::Bf16(bits) => {
                Self::nf4::<bf16>(bits.reinterpret_cast(), matrix.rows, matrix.cols)
            }
            Values::Quantised(_) => bail!("the matrix is quantised already"),
        }
    }

    /// [`int8`](Self::int8) of a dense matrix, read where it lies.
    ///
    /// # Errors
    /// When a value is not finite, or the matrix is quantised.
    pub fn int8_of(matrix: &Matrix<'_>) -> Result<Self> {
        match matrix.values {
            Values::F32(values) => Self::int8(values, matrix.rows, matrix.cols),
            Values::Bf16(bits) => {
                Self::int8::<bf16>(bits.reinterpret_cast(), matrix.rows, matrix.cols)
            }
            Values::Quantised(_) => bail!("the matrix is quantised already"),
        }
    }

    /// Rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes of memory that the numbers take, with their scales; none for what lies in a file.
    pub fn bytes(&self) -> usize {
        match &self.codes {
            Codes::Nf4(codes) => codes.bytes(),
            Codes::Int8(codes) => codes.bytes(),
        }
    }

    /// The whole matrix in f32, row by row; not rounded to bf16.
    pub fn dequantise(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.cols];
        let per_piece = PIECE.div_ceil(self.cols.max(1));
        let pieces = values.par_chunks_mut(per_piece * self.cols.max(1)).enumerate();
        pieces.for_each(|(i, values)| {
            for (row, values) in (i * per_piece..).zip(values.chunks_exact_mut(self.cols)) {
                self.dequantise_row(row, values);
            }
        });
        values
    }

    fn dequantise_row(&self, row: usize, values: &mut [f32]) {
        match &self.codes {
            Codes::Nf4(codes) => codes.dequantise(row * self.cols, values),
            Codes::Int8(codes) => codes.dequantise(row, values),
        }
    }

    /// Some rows, `[ids, cols]` in bf16.
    pub(crate) fn gather_rows(&self, ids: &[u32]) -> Result<Tensor> {
        let mut values = vec![0.0; ids.len() * self.cols];
        for (&id, values) in ids.iter().zip(values.chunks_exact_mut(self.cols.max(1))) {
            if id as usize >= self.rows {
                bail!("row {id} of a matrix of {} rows", self.rows)
            }
            self.dequantise_row(id as usize, values);
        }
        Tensor::from_vec(values, (ids.len(), self.cols), &Device::Cpu)?.to_dtype(DType::BF16)
    }

    /// The matrix as an operand of a product.
    pub fn matrix(&self) -> Matrix<'_> {
        Matrix { values: Values::Quantised(self), rows: self.rows, cols: self.cols }
    }

    /// Numbers of a row from column `begin` on, as bits of bf16.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn unpack<L: Lanes>(&self, row: usize, begin: usize, out: &mut [u16]) {
        match &self.codes {
            // SAFETY: the caller's promise is passed on.
            Codes::Nf4(codes) => unsafe { codes.unpack::<L>(row * self.cols + begin, out) },
            // SAFETY: the caller's promise is passed on.
            Codes::Int8(codes) => unsafe { codes.unpack::<L>(row, begin, out) },
        }
    }

    /// The codes of a rectangle, for prefetching: none where they begin inside a byte.
    pub(super) fn stored(
        &self,
        (row, col): (usize, usize),
        (rows, cols): (usize, usize),
    ) -> Option<Rect<'_, u8>> {
        let (codes, per_byte) = match &self.codes {
            Codes::Nf4(codes) => (codes.codes(), 2),
            Codes::Int8(codes) => (codes.codes(), 1),
        };
        let whole = [self.cols, col, cols].iter().all(|n| n % per_byte == 0);
        let rect = || {
            Rect::new(codes, self.cols / per_byte, (row, col / per_byte), (rows, cols / per_byte))
        };
        whole.then(rect)
    }
}

/// The largest magnitude.
///
/// # Errors
/// When a value is not finite.
fn largest<T: Copy + Into<f32>>(values: &[T]) -> Result<f32> {
    // As bits, so that what is not a number is larger than all numbers.
    let magnitudes = values.iter().map(|&value| value.into().abs().to_bits());
    let largest = f32::from_bits(magnitudes.fold(0, u32::max));
    if !largest.is_finite() {
        bail!("a weight that is not finite cannot be quantised; fetch the model again")
    }
    Ok(largest)
}

/// The bits of a finite number rounded to bf16, to nearest even.
#[inline(always)]
pub(super) fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) as u16
}
