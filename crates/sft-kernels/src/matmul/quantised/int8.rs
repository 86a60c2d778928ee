//! Eight bits a number.

use candle_core::Result;
use rayon::prelude::*;

use super::{BLOCK, PIECE, WeightBytes, largest, rounded};
use crate::{cpu::vector::vectorised, matmul::lanes::Lanes};

/// Rows in blocks.
#[derive(Debug)]
pub(super) struct Int8 {
    /// Signed numbers, row by row.
    pub(super) codes: WeightBytes,
    /// What one means in each block.
    pub(super) scales: Vec<f32>,
    pub(super) cols: usize,
}

impl Int8 {
    pub(super) fn of<T: Copy + Into<f32> + Sync>(values: &[T], cols: usize) -> Result<Self> {
        let mut codes = vec![0; values.len()];
        let mut scales = vec![0.0; values.len() / cols.max(1) * cols.div_ceil(BLOCK)];
        let rows =
            values.par_chunks_exact(cols.max(1)).zip(codes.par_chunks_exact_mut(cols.max(1)));
        rows.zip(scales.par_chunks_exact_mut(cols.div_ceil(BLOCK).max(1)))
            .with_min_len(PIECE.div_ceil(cols.max(1)))
            .try_for_each(|((row, codes), scales)| {
                let blocks = row.chunks(BLOCK).zip(codes.chunks_mut(BLOCK));
                for ((block, codes), scale) in blocks.zip(scales) {
                    let largest = largest(block)?;
                    *scale = largest / 127.0;
                    let inverse = 127.0 / largest.max(1e-36);
                    let mut values = [0.0; BLOCK];
                    values.iter_mut().zip(block).for_each(|(wide, &value)| *wide = value.into());
                    round(&values[..block.len()], inverse, codes);
                }
                Result::Ok(())
            })?;
        Ok(Self { codes: WeightBytes::Owned(codes), scales, cols })
    }

    pub(super) fn codes(&self) -> &[u8] {
        &self.codes
    }

    pub(super) fn bytes(&self) -> usize {
        self.codes.own() + 4 * self.scales.len()
    }

    /// A row.
    pub(super) fn dequantise(&self, row: usize, out: &mut [f32]) {
        let scales = self.scales(row).iter();
        let blocks = self.codes[row * self.cols..].chunks(BLOCK).zip(out.chunks_mut(BLOCK));
        for ((codes, out), scale) in blocks.zip(scales) {
            for (code, out) in codes.iter().zip(out) {
                *out = f32::from(code.cast_signed()) * scale;
            }
        }
    }

    fn scales(&self, row: usize) -> &[f32] {
        let each = self.cols.div_ceil(BLOCK);
        &self.scales[row * each..][..each]
    }

    /// Numbers of a row from column `begin` on, as bits of bf16.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn unpack<L: Lanes>(&self, row: usize, begin: usize, out: &mut [u16]) {
        let scales = self.scales(row);
        let (mut at, mut out) = (begin, out);
        while !out.is_empty() {
            let block = at / BLOCK;
            let (piece, rest) = out.split_at_mut(out.len().min((block + 1) * BLOCK - at));
            let codes = &self.codes[row * self.cols + at..][..piece.len()];
            // SAFETY: the caller's promise is passed on.
            unsafe { L::int8(codes, scales[block], piece) };
            at += piece.len();
            out = rest;
        }
    }
}

vectorised! {
    /// The nearest whole numbers, to even, below 128.
    fn round(values: &[f32], inverse: f32, codes: &mut [u8]) {
        // Beside this number the last bit of an f32 is one.
        const ONES: f32 = 12_582_912.0;
        for (code, value) in codes.iter_mut().zip(values) {
            *code = (value * inverse + ONES).to_bits() as u8;
        }
    }
}

/// Numbers of a block with this scale, as bits of bf16.
#[inline(always)]
pub(in crate::matmul) fn unpack(codes: &[u8], scale: f32, out: &mut [u16]) {
    for (code, out) in codes.iter().zip(out) {
        *out = rounded(f32::from(code.cast_signed()) * scale);
    }
}
