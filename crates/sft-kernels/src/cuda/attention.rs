//! Causal attention over packed sequences.

use candle_core::{
    CudaDevice, CudaStorage, D, DType, Layout, Result, Shape, Tensor, backend::BackendStorage,
};

use super::{Held, View, empty, run, takes, tensor, uploads::uploaded};
use crate::{
    cpu::AttentionShape,
    launch::{self, Borders, MOST_HEAD_DIM},
};

/// Whether the kernels take these queries, keys and values.
pub(crate) fn attention_takes(tensors: &[&Tensor]) -> bool {
    let fits = |tensor: &&Tensor| tensor.dim(D::Minus1).is_ok_and(|dim| dim <= MOST_HEAD_DIM);
    takes(tensors) && tensors.iter().all(fits)
}

/// What the backward pass needs besides the inputs and the result.
#[derive(Debug)]
pub(crate) struct Attended {
    /// Log of each query's sum of exponentials, f32 `[Tq, heads]`.
    lse: Tensor,
    /// `cu_seqlens` of the queries and of the keys.
    borders: [Tensor; 2],
}

/// The layouts' shapes are those of `shape`.
pub(crate) fn attention(
    shape: &AttentionShape,
    [(q, q_layout), (k, k_layout), (v, v_layout)]: [(&CudaStorage, &Layout); 3],
) -> Result<(CudaStorage, Shape, Attended)> {
    let device = q.device();
    let out = empty(device, q.dtype(), q_layout.shape().elem_count())?;
    let (tokens, heads, _) = q_layout.shape().dims3()?;
    let lse = empty(device, DType::F32, tokens * heads)?;
    let borders = upload(shape, device)?;
    {
        let [cu_q, cu_k] = borders.each_ref().map(Held::new);
        let view = View::new(q, q_layout)?;
        let buffers = [
            view,
            View::new(k, k_layout)?,
            View::new(v, v_layout)?,
            View::whole(&out),
            View::whole(&lse),
        ];
        let borders = Borders { q: cu_q.view()?, k: cu_k.view()? };
        run(device, launch::attention(view.kind()?, buffers, borders, shape))?;
    }
    let lse = tensor(lse, (tokens, heads));
    Ok((out, q_layout.shape().clone(), Attended { lse, borders }))
}

fn upload(shape: &AttentionShape, device: &CudaDevice) -> Result<[Tensor; 2]> {
    let device = candle_core::Device::Cuda(device.clone());
    let [q, k] = shape.borders();
    Ok([uploaded(q, &device)?, uploaded(k, &device)?])
}

/// Gradients of queries, keys and values.
pub(crate) fn attention_backward(
    shape: &AttentionShape,
    inputs: [&Tensor; 3],
    out: &Tensor,
    dout: &Tensor,
    attended: &Attended,
) -> Result<[Tensor; 3]> {
    let [q, k, _] = inputs;
    let device = q.device().as_cuda_device()?;
    let (tokens, heads, head_dim) = q.dims3()?;
    let delta = empty(device, DType::F32, tokens * heads)?;
    let dq = empty(device, q.dtype(), q.elem_count())?;
    let dk = empty(device, q.dtype(), k.elem_count())?;
    let dv = empty(device, q.dtype(), k.elem_count())?;
    {
        let held = inputs.map(Held::new);
        let [q, k, v] = [held[0].view()?, held[1].view()?, held[2].view()?];
        let (out, dout, lse) = (Held::new(out), Held::new(dout), Held::new(&attended.lse));
        let [cu_q, cu_k] = attended.borders.each_ref().map(Held::new);
        let (kind, borders) = (q.kind()?, Borders { q: cu_q.view()?, k: cu_k.view()? });
        let (dout, lse, delta) = (dout.view()?, lse.view()?, View::whole(&delta));
        let rows = tokens * heads;
        run(device, launch::attention_delta(kind, [out.view()?, dout, delta], rows, head_dim))?;
        let buffers = [q, k, v, dout, lse, delta, View::whole(&dq)];
        run(device, launch::attention_dq(kind, buffers, borders, shape))?;
        let buffers = [q, k, v, dout, lse, delta, View::whole(&dk), View::whole(&dv)];
        run(device, launch::attention_dkv(kind, buffers, borders, shape))?;
    }
    Ok([tensor(dq, q.shape()), tensor(dk, k.shape()), tensor(dv, k.shape())])
}
