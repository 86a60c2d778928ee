//! Linear layers of a block that read the same input.

use candle_core::Tensor;
use sft_kernels::{
    FrozenWeight, LockedWeight,
    cpu::{self, Buffer, Buffers, Dropout, Linear, Locked, Lora, Narrow},
    matmul::Start,
};
use sft_lora::LoraLinear;

use crate::{
    Gradients, Result,
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

    fn open<'a>(&'a self, mode: Mode<'a>) -> Result<Open<'a>> {
        let (weight, layer) = self.parts(mode);
        let adapter = layer.map(|layer| {
            let dropout = match mode {
                Mode::Train(Some((stream, rows))) if layer.dropout() > 0.0 => {
                    Some(Dropout::new(stream, layer.module(), rows, layer.dropout())?)
                }
                _ => None,
            };
            let (a, b) = (Locked::new(layer.lora_a()), Locked::new(layer.lora_b()));
            Result::Ok(Adapter { a, b, layer, dropout })
        });
        Ok(Open {
            weight: weight.lock(),
            bias: self.bias().map(Locked::new),
            adapter: adapter.transpose()?,
        })
    }
}

/// A layer whose numbers are at hand.
struct Open<'a> {
    weight: LockedWeight<'a>,
    bias: Option<Locked<'a>>,
    adapter: Option<Adapter<'a>>,
}

struct Adapter<'a> {
    a: Locked<'a>,
    b: Locked<'a>,
    layer: &'a LoraLinear,
    dropout: Option<Dropout<'a>>,
}

impl Open<'_> {
    fn linear(&self) -> Result<Linear<'_>> {
        let lora = self.adapter.as_ref().map(|adapter| {
            Result::Ok(Lora {
                a: adapter.a.values()?,
                b: adapter.b.values()?,
                r: adapter.layer.rank(),
                scale: adapter.layer.scale() as f32,
                dropout: adapter.dropout,
            })
        });
        Ok(Linear { w: self.weight.matrix()?, lora: lora.transpose()? })
    }

    fn bias(&self) -> Result<Option<&[f32]>> {
        Ok(self.bias.as_ref().map(Locked::values).transpose()?)
    }
}

/// `x` is `[T, in]`, each result `[T, out]`. Returns the narrow products of the adapters, which the
/// backward pass asks for.
pub(super) fn forward(
    x: &[f32],
    t: usize,
    layers: Vec<(&Projection, To, &mut [f32])>,
    mode: Mode<'_>,
    buffers: &Buffers,
) -> Result<Vec<Option<Buffer>>> {
    let open = layers.iter().map(|(layer, ..)| layer.open(mode)).collect::<Result<Vec<_>>>()?;
    let mut linear = Vec::with_capacity(layers.len());
    for ((_, to, y), open) in layers.into_iter().zip(&open) {
        let start = match (to, open.bias()?) {
            (To::Existing, None) => Start::Existing,
            (To::Existing, Some(bias)) => {
                cpu::add_row(bias, y);
                Start::Existing
            }
            (To::Fresh, Some(bias)) => Start::Bias(bias),
            (To::Fresh, None) => Start::Zero,
        };
        linear.push((open.linear()?, start, y));
    }
    Ok(cpu::linear_forward(x, t, linear, buffers)?)
}

/// The adapter's narrow product alone, as [`forward`] returns it.
pub(super) fn narrow(
    x: &[f32],
    t: usize,
    layer: &Projection,
    mode: Mode<'_>,
    buffers: &Buffers,
) -> Result<Option<Buffer>> {
    let open = layer.open(mode)?;
    Ok(cpu::lora_down(x, t, std::iter::once(open.linear()?), buffers)?.pop().flatten())
}

/// A layer, the gradient of its result, `[T, out]`, and the narrow product of the forward pass.
pub(super) type Backward<'a> = (&'a Projection, &'a [f32], Option<&'a Buffer>);

/// The gradients of the adapters are added to `grads`, and that of the common input is put into `dx`.
/// `x` is that of the forward pass.
pub(super) fn backward(
    x: &[f32],
    t: usize,
    layers: &[Backward<'_>],
    mode: Mode<'_>,
    dx: Option<(To, &mut [f32])>,
    grads: &mut Gradients,
    buffers: &Buffers,
) -> Result<()> {
    let narrow = backward_input(t, layers, mode, dx, buffers)?;
    let layers = layers.iter().map(|(layer, ..)| *layer).collect::<Vec<_>>();
    backward_adapters(x, t, &layers, narrow, mode, grads, buffers)
}

/// The part of [`backward`] that does not read the input.
pub(super) fn backward_input(
    t: usize,
    layers: &[Backward<'_>],
    mode: Mode<'_>,
    dx: Option<(To, &mut [f32])>,
    buffers: &Buffers,
) -> Result<Vec<Option<Narrow>>> {
    let dx = dx.map(|(to, dx)| match to {
        To::Fresh => (Start::Zero, dx),
        To::Existing => (Start::Existing, dx),
    });
    let open = layers.iter().map(|(layer, ..)| layer.open(mode)).collect::<Result<Vec<_>>>()?;
    let parts = open.iter().zip(layers);
    let linear = parts.map(|(open, (_, dy, down))| Ok((open.linear()?, *dy, down.map(|d| &d[..]))));
    let linear = linear.collect::<Result<Vec<_>>>()?;
    Ok(cpu::linear_backward_input(t, &linear, dx, buffers)?)
}

/// The rest of [`backward`].
pub(super) fn backward_adapters(
    x: &[f32],
    t: usize,
    layers: &[&Projection],
    narrow: Vec<Option<Narrow>>,
    mode: Mode<'_>,
    grads: &mut Gradients,
    buffers: &Buffers,
) -> Result<()> {
    let open = layers.iter().map(|layer| layer.open(mode)).collect::<Result<Vec<_>>>()?;
    let linear = open.iter().map(Open::linear).collect::<Result<Vec<_>>>()?;
    let gradients = cpu::lora_gradients(x, t, linear.into_iter(), narrow, buffers)?;
    for (open, gradients) in open.iter().zip(gradients) {
        let (Some(Adapter { layer, .. }), Some(gradients)) = (&open.adapter, gradients) else {
            continue;
        };
        for ((name, parameter), gradient) in
            layer.parameters().into_iter().zip([gradients.a, gradients.b])
        {
            grads.add(name, &Tensor::from_vec(gradient, parameter.shape(), parameter.device())?)?;
        }
    }
    Ok(())
}
