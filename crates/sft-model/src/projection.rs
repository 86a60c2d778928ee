//! One linear layer of a block: frozen, or frozen with an adapter.

use candle_core::{Result, Tensor, Var};
use sft_kernels::{DropoutStream, FrozenWeight, LoraLinearGradients, Rows, frozen_linear};
use sft_lora::LoraLinear;

use crate::Gradients;

/// What a forward pass is for.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// No dropout, nothing tracked.
    Eval,
    /// As `Eval`, as if no adapter were there.
    Base,
    /// Adapters tracked by autograd, with dropout if there is a stream.
    Train(Option<(DropoutStream, Rows<'a>)>),
}

#[derive(Clone)]
pub(crate) enum Projection {
    Frozen { module: String, weight: FrozenWeight, bias: Option<Tensor> },
    Lora(LoraLinear),
}

impl Projection {
    /// Full dotted name, as in the weight files.
    pub(crate) fn module(&self) -> &str {
        match self {
            Self::Frozen { module, .. } => module,
            Self::Lora(layer) => layer.module(),
        }
    }

    pub(crate) fn weight(&self) -> &FrozenWeight {
        match self {
            Self::Frozen { weight, .. } => weight,
            Self::Lora(layer) => layer.base(),
        }
    }

    pub(crate) fn bias(&self) -> Option<&Tensor> {
        match self {
            Self::Frozen { bias, .. } => bias.as_ref(),
            Self::Lora(layer) => layer.bias(),
        }
    }

    pub(crate) fn lora(&self) -> Option<&LoraLinear> {
        match self {
            Self::Frozen { .. } => None,
            Self::Lora(layer) => Some(layer),
        }
    }

    pub(crate) fn lora_mut(&mut self) -> Option<&mut LoraLinear> {
        match self {
            Self::Frozen { .. } => None,
            Self::Lora(layer) => Some(layer),
        }
    }

    pub(crate) fn parameters(&self) -> Vec<(String, Var)> {
        self.lora().map(|layer| layer.parameters().to_vec()).unwrap_or_default()
    }

    /// `x` is `[T, in]`.
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match (self, mode) {
            (Self::Frozen { weight, bias, .. }, _) => frozen_linear(x, weight, bias.as_ref()),
            (Self::Lora(layer), Mode::Eval) => layer.forward_eval(x),
            (Self::Lora(layer), Mode::Base) => layer.forward_base(x),
            (Self::Lora(layer), Mode::Train(dropout)) => layer.forward_train(x, dropout),
        }
    }

    /// [`Self::forward`] outside every graph.
    pub(crate) fn forward_untracked(&self, x: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        match (self, mode) {
            (Self::Lora(layer), Mode::Train(dropout)) => layer.forward_untracked(x, dropout),
            _ => self.forward(x, mode),
        }
    }

    /// The gradient of `x` `[T, in]`, if `need_dx`, for that of the result; those of the adapter are added to `grads`.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        mode: Mode<'_>,
        need_dx: bool,
        grads: &mut Gradients,
    ) -> crate::Result<Option<Tensor>> {
        match (self, mode) {
            (Self::Lora(layer), Mode::Train(dropout)) => {
                let LoraLinearGradients { dx, da, db } = layer.backward(x, dy, dropout, need_dx)?;
                for ((name, _), gradient) in layer.parameters().into_iter().zip([da, db]) {
                    grads.add(name, &gradient)?;
                }
                Ok(dx)
            }
            _ if need_dx => Ok(Some(self.weight().backward(dy)?)),
            _ => Ok(None),
        }
    }
}
