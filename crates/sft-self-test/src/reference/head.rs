//! The final normalisation, the head and the loss.

use candle_core::{DType, Tensor};
use sft_model::{ModelConfig, StoredTensors};

use super::{Rows, normalise, vector};
use crate::Result;

/// Rows of the head that are in f64 at one time.
const CHUNK: usize = 4096;

/// From the last block's output to losses.
pub(crate) struct Head {
    norm: Vec<f64>,
    /// `[vocab, D]`, in its stored type.
    weight: Tensor,
    eps: f64,
}

impl Head {
    pub(crate) fn load(tensors: &StoredTensors, config: &ModelConfig) -> Result<Self> {
        let name =
            if config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
        Ok(Self {
            norm: vector(&tensors.get("model.norm.weight")?)?,
            weight: tensors.get(name)?,
            eps: config.rms_norm_eps,
        })
    }

    /// The negative log-likelihood of one label for each row of `hidden`.
    pub(crate) fn nll(&self, hidden: &Rows, labels: &[u32]) -> Result<Vec<f64>> {
        let normed = normalise(hidden, &self.norm, self.eps);
        let vocab = self.weight.dims()[0];
        // Of each row: the highest logit so far, the sum of exp(logit - highest), and the label's logit.
        let mut state = vec![(f64::NEG_INFINITY, 0.0, 0.0); labels.len()];
        for start in (0..vocab).step_by(CHUNK) {
            let chunk =
                self.weight.narrow(0, start, CHUNK.min(vocab - start))?.to_dtype(DType::F64)?;
            let logits = normed.product(&chunk)?;
            for ((row, &label), (highest, sum, own)) in logits.iter().zip(labels).zip(&mut state) {
                let above = row.iter().copied().fold(*highest, f64::max);
                *sum *= (*highest - above).exp();
                *sum += row.iter().map(|logit| (logit - above).exp()).sum::<f64>();
                *highest = above;
                if let Some(logit) = (label as usize).checked_sub(start).and_then(|at| row.get(at))
                {
                    *own = *logit;
                }
            }
        }
        Ok(state.into_iter().map(|(highest, sum, own)| sum.ln() + highest - own).collect())
    }
}
