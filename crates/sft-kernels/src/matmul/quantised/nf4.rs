//! Four bits a number.

use candle_core::Result;
use rayon::prelude::*;

use super::{
    BLOCK, PIECE, WeightBytes, largest, rounded,
    size_map::{SIZES, nearest},
};
use crate::{cpu::vector::vectorised, matmul::lanes::Lanes};

/// Blocks whose sizes share a scale.
pub(super) const GROUP: usize = 256;

/// What a code stands for, times the largest magnitude of its block: quantiles of the normal
/// distribution (Dettmers et al., "QLoRA", 2023).
pub(in crate::matmul) const VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Between them.
const BOUNDS: [f32; 15] = {
    let (mut bounds, mut i) = ([0.0; 15], 0);
    while i < 15 {
        bounds[i] = f32::midpoint(VALUES[i], VALUES[i + 1]);
        i += 1;
    }
    bounds
};

/// Numbers in blocks, whatever the shape of their matrix.
#[derive(Debug)]
pub(super) struct Nf4 {
    /// Two a byte, the first in the upper half.
    pub(super) codes: WeightBytes,
    /// The largest magnitude of each block, as a code of [`SIZES`], ...
    pub(super) sizes: WeightBytes,
    /// ... times one of these for each group of blocks, ...
    pub(super) scales: Vec<f32>,
    /// ... plus the mean of all.
    pub(super) offset: f32,
}

impl Nf4 {
    pub(super) fn of<T: Copy + Into<f32> + Sync>(values: &[T]) -> Result<Self> {
        let blocks = || values.par_chunks(BLOCK).with_min_len(PIECE / BLOCK);
        let sizes = blocks().map(largest).collect::<Result<Vec<_>>>()?;
        let mut codes = vec![0; values.len().div_ceil(2)];
        let out = codes.par_chunks_mut(BLOCK / 2).with_min_len(PIECE / BLOCK);
        blocks().zip(&sizes).zip(out).for_each(|((block, size), out)| {
            let inverse = 1.0 / size.max(1e-38);
            let mut each = [7; BLOCK]; // zero fills the last byte
            let mut values = [0.0; BLOCK];
            values.iter_mut().zip(block).for_each(|(wide, &value)| *wide = value.into());
            encode(&values[..block.len()], inverse, &mut each);
            for (out, pair) in out.iter_mut().zip(each.chunks_exact(2)) {
                *out = pair[0] << 4 | pair[1];
            }
        });

        let sum: f64 = sizes.iter().map(|&size| f64::from(size)).sum();
        let offset = (sum / sizes.len().max(1) as f64) as f32;
        let (mut scales, mut coded) = (Vec::new(), Vec::with_capacity(sizes.len()));
        for group in sizes.chunks(GROUP) {
            let scale = group.iter().fold(0f32, |most, size| most.max((size - offset).abs()));
            let inverse = 1.0 / scale.max(1e-38);
            coded.extend(group.iter().map(|size| nearest(&SIZES, (size - offset) * inverse)));
            scales.push(scale);
        }
        let (codes, sizes) = (WeightBytes::Owned(codes), WeightBytes::Owned(coded));
        Ok(Self { codes, sizes, scales, offset })
    }

    pub(super) fn codes(&self) -> &[u8] {
        &self.codes
    }

    pub(super) fn bytes(&self) -> usize {
        self.codes.own() + self.sizes.own() + 4 * self.scales.len() + 4
    }

    /// The largest magnitude of a block.
    #[inline(always)]
    pub(super) fn size(&self, map: &[f32; 256], block: usize) -> f32 {
        map[usize::from(self.sizes[block])] * self.scales[block / GROUP] + self.offset
    }

    /// The numbers from `begin` on.
    pub(super) fn dequantise(&self, begin: usize, out: &mut [f32]) {
        let map = &*SIZES;
        for (i, out) in (begin..).zip(out) {
            *out = VALUES[self.code(i)] * self.size(map, i / BLOCK);
        }
    }

    #[inline(always)]
    fn code(&self, i: usize) -> usize {
        let pair = self.codes[i / 2];
        usize::from(if i.is_multiple_of(2) { pair >> 4 } else { pair & 15 })
    }

    /// The numbers from `begin` on, as bits of bf16.
    ///
    /// # Safety
    /// As for [`Lanes`].
    #[inline(always)]
    pub(super) unsafe fn unpack<L: Lanes>(&self, begin: usize, out: &mut [u16]) {
        let map = &*SIZES;
        let (mut at, mut out) = (begin, out);
        if begin.is_multiple_of(BLOCK) {
            // Whole blocks, whose length the compiler knows.
            let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
            let codes = self.codes[begin / 2..].as_chunks::<{ BLOCK / 2 }>().0;
            for ((block, codes), out) in (begin / BLOCK..).zip(codes).zip(&mut *blocks) {
                // SAFETY: the caller's promise is passed on.
                unsafe { L::nf4(codes, self.size(map, block), out) };
            }
            at += blocks.len() * BLOCK;
            out = rest;
        }
        while !out.is_empty() {
            let block = at / BLOCK;
            let size = self.size(map, block);
            let (piece, rest) = out.split_at_mut(out.len().min((block + 1) * BLOCK - at));
            let odd = at % 2;
            if odd == 1 {
                piece[0] = rounded(VALUES[self.code(at)] * size);
            }
            // SAFETY: the caller's promise is passed on.
            unsafe { L::nf4(&self.codes[at.div_ceil(2)..], size, &mut piece[odd..]) };
            at += piece.len();
            out = rest;
        }
    }
}

vectorised! {
    /// The code of the nearest of [`VALUES`] to each value.
    fn encode(values: &[f32], inverse: f32, codes: &mut [u8]) {
        for (code, value) in codes.iter_mut().zip(values) {
            let value = value * inverse;
            *code = BOUNDS.iter().map(|&bound| u32::from(value > bound)).sum::<u32>() as u8;
        }
    }
}

/// Numbers of a block of this size, whose first code is the first of `codes`, as bits of bf16.
#[inline(always)]
pub(in crate::matmul) fn unpack(codes: &[u8], size: f32, out: &mut [u16]) {
    let table = VALUES.map(|value| rounded(value * size));
    for (pair, out) in codes.iter().zip(out.chunks_mut(2)) {
        out[0] = table[usize::from(pair >> 4)];
        if let Some(second) = out.get_mut(1) {
            *second = table[usize::from(pair & 15)];
        }
    }
}
