//! The gradients of one window, on the host, in name order.

use std::collections::BTreeMap;

use candle_core::{DType, Var};
use rayon::prelude::*;
use sft_model::Gradients;

use crate::TrainError;

/// Whether every trainable parameter has a gradient.
///
/// # Errors
/// [`TrainError::MissingGradient`] naming every parameter that has none: its connection with the loss is cut,
/// and it would silently never learn.
pub(crate) fn require_all(
    gradients: &Gradients,
    parameters: &BTreeMap<String, Var>,
) -> Result<(), TrainError> {
    let names = parameters.keys().filter(|name| gradients.get(name).is_none());
    let names: Vec<_> = names.cloned().collect();
    if names.is_empty() { Ok(()) } else { Err(TrainError::MissingGradient { names }) }
}

/// `min(1, max_norm / (norm + 1e-6))`, as in `torch.nn.utils.clip_grad_norm_`; 1 where `max_norm` is 0.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// Flat f32 gradients by parameter name. Iteration is in name order, which fixes the order of every sum.
#[derive(Debug)]
pub(crate) struct FlatGradients(BTreeMap<String, Vec<f32>>);

impl FlatGradients {
    /// Brings the gradients of the trainable parameters to the host.
    pub(crate) fn collect(
        mut gradients: Gradients,
        parameters: &BTreeMap<String, Var>,
    ) -> Result<Self, TrainError> {
        let mut flat = BTreeMap::new();
        for name in parameters.keys() {
            // Taken out: the two forms are not there at one time for more than one parameter.
            if let Some(gradient) = gradients.take(name) {
                let values = gradient.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
                flat.insert(name.clone(), values);
            }
        }
        Ok(Self(flat))
    }

    /// Divides by the target tokens of the window: the loss of a step is the mean over all of them.
    pub(crate) fn divide(&mut self, targets: usize) {
        let targets = targets as f32;
        self.0.par_iter_mut().for_each(|(_, g)| g.iter_mut().for_each(|g| *g /= targets));
    }

    /// The L2 norm of all gradients together, in f64.
    pub(crate) fn global_norm(&self) -> f64 {
        let squares = |g: &f32| f64::from(*g) * f64::from(*g);
        let sums: Vec<f64> = self.0.par_iter().map(|(_, g)| g.iter().map(squares).sum()).collect();
        sums.iter().sum::<f64>().sqrt() // in name order, whoever computed them
    }

    /// Scales all gradients by their [`clip_factor`].
    pub(crate) fn clip(&mut self, norm: f64, max_norm: f64) {
        let factor = clip_factor(norm, max_norm) as f32;
        if factor < 1.0 {
            self.0.par_iter_mut().for_each(|(_, g)| g.iter_mut().for_each(|g| *g *= factor));
        }
    }

    /// One parameter's gradient.
    pub(crate) fn get(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The gradients by name, in name order.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[f32])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    #[cfg(test)]
    pub(crate) fn from_values(values: BTreeMap<String, Vec<f32>>) -> Self {
        Self(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients() -> FlatGradients {
        FlatGradients(BTreeMap::from([("a".into(), vec![6.0, -8.0]), ("b".into(), vec![24.0])]))
    }

    #[test]
    fn one_norm_over_all_after_division() {
        let mut gradients = gradients();
        gradients.divide(2);
        assert_eq!(gradients.global_norm(), 13.0);
        gradients.clip(13.0, 6.5);
        let clipped: Vec<f32> = gradients.0.values().flatten().copied().collect();
        for (clipped, expected) in clipped.iter().zip([1.5, -2.0, 6.0]) {
            assert!((clipped - expected).abs() < 1e-6, "{clipped} for {expected}");
        }
    }

    #[test]
    fn a_small_norm_or_a_limit_of_zero_changes_nothing() {
        for limit in [0.0, 26.1] {
            let mut gradients = gradients();
            gradients.clip(26.0, limit);
            assert_eq!(
                gradients.0.values().flatten().copied().collect::<Vec<_>>(),
                [6.0, -8.0, 24.0]
            );
        }
    }

    #[test]
    fn the_norm_of_what_is_not_finite_is_not_finite() {
        for bad in [f32::NAN, f32::INFINITY] {
            let gradients = FlatGradients(BTreeMap::from([("a".into(), vec![1.0, bad])]));
            assert!(!gradients.global_norm().is_finite());
        }
    }
}
