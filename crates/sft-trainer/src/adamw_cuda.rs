//! AdamW on an NVIDIA GPU.

use std::borrow::Cow;
use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use sft_kernels::launch::AdamWScalars;
use sft_kernels::{adamw, sums_of_squares};
use sft_model::Gradients;

use crate::TrainError;
use crate::adamw::{AdamW, Moments, Update};
use crate::gradients::clip_factor;
use crate::optimizer::{Optimizer, Step};

/// [`AdamW`] with its moments on the parameters' device, to which the host speaks from one thread: gradients stay there,
/// parameters and moments are moved in place, and a step waits for the device once, for the norm.
///
/// Operation for operation as on the host, but that gradients are divided and clipped by one factor: one rounding, not two.
#[derive(Debug)]
pub(crate) struct CudaAdamW {
    step: u64,
    /// `exp_avg` and `exp_avg_sq` by parameter name.
    moments: BTreeMap<String, [Var; 2]>,
    weight_decay: f64,
}

impl CudaAdamW {
    pub(crate) fn upload(
        host: &AdamW,
        parameters: &BTreeMap<String, Var>,
    ) -> Result<Self, TrainError> {
        let mut moments = BTreeMap::new();
        for (name, var) in parameters {
            if let Some(Moments { exp_avg, exp_avg_sq }) = host.moments.get(name) {
                let there =
                    |values: &[f32]| Var::from_slice(values, var.shape().clone(), var.device());
                moments.insert(name.clone(), [there(exp_avg)?, there(exp_avg_sq)?]);
            }
        }
        Ok(Self { step: host.step, moments, weight_decay: host.weight_decay })
    }
}

impl Optimizer for CudaAdamW {
    fn advance(
        &mut self,
        step: Step,
        parameters: &BTreeMap<String, Var>,
        mut gradients: Gradients,
    ) -> Result<f64, TrainError> {
        let mut moved = Vec::with_capacity(self.moments.len());
        for (name, moments) in &self.moments {
            if let (Some(var), Some(gradient)) = (parameters.get(name), gradients.take(name)) {
                moved.push((var, whole(&gradient)?, moments));
            }
        }
        let tensors: Vec<&Tensor> = moved.iter().map(|(_, gradient, _)| gradient).collect();
        let targets = step.loss.targets as f64;
        // In name order. Of the sums before they are divided: the norm scales with them.
        let norm = sums_of_squares(&tensors)?.iter().sum::<f64>().sqrt() / targets;
        if !step.counts(norm) {
            return Ok(norm);
        }
        self.step += 1;
        let update = Update::new(self.step, step.learning_rate, self.weight_decay);
        let Update { decay, step_size, root_correction, rest1, beta2, rest2, eps } = update;
        let factor = (clip_factor(norm, step.max_norm) / targets) as f32;
        let scalars =
            AdamWScalars { factor, decay, step_size, root_correction, rest1, beta2, rest2, eps };
        for (var, gradient, [exp_avg, exp_avg_sq]) in &moved {
            adamw(var, gradient, [exp_avg, exp_avg_sq], &scalars)?;
        }
        Ok(norm)
    }

    fn state(&self) -> Result<Cow<'_, AdamW>, TrainError> {
        let mut moments = BTreeMap::new();
        for (name, [exp_avg, exp_avg_sq]) in &self.moments {
            let here = |var: &Var| var.flatten_all()?.to_vec1();
            let there = Moments { exp_avg: here(exp_avg)?, exp_avg_sq: here(exp_avg_sq)? };
            moments.insert(name.clone(), there);
        }
        let (step, weight_decay) = (self.step, self.weight_decay);
        Ok(Cow::Owned(AdamW { step, moments, weight_decay }))
    }
}

/// A gradient as the kernels read it: f32, contiguous, from the start of its storage.
fn whole(gradient: &Tensor) -> candle_core::Result<Tensor> {
    let gradient = gradient.to_dtype(DType::F32)?;
    if gradient.is_contiguous() && gradient.layout().start_offset() == 0 {
        return Ok(gradient);
    }
    gradient.force_contiguous()
}
