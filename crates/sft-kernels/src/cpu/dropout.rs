//! Dropout that does not depend on how rows are batched.

use candle_core::{DType, Device, Result, Tensor, bail};
use rayon::prelude::*;

use super::vector::{LANES, vectorised};
use crate::{
    dropout::{DropoutStream, Rows},
    random::{module_key, philox4x32, philox4x32_lanes, split},
};

/// The dropout of one module in one step: an entry is 0 with probability `p`, else `1 / (1 - p)`.
///
/// An entry is a function of (seed, step, module, example, position, feature): it is the same
/// wherever the row lies in a batch, in a recomputation, and after a resume. No mask is kept: it is
/// drawn again where it is needed.
#[derive(Clone, Copy, Debug)]
pub struct Dropout<'a> {
    key: [u32; 2],
    threshold: u64,
    keep: f32,
    rows: Rows<'a>,
}

impl<'a> Dropout<'a> {
    /// The dropout of `rows` in `module`.
    ///
    /// # Errors
    /// When `p` is not in `[0, 1)` or the rows' lists differ in length.
    pub fn new(stream: DropoutStream, module: &str, rows: Rows<'a>, p: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&p) {
            bail!("a dropout probability lies in [0, 1), not {p}")
        }
        if rows.example.len() != rows.position.len() {
            bail!("{} examples for {} positions", rows.example.len(), rows.position.len())
        }
        let [step_low, step_high] = split(stream.step);
        let [module_low, module_high] = split(module_key(module));
        let [key0, key1, ..] =
            philox4x32([step_low, step_high, module_low, module_high], split(stream.seed));
        let threshold = (p * 4_294_967_296.0).round() as u64;
        Ok(Self { key: [key0, key1], threshold, keep: (1.0 / (1.0 - p)) as f32, rows })
    }

    /// What each row is to the generator: position, low and high half of the example's number.
    pub fn counters(&self) -> Vec<[u32; 3]> {
        let rows = self.rows.example.iter().zip(self.rows.position);
        rows.map(|(&example, &position)| {
            let [low, high] = split(example);
            [position, low, high]
        })
        .collect()
    }

    /// The key, the bits below which an entry is dropped, and what the others are multiplied with.
    pub fn bits(&self) -> ([u32; 2], u64, f32) {
        (self.key, self.threshold, self.keep)
    }

    /// Rows that it is for.
    pub(crate) fn rows(&self) -> usize {
        self.rows.position.len()
    }

    /// The mask itself, `[T, features]`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn mask(&self, features: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let count = self.rows();
        let mut mask = vec![0f32; count * features];
        self.apply(features, &vec![1.0; count * features], &mut mask)?;
        Tensor::from_vec(mask, (count, features), device)?.to_dtype(dtype)
    }

    /// `y = mask . x`, rows of `features` numbers.
    ///
    /// # Errors
    /// When a length does not fit.
    pub fn apply(&self, features: usize, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.rows_of(features, x, y, false)
    }

    /// `y += mask . x`.
    ///
    /// # Errors
    /// When a length does not fit.
    pub fn add(&self, features: usize, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.rows_of(features, x, y, true)
    }

    fn rows_of(&self, features: usize, x: &[f32], y: &mut [f32], add: bool) -> Result<()> {
        let count = self.rows();
        if x.len() != count * features || y.len() != x.len() {
            bail!("{} and {} numbers for {count} rows of {features}", x.len(), y.len())
        }
        if features > 0 {
            let rows = self.rows.example.par_iter().zip(self.rows.position);
            y.par_chunks_mut(features).zip(x.par_chunks(features)).zip(rows).for_each(
                |((y, x), (&example, &position))| {
                    let [low, high] = split(example);
                    row(
                        [position, low, high],
                        self.key,
                        self.threshold,
                        [0.0, self.keep],
                        x,
                        y,
                        add,
                    );
                },
            );
        }
        Ok(())
    }
}

vectorised! {
    /// One row: each four entries are the bits of one counter, [`LANES`] counters at a time.
    fn row(
        row: [u32; 3],
        key: [u32; 2],
        threshold: u64,
        values: [f32; 2],
        x: &[f32],
        y: &mut [f32],
        add: bool,
    ) {
        let mut first = 0;
        for (x, y) in x.chunks(4 * LANES).zip(y.chunks_mut(4 * LANES)) {
            let blocks = std::array::from_fn(|i| first + i as u32);
            let [position, low, high] = row.map(|counter| [counter; LANES]);
            let bits = philox4x32_lanes([blocks, position, low, high], key);
            let mut mask = [0f32; 4 * LANES];
            for (block, entries) in mask.chunks_exact_mut(4).enumerate() {
                for (entry, bits) in entries.iter_mut().zip(&bits) {
                    *entry = values[usize::from(u64::from(bits[block]) >= threshold)];
                }
            }
            for ((y, x), mask) in y.iter_mut().zip(x).zip(&mask) {
                let before = if add { *y } else { 0.0 };
                *y = before + x * mask;
            }
            first += LANES as u32;
        }
    }
}
