//! Rotary frequencies and their cosines.

use std::f64::consts::PI;

use candle_core::{DType, Device, Tensor};

use crate::{
    Result,
    config::{ModelConfig, RopeScaling},
};

/// `head_dim / 2` frequencies, in f32 as in transformers.
#[derive(Clone, Debug)]
pub(crate) struct Rotary(Vec<f32>);

impl Rotary {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let dim = config.head_dim as f64;
        let frequencies = (0..config.head_dim / 2).map(|i| {
            let frequency = config.rope.theta.powf(-2.0 * i as f64 / dim);
            scale(frequency, &config.rope.scaling) as f32
        });
        Self(frequencies.collect())
    }

    /// Cosines and sines of each token's angles, `[T, head_dim / 2]` each.
    pub(crate) fn angles(
        &self,
        positions: &[u32],
        dtype: DType,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        let (cos, sin) = self.tables(positions);
        let tensor = |values: Vec<f32>| {
            Tensor::from_vec(values, (positions.len(), self.0.len()), device)?.to_dtype(dtype)
        };
        Ok((tensor(cos)?, tensor(sin)?))
    }

    /// [`Self::angles`] as slices.
    pub(crate) fn tables(&self, positions: &[u32]) -> (Vec<f32>, Vec<f32>) {
        let angles: Vec<f64> = positions
            .iter()
            .flat_map(|&p| self.0.iter().map(move |f| f64::from(p as f32 * f)))
            .collect();
        let table = |f: fn(f64) -> f64| angles.iter().map(|&angle| f(angle) as f32).collect();
        (table(f64::cos), table(f64::sin))
    }
}

/// A frequency under the model's scaling (Llama 3.1's as in Meta's `apply_scaling` and
/// transformers' `_compute_llama3_parameters`).
fn scale(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: original,
        } => {
            let wavelength = 2.0 * PI / frequency;
            if wavelength < original / high_freq_factor {
                frequency
            } else if wavelength > original / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (original / wavelength - low_freq_factor)
                    / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}
