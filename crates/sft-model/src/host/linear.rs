//! One linear layer of a block.

use candle_core::Tensor;
use sft_kernels::{
    FrozenWeight,
    cpu::{self, Buffer, Buffers, Dropout, Locked, Lora},
    matmul::{Matrix, Start, matmul_nn, matmul_nt},
};
use sft_lora::LoraLinear;

use crate::{
    Gradients, ModelError, Result,
    projection::{Mode, Projection},
};

/// Whether a result is written or added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    Fresh,
    Existing,
}

impl Projection {
    /// The weight that multiplies, and the adapter beside it, if it takes part.
    fn parts(&self, mode: Mode<'_>) -> (&FrozenWeight, Option<&LoraLinear>) {
        match (self, mode) {
            (Self::Frozen { weight, .. }, _) => (weight, None),
            (Self::Lora(layer), Mode::Base) => (layer.original(), None),
            (Self::Lora(layer), _) if layer.is_merged() => (layer.base(), None),
            (Self::Lora(layer), _) => (layer.base(), Some(layer)),
        }
    }

    /// `x` is `[T, in]`, `y` `[T, out]`. Returns the adapter's narrow product, which the backward
    /// pass asks for.
    pub(super) fn host_forward(
        &self,
        x: &[f32],
        t: usize,
        mode: Mode<'_>,
        to: To,
        y: &mut [f32],
        buffers: &Buffers,
    ) -> Result<Option<Buffer>> {
        let (weight, layer) = self.parts(mode);
        let bias = self.bias().map(Locked::new);
        let bias = bias.as_ref().map(Locked::values).transpose()?;
        let start = match (to, bias) {
            (To::Existing, _) => Start::Existing,
            (To::Fresh, Some(bias)) => Start::Bias(bias),
            (To::Fresh, None) => Start::Zero,
        };
        let down = match layer {
            None => {
                weight.with_matrix(|w| matmul_nt(x, t, w, start, y))?;
                None
            }
            Some(layer) => with_lora(layer, mode, |lora| {
                let forward = |w: &Matrix<'_>| cpu::lora_forward(x, t, w, start, lora, y, buffers);
                Ok(Some(weight.with_matrix(forward)?))
            })?,
        };
        if let (To::Existing, Some(bias)) = (to, bias) {
            cpu::add_row(bias, y);
        }
        Ok(down)
    }

    /// The adapter's narrow product alone, as [`Self::host_forward`] returns it.
    pub(super) fn host_down(
        &self,
        x: &[f32],
        t: usize,
        mode: Mode<'_>,
        buffers: &Buffers,
    ) -> Result<Option<Buffer>> {
        let (weight, layer) = self.parts(mode);
        let Some(layer) = layer else { return Ok(None) };
        with_lora(layer, mode, |lora| {
            Ok(Some(cpu::lora_down(x, t, weight.in_features(), lora, buffers)?))
        })
    }

    /// The gradients of the adapter are added to `grads`, and that of the input is put into `dx`.
    /// `x` and `down` are those of the forward pass, `dy` `[T, out]` the gradient of its result.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn host_backward(
        &self,
        dy: &[f32],
        x: &[f32],
        down: Option<&Buffer>,
        t: usize,
        mode: Mode<'_>,
        dx: Option<(To, &mut [f32])>,
        grads: &mut Gradients,
        buffers: &Buffers,
    ) -> Result<()> {
        let (weight, layer) = self.parts(mode);
        let dx = dx.map(|(to, dx)| match to {
            To::Fresh => (Start::Zero, dx),
            To::Existing => (Start::Existing, dx),
        });
        let Some(layer) = layer else {
            if let Some((start, dx)) = dx {
                weight.with_matrix(|w| matmul_nn(dy, t, w, start, dx))?;
            }
            return Ok(());
        };
        let down = down.ok_or(ModelError::State("an adapter's forward pass was not kept"))?;
        let gradients = with_lora(layer, mode, |lora| {
            Ok(weight.with_matrix(|w| cpu::lora_backward(dy, t, x, down, w, lora, dx, buffers))?)
        })?;
        let (out, input) = (weight.out_features(), weight.in_features());
        let [(a, _), (b, _)] = layer.parameters();
        let (r, device) = (layer.rank(), layer.lora_a().device());
        grads.add(a, &Tensor::from_vec(gradients.a, (r, input), device)?)?;
        grads.add(b, &Tensor::from_vec(gradients.b, (out, r), device)?)
    }
}

/// Hands an adapter's matrices to `f`.
fn with_lora<T>(
    layer: &LoraLinear,
    mode: Mode<'_>,
    f: impl FnOnce(&Lora<'_>) -> Result<T>,
) -> Result<T> {
    let dropout = match mode {
        Mode::Train(Some((stream, rows))) if layer.dropout() > 0.0 => {
            Some(Dropout::new(stream, layer.module(), rows, layer.dropout())?)
        }
        _ => None,
    };
    let (a, b) = (Locked::new(layer.lora_a()), Locked::new(layer.lora_b()));
    f(&Lora {
        a: a.values()?,
        b: b.values()?,
        r: layer.rank(),
        scale: layer.scale() as f32,
        dropout,
    })
}
