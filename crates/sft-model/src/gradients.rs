//! What a training pass takes and gives.

use std::collections::BTreeMap;

use candle_core::Tensor;
use sft_kernels::DropoutStream;

use crate::Result;

/// How to run a training pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrainPass {
    /// The randomness of dropout; none: no dropout. The probability is each adapter's own.
    pub dropout: Option<DropoutStream>,
    /// What is computed again in the backward pass instead of being kept. Never changes a byte of
    /// the result.
    pub recompute: Recompute,
}

/// Which blocks keep only their input and compute the rest again in the backward pass: less memory,
/// more time, the same bytes.
///
/// Blocks are counted from the first adapted one, below which nothing is kept: when the first of them
/// are computed again, what the others kept is free already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// No block.
    #[default]
    None,
    /// So many, the first ones.
    Blocks(usize),
    /// Every block.
    All,
}

impl Recompute {
    /// Whether the block of this number, counted from the first adapted one, is computed again.
    pub(crate) fn includes(self, block: usize) -> bool {
        match self {
            Self::None => false,
            Self::Blocks(count) => block < count,
            Self::All => true,
        }
    }
}

/// A loss before it is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Sum of the targets' negative log-likelihoods, in nats.
    pub nll: f64,
    /// Number of targets.
    pub targets: usize,
}

/// Gradients of a sum of negative log-likelihoods, by parameter name, in name order.
#[derive(Clone, Debug, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// The gradient of one parameter, if it has received one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Takes out the gradient of one parameter, if it has received one.
    pub fn take(&mut self, name: &str) -> Option<Tensor> {
        self.0.remove(name)
    }

    /// All gradients, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Whether no parameter has received a gradient.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds to one parameter's gradient.
    pub(crate) fn add(&mut self, name: String, gradient: &Tensor) -> Result<()> {
        let sum = match self.0.get(&name) {
            Some(sum) => (sum + gradient)?,
            None => gradient.clone(),
        };
        self.0.insert(name, sum);
        Ok(())
    }
}
