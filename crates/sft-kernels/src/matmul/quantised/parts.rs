//! A quantised matrix as the arrays that files hold.

use std::{ops::Deref, ops::Range, sync::Arc};

use candle_core::{Result, bail};

use super::{
    BLOCK, Codes, Quantised,
    int8::Int8,
    nf4::{GROUP, Nf4, VALUES},
    size_map::SIZES,
};
use crate::MappedFile;

/// Bytes that a weight is made of: in memory, or where they lie in a mapped file.
#[derive(Clone, Debug)]
pub enum WeightBytes {
    /// A copy of its own.
    Owned(Vec<u8>),
    /// A part of a file.
    Mapped(MappedBytes),
}

/// A range of a mapped file, which is inside it.
#[derive(Clone, Debug)]
pub struct MappedBytes {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl WeightBytes {
    /// The bytes of a range, where they lie; `None` when it is not inside the file.
    pub fn in_map(file: &Arc<MappedFile>, range: Range<usize>) -> Option<Self> {
        file.get(range.clone())?;
        Some(Self::Mapped(MappedBytes { file: Arc::clone(file), range }))
    }

    /// The file in which they lie.
    pub(super) fn file(&self) -> Option<&Arc<MappedFile>> {
        match self {
            Self::Owned(_) => None,
            Self::Mapped(bytes) => Some(&bytes.file),
        }
    }

    /// Bytes of memory that they take themselves.
    pub(super) fn own(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.len(),
            Self::Mapped(_) => 0,
        }
    }
}

impl Deref for WeightBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(bytes) => &bytes.file[bytes.range.clone()],
        }
    }
}

/// What a [`Quantised`] matrix is made of.
#[derive(Clone, Copy, Debug)]
pub enum Parts<'a> {
    /// Four bits a number.
    Nf4 {
        /// Two a byte, the first in the upper half: places in [`nf4_values`].
        codes: &'a [u8],
        /// The largest magnitude of each block of 64 numbers: places in [`size_values`], ...
        sizes: &'a [u8],
        /// ... times one of these for each 256 blocks, ...
        scales: &'a [f32],
        /// ... plus this.
        offset: f32,
    },
    /// Eight bits a number.
    Int8 {
        /// Signed, row by row.
        codes: &'a [u8],
        /// What one means in each block of 64 numbers along a row.
        scales: &'a [f32],
    },
}

/// What the sixteen codes of NF4 stand for.
pub fn nf4_values() -> [f32; 16] {
    VALUES
}

/// What the codes of an NF4 matrix's sizes stand for.
pub fn size_values() -> [f32; 256] {
    *SIZES
}

impl Quantised {
    /// Puts an NF4 matrix together; see [`Parts::Nf4`].
    ///
    /// # Errors
    /// When an array has not the length that the matrix asks for, or a scale is not finite.
    pub fn from_nf4(
        [rows, cols]: [usize; 2],
        codes: WeightBytes,
        sizes: WeightBytes,
        scales: Vec<f32>,
        offset: f32,
    ) -> Result<Self> {
        let numbers = numbers(rows, cols)?;
        let blocks = numbers.div_ceil(BLOCK);
        fits("codes", codes.len(), numbers.div_ceil(2))?;
        fits("sizes of blocks", sizes.len(), blocks)?;
        fits("scales", scales.len(), blocks.div_ceil(GROUP))?;
        finite(&scales)?;
        finite(&[offset])?;
        Ok(Self { codes: Codes::Nf4(Nf4 { codes, sizes, scales, offset }), rows, cols })
    }

    /// Puts a matrix of eight bits a number together; see [`Parts::Int8`].
    ///
    /// # Errors
    /// When an array has not the length that the matrix asks for, or a scale is not finite.
    pub fn from_int8(
        [rows, cols]: [usize; 2],
        codes: WeightBytes,
        scales: Vec<f32>,
    ) -> Result<Self> {
        fits("codes", codes.len(), numbers(rows, cols)?)?;
        fits("scales", scales.len(), rows * cols.div_ceil(BLOCK))?;
        finite(&scales)?;
        Ok(Self { codes: Codes::Int8(Int8 { codes, scales, cols }), rows, cols })
    }

    /// The arrays of the matrix.
    pub fn parts(&self) -> Parts<'_> {
        match &self.codes {
            Codes::Nf4(Nf4 { codes, sizes, scales, offset }) => {
                Parts::Nf4 { codes, sizes, scales, offset: *offset }
            }
            Codes::Int8(Int8 { codes, scales, .. }) => Parts::Int8 { codes, scales },
        }
    }

    /// The file in which the codes lie, if they are mapped.
    pub fn mapped_file(&self) -> Option<&Arc<MappedFile>> {
        match &self.codes {
            Codes::Nf4(matrix) => matrix.codes.file(),
            Codes::Int8(matrix) => matrix.codes.file(),
        }
    }
}

fn numbers(rows: usize, cols: usize) -> Result<usize> {
    match rows.checked_mul(cols) {
        Some(numbers) => Ok(numbers),
        None => bail!("no matrix has {rows} rows of {cols} numbers"),
    }
}

fn fits(what: &str, found: usize, expected: usize) -> Result<()> {
    if found != expected {
        bail!("{found} {what} where the matrix has {expected}")
    }
    Ok(())
}

fn finite(scales: &[f32]) -> Result<()> {
    if scales.iter().any(|scale| !scale.is_finite()) {
        bail!("a scale is not finite; fetch the model again")
    }
    Ok(())
}
