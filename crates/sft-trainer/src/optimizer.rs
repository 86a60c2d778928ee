//! The optimizer, where the parameters are.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use candle_core::Var;
use sft_model::{Gradients, LossSum};

use crate::TrainError;
use crate::adamw::AdamW;
use crate::gradients::FlatGradients;

/// One step: its window and its settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Of the whole window. Gradients are divided by its target tokens: the loss of a step is the mean over all of them.
    pub(crate) loss: LossSum,
    /// Gradients of a larger norm are scaled down to this one; 0: none are.
    pub(crate) max_norm: f64,
    pub(crate) learning_rate: f64,
}

impl Step {
    /// Whether it moves the parameters, with gradients of this norm: loss and norm must be finite.
    pub(crate) fn counts(&self, norm: f64) -> bool {
        self.loss.nll.is_finite() && norm.is_finite()
    }
}

/// AdamW, with gradients and moments where it computes.
pub(crate) trait Optimizer: Debug {
    /// Takes a step with the sums of the window's gradients, if it [counts](Step::counts). The L2 norm of all gradients
    /// together, after division and before clipping.
    fn advance(
        &mut self,
        step: Step,
        parameters: &BTreeMap<String, Var>,
        gradients: Gradients,
    ) -> Result<f64, TrainError>;

    /// What a checkpoint saves.
    fn state(&self) -> Result<Cow<'_, AdamW>, TrainError>;
}

/// On the host, whatever the device.
impl Optimizer for AdamW {
    fn advance(
        &mut self,
        step: Step,
        parameters: &BTreeMap<String, Var>,
        gradients: Gradients,
    ) -> Result<f64, TrainError> {
        let mut gradients = FlatGradients::collect(gradients, parameters)?;
        gradients.divide(step.loss.targets);
        let norm = gradients.global_norm();
        if step.counts(norm) {
            gradients.clip(norm, step.max_norm);
            self.step(parameters, &gradients, step.learning_rate)?;
        }
        Ok(norm)
    }

    fn state(&self) -> Result<Cow<'_, AdamW>, TrainError> {
        Ok(Cow::Borrowed(self))
    }
}

/// The optimizer of this state where these parameters are: on their device if there are kernels for it, or else on the host.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, clippy::unnecessary_wraps))]
pub(crate) fn place(
    adamw: AdamW,
    parameters: &BTreeMap<String, Var>,
) -> Result<Box<dyn Optimizer>, TrainError> {
    #[cfg(feature = "cuda")]
    if parameters.values().all(|var| sft_kernels::optimizer_takes(var.device())) {
        return Ok(Box::new(crate::adamw_cuda::CudaAdamW::upload(&adamw, parameters)?));
    }
    Ok(Box::new(adamw))
}
