//! AdamW with its state as plain data.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use rayon::prelude::*;

use crate::{TrainError, gradients::FlatGradients};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// AdamW (Loshchilov and Hutter, 2019), operation for operation as `torch.optim.AdamW` in f32: betas 0.9 and
/// 0.999, eps 1e-8 outside the root, bias correction from step 1, decay `p *= 1 - lr * wd` before the update.
///
/// It computes on the host, each parameter on one thread: the same bytes on every device and with any number of
/// threads. Parameters of an NVIDIA GPU are moved there instead; this is then what a checkpoint saves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdamW {
    /// Steps taken; skipped ones do not count.
    pub(crate) step: u64,
    /// Moments by parameter name.
    pub(crate) moments: BTreeMap<String, Moments>,
    pub(crate) weight_decay: f64,
}

/// The running means of a parameter's gradient and of its square, flat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Moments {
    pub(crate) exp_avg: Vec<f32>,
    pub(crate) exp_avg_sq: Vec<f32>,
}

impl AdamW {
    /// Zero moments for every parameter.
    pub(crate) fn new(parameters: &BTreeMap<String, Var>, weight_decay: f64) -> Self {
        let zeros = |var: &Var| vec![0.0; var.elem_count()];
        let moments = parameters
            .iter()
            .map(|(name, var)| {
                (name.clone(), Moments { exp_avg: zeros(var), exp_avg_sq: zeros(var) })
            })
            .collect();
        Self { step: 0, moments, weight_decay }
    }

    /// Updates every parameter at learning rate `lr`.
    pub(crate) fn step(
        &mut self,
        parameters: &BTreeMap<String, Var>,
        gradients: &FlatGradients,
        lr: f64,
    ) -> Result<(), TrainError> {
        self.step += 1;
        let update = Update::new(self.step, lr, self.weight_decay);
        let moved = |(name, moments): (&String, &mut Moments)| {
            let (Some(var), Some(gradient)) = (parameters.get(name), gradients.get(name)) else {
                return Ok(());
            };
            let mut values: Vec<f32> = var.flatten_all()?.to_vec1()?;
            update.apply(&mut values, gradient, moments);
            var.set(&Tensor::from_vec(values, var.shape(), var.device())?)?;
            Ok(())
        };
        if parameters.values().all(|var| var.device().is_cpu()) {
            return self.moments.par_iter_mut().try_for_each(moved);
        }
        // Each thread has a stream of its own on a device: a copy from another one would not be waited for.
        self.moments.iter_mut().try_for_each(moved)
    }
}

/// The scalars of one step.
pub(crate) struct Update {
    pub(crate) decay: f32,
    pub(crate) step_size: f32,
    pub(crate) root_correction: f32,
    /// `1 - beta1`
    pub(crate) rest1: f32,
    pub(crate) beta2: f32,
    /// `1 - beta2`
    pub(crate) rest2: f32,
    pub(crate) eps: f32,
}

impl Update {
    pub(crate) fn new(step: u64, lr: f64, weight_decay: f64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            decay: (1.0 - lr * weight_decay) as f32,
            step_size: (lr / correction(BETA1)) as f32,
            root_correction: correction(BETA2).sqrt() as f32,
            rest1: (1.0 - BETA1) as f32,
            beta2: BETA2 as f32,
            rest2: (1.0 - BETA2) as f32,
            eps: EPS as f32,
        }
    }

    fn apply(&self, values: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        let Self { decay, step_size, root_correction, rest1, beta2, rest2, eps } = *self;
        let state = moments.exp_avg.iter_mut().zip(&mut moments.exp_avg_sq);
        for ((p, &g), (m, v)) in values.iter_mut().zip(gradient).zip(state) {
            *p *= decay;
            *m += rest1 * (g - *m);
            *v = *v * beta2 + rest2 * g * g;
            let denominator = v.sqrt() / root_correction + eps;
            *p -= step_size * *m / denominator;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candle_core::Device;
    use serde::Deserialize;

    use super::*;

    type Values = BTreeMap<String, Vec<f32>>;

    #[derive(Deserialize)]
    struct Golden {
        adamw: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        weight_decay: f64,
        max_norm: f64,
        start: Values,
        steps: Vec<Step>,
    }

    #[derive(Deserialize)]
    struct Step {
        lr: f64,
        gradients: Values,
        norm: f64,
        clipped: Values,
        parameters: Values,
        exp_avg: Values,
        exp_avg_sq: Values,
    }

    /// Within two units in the last place of the largest value (torch fuses multiplications with additions).
    fn close(what: &str, actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 2.4e-7 * largest, "{what}: {a} for {e}");
        }
    }

    /// tests/golden/make_golden.py
    #[test]
    fn six_steps_are_those_of_torch() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/optim.json")).unwrap();
        assert_eq!(golden.adamw.len(), 3);
        for case in golden.adamw {
            let shapes = BTreeMap::from([("a", vec![2, 3]), ("b", vec![4])]);
            let parameters: BTreeMap<String, Var> = case
                .start
                .into_iter()
                .map(|(name, values)| {
                    let tensor =
                        Tensor::from_vec(values, shapes[name.as_str()].as_slice(), &Device::Cpu)
                            .unwrap();
                    (name, Var::from_tensor(&tensor).unwrap())
                })
                .collect();
            let mut adamw = AdamW::new(&parameters, case.weight_decay);
            for step in case.steps {
                let mut gradients = FlatGradients::from_values(step.gradients);
                let norm = gradients.global_norm();
                assert!((norm - step.norm).abs() < 1e-6 * norm, "{norm} for {}", step.norm);
                gradients.clip(norm, case.max_norm);
                for (name, values) in gradients.iter() {
                    close("clipped", values, &step.clipped[name]);
                }
                adamw
                    .step(&parameters, &FlatGradients::from_values(step.clipped), step.lr)
                    .unwrap();
                for (name, var) in &parameters {
                    close(
                        "parameter",
                        &var.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                        &step.parameters[name],
                    );
                    close("exp_avg", &adamw.moments[name].exp_avg, &step.exp_avg[name]);
                    close("exp_avg_sq", &adamw.moments[name].exp_avg_sq, &step.exp_avg_sq[name]);
                }
            }
            assert_eq!(adamw.step, 6);
        }
    }
}
