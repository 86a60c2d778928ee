//! Rotary position embedding.

use std::f64::consts::TAU;

use sft_model::{RopeConfig, RopeScaling};

/// `head_dim / 2` frequencies. They and their angles are f32 numbers by definition: transformers makes them so, and a
/// model was trained with them.
#[derive(Clone)]
pub(crate) struct Frequencies(Vec<f32>);

impl Frequencies {
    pub(crate) fn new(rope: &RopeConfig, head_dim: usize) -> Self {
        let plain =
            (0..head_dim / 2).map(|i| 1.0 / rope.theta.powf((2 * i) as f64 / head_dim as f64));
        let scaled = plain.map(|f| match rope.scaling {
            RopeScaling::None => f,
            RopeScaling::Linear { factor } => f / factor,
            RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            } => {
                // How often the wave turns over the original length: often is kept, seldom is divided.
                let turns = original * f / TAU;
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                kept * f + (1.0 - kept) * f / factor
            }
        });
        Self(scaled.map(|f| f as f32).collect())
    }

    /// Turns each pair `(i, i + head_dim / 2)` of a head.
    pub(crate) fn turn(&self, head: &mut [f64], position: u32) {
        let half = self.0.len();
        for (i, frequency) in self.0.iter().enumerate() {
            let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
            let (x, y) = (head[i], head[i + half]);
            head[i] = x * cos - y * sin;
            head[i + half] = y * cos + x * sin;
        }
    }
}
