//! The adapter of a LoRA layer: its small products, in f32 beside activations of any type.

use candle_core::{
    CudaDevice, CudaStorage, DType, Device, Layout, Result, Tensor, backend::BackendStorage,
};

use super::{Held, View, empty, run, takes, tensor, uploads::uploaded};
use crate::{
    cpu::Dropout,
    launch::{self, DropoutArgs, Low},
};

/// Whether the kernels take this input with this adapter, which must be f32.
pub(crate) fn lora_takes(x: &Tensor, a: &Tensor, b: &Tensor) -> bool {
    let out = b.dims().first().is_some_and(|out| out % 4 == 0);
    takes(&[x]) && out && [a, b].iter().all(|t| t.dtype() == DType::F32 && t.device().is_cuda())
}

/// A dropout whose rows are on the device.
pub(crate) struct Rows {
    counters: Tensor,
    key: [u32; 2],
    threshold: u32,
    keep: f32,
}

impl Rows {
    pub(crate) fn new(dropout: &Dropout<'_>, device: &Device) -> Result<Self> {
        let counters = uploaded(&dropout.counters().concat(), device)?;
        let (key, threshold, keep) = dropout.bits();
        let threshold = u32::try_from(threshold).unwrap_or(u32::MAX);
        Ok(Self { counters, key, threshold, keep })
    }
}

/// The trainable side of a layer, and what happens to its input.
pub(crate) struct Adapter<'a> {
    /// `[r, in]`
    pub(crate) a: View<'a>,
    /// `[out, r]`
    pub(crate) b: View<'a>,
    pub(crate) r: usize,
    pub(crate) scale: f64,
    pub(crate) dropout: Option<&'a Rows>,
}

impl Adapter<'_> {
    fn mask<'h>(&self, held: Option<&'h Held<'_>>) -> Result<Option<DropoutArgs<View<'h>>>> {
        let (Some(dropout), Some(held)) = (self.dropout, held) else { return Ok(None) };
        let Rows { key, threshold, keep, .. } = *dropout;
        Ok(Some(DropoutArgs { rows: held.view()?, key, threshold, keep }))
    }

    fn held(&self) -> Option<Held<'_>> {
        self.dropout.map(|dropout| Held::new(&dropout.counters))
    }
}

/// Adds `scale * (drop(x) A^T) B^T` to `y` `[T, out]`, which must be nobody else's.
pub(crate) fn lora(
    x: &CudaStorage,
    layout: &Layout,
    adapter: &Adapter<'_>,
    (y, out): (&CudaStorage, usize),
) -> Result<()> {
    let (tokens, width) = layout.shape().dims2()?;
    let (device, r) = (x.device(), adapter.r);
    let (x, held) = (View::new(x, layout)?, adapter.held());
    let u = empty(device, DType::F32, tokens * r)?;
    let buffers = [x, adapter.a, View::whole(&u)];
    let low = Low { tokens, width, r, transposed: false };
    let drop = adapter.mask(held.as_ref())?;
    run(device, launch::lora_down(x.kind()?, buffers, low, adapter.scale, drop))?;
    let low = Low { tokens, width: out, r, transposed: true };
    let buffers = [View::whole(&u), adapter.b, View::whole(y)];
    run(device, launch::lora_up(x.kind()?, buffers, low, None))
}

/// The gradients of `A` and `B`; that of the input is added to `dx`, which must be nobody else's.
///
/// With `z = drop(x)`, `u = scale * z A^T` and `t = scale * dy B`: `dA = t^T z`, `dB = dy^T u`, `dx += drop(t A)`.
pub(crate) fn lora_backward(
    x: &Tensor,
    adapter: &Adapter<'_>,
    dy: &Tensor,
    dx: Option<&Tensor>,
) -> Result<[Tensor; 2]> {
    let ((tokens, input), (_, out)) = (x.dims2()?, dy.dims2()?);
    let (device, r, scale) = (x.device().as_cuda_device()?, adapter.r, adapter.scale);
    let rows = adapter.held();
    let (x, dy) = (Held::new(x), Held::new(dy));
    let (x, dy) = (x.view()?, dy.view()?);
    let kind = x.kind()?;
    let on_input = Low { tokens, width: input, r, transposed: false };
    let on_output = Low { tokens, width: out, r, transposed: true };
    let (t, u) = (empty(device, DType::F32, tokens * r)?, empty(device, DType::F32, tokens * r)?);
    let (t, u) = (View::whole(&t), View::whole(&u));
    run(device, launch::lora_down(kind, [dy, adapter.b, t], on_output, scale, None))?;
    let mask = || adapter.mask(rows.as_ref());
    run(device, launch::lora_down(kind, [x, adapter.a, u], on_input, scale, mask()?))?;
    if let Some(dx) = dx {
        let dx = Held::new(dx);
        run(device, launch::lora_up(kind, [t, adapter.a, dx.view()?], on_input, mask()?))?;
    }
    let gradient = |small, wide, low: Low, drop| {
        let (count, shares) = (r * low.width, low.shares());
        let parts = empty(device, DType::F32, shares * count)?;
        run(device, launch::lora_gradient(kind, [small, wide, View::whole(&parts)], low, drop))?;
        sum(device, parts, count, shares)
    };
    let da = tensor(gradient(t, x, on_input, mask()?)?, (r, input));
    let db = tensor(gradient(u, dy, on_output, None)?, (out, r));
    Ok([da, db])
}

fn sum(
    device: &CudaDevice,
    parts: CudaStorage,
    count: usize,
    shares: usize,
) -> Result<CudaStorage> {
    if shares == 1 {
        return Ok(parts);
    }
    let sum = empty(device, DType::F32, count)?;
    let buffers = [View::whole(&parts), View::whole(&sum)];
    run(device, launch::sum_of_parts(buffers, count, shares))?;
    Ok(sum)
}
