//! Operations on rows: norm, rotation, activation, loss.

use candle_core::{CudaStorage, DType, Layout, Result, Shape, Tensor, backend::BackendStorage};

use super::{Held, View, empty, run, tensor};
use crate::launch;

/// Rows and their width.
fn rows(shape: &Shape) -> (usize, usize) {
    let width = shape.dims().last().copied().unwrap_or(1);
    (shape.elem_count() / width.max(1), width)
}

/// The other tensors have been checked: `weight` is `[width]`.
pub(crate) fn rms_norm(
    x: &CudaStorage,
    layout: &Layout,
    weight: &Tensor,
    eps: f64,
) -> Result<(CudaStorage, Shape)> {
    let (count, width) = rows(layout.shape());
    let y = empty(x.device(), x.dtype(), count * width)?;
    let (x_view, weight) = (View::new(x, layout)?, Held::new(weight));
    let buffers = [x_view, weight.view()?, View::whole(&y)];
    run(x.device(), launch::rms_norm(x_view.kind()?, buffers, count, width, eps))?;
    Ok((y, layout.shape().clone()))
}

pub(crate) fn rms_norm_backward(
    x: &Tensor,
    weight: &Tensor,
    eps: f64,
    dy: &Tensor,
) -> Result<Tensor> {
    let (count, width) = rows(x.shape());
    let device = x.device().as_cuda_device()?;
    let dx = empty(device, x.dtype(), count * width)?;
    let held = [x, weight, dy].map(Held::new);
    let [x_view, weight, dy] = [held[0].view()?, held[1].view()?, held[2].view()?];
    let buffers = [x_view, weight, dy, View::whole(&dx)];
    run(device, launch::rms_norm_backward(x_view.kind()?, buffers, count, width, eps))?;
    Ok(tensor(dx, x.shape()))
}

/// `turn` is 1 forward and -1 back; `x` is `[T, H, head_dim]`, the angles `[T, head_dim / 2]`.
fn turned(x: View<'_>, shape: &Shape, angles: [&Tensor; 2], turn: f32) -> Result<CudaStorage> {
    let (tokens, heads, head_dim) = shape.dims3()?;
    let device = x.storage.device();
    let y = empty(device, x.storage.dtype(), shape.elem_count())?;
    let [cos, sin] = angles.map(Held::new);
    let buffers = [x, cos.view()?, sin.view()?, View::whole(&y)];
    run(device, launch::rope(x.kind()?, buffers, tokens, heads, head_dim / 2, turn))?;
    Ok(y)
}

pub(crate) fn rope(
    x: &CudaStorage,
    layout: &Layout,
    angles: [&Tensor; 2],
) -> Result<(CudaStorage, Shape)> {
    let y = turned(View::new(x, layout)?, layout.shape(), angles, 1.0)?;
    Ok((y, layout.shape().clone()))
}

/// The gradient: a rotation back.
pub(crate) fn rope_back(dy: &Tensor, angles: [&Tensor; 2]) -> Result<Tensor> {
    let held = Held::new(dy);
    Ok(tensor(turned(held.view()?, dy.shape(), angles, -1.0)?, dy.shape()))
}

pub(crate) fn swiglu(
    (gate, gate_layout): (&CudaStorage, &Layout),
    (up, up_layout): (&CudaStorage, &Layout),
) -> Result<(CudaStorage, Shape)> {
    let shape = gate_layout.shape();
    let y = empty(gate.device(), gate.dtype(), shape.elem_count())?;
    let view = View::new(gate, gate_layout)?;
    let buffers = [view, View::new(up, up_layout)?, View::whole(&y)];
    run(gate.device(), launch::swiglu(view.kind()?, buffers, shape.elem_count()))?;
    Ok((y, shape.clone()))
}

/// Gradients of the gate and of its partner.
pub(crate) fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let (device, count) = (gate.device().as_cuda_device()?, gate.elem_count());
    let dgate = empty(device, gate.dtype(), count)?;
    let dup = empty(device, gate.dtype(), count)?;
    let held = [gate, up, dy].map(Held::new);
    let view = held[0].view()?;
    let buffers = [view, held[1].view()?, held[2].view()?, View::whole(&dgate), View::whole(&dup)];
    run(device, launch::swiglu_backward(view.kind()?, buffers, count))?;
    Ok([tensor(dgate, gate.shape()), tensor(dup, gate.shape())])
}

/// The losses of the rows, f32 `[n]`. Where the gradient is asked for, `logits` `[n, V]`, which must be nobody else's,
/// become it.
pub(crate) fn cross_entropy(
    logits: &Tensor,
    labels: &[u32],
    with_gradient: bool,
) -> Result<Tensor> {
    let (count, vocab) = logits.dims2()?;
    let device = logits.device().as_cuda_device()?;
    let labels = Tensor::new(labels, logits.device())?;
    let nll = empty(device, DType::F32, count)?;
    {
        let (logits, labels) = (Held::new(logits), Held::new(&labels));
        let view = logits.view()?;
        let buffers = [view, labels.view()?, View::whole(&nll)];
        run(device, launch::cross_entropy(view.kind()?, buffers, count, vocab, with_gradient))?;
    }
    Ok(tensor(nll, count))
}
