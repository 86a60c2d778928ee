//! One decoder block, forward and backward.

use candle_core::Tensor;
use sft_kernels::{
    AttentionSpec,
    cpu::{self, AttentionShape, Buffer, Locked, Turn},
};

use super::{
    linear::To,
    span::{Pass, Queries},
};
use crate::{
    Gradients, Result,
    block::Block,
    modules::{DOWN, GATE, K, O, Q, UP, V},
    projection::Projection,
};

/// What a block's backward pass reads, beside its input. What is cheap to compute again (the
/// normalised inputs, the gated activation, the scores) is not here.
pub(super) struct Kept {
    /// Rotated queries and keys, and values.
    q: Buffer,
    k: Buffer,
    v: Buffer,
    /// Queries and keys before their normalisation, where there is one.
    raw: Option<[Buffer; 2]>,
    attended: Buffer,
    /// The residual stream between attention and feed-forward.
    mid: Buffer,
    gate: Buffer,
    up: Buffer,
    /// The narrow product of each adapter.
    narrow: [Option<Buffer>; 7],
}

impl Block {
    /// Everything up to the gate and the input of the feed-forward layer. `x` is `[T, D]`.
    pub(super) fn host_kept(
        &self,
        x: &[f32],
        queries: Queries<'_>,
        pass: &Pass<'_>,
        attend: impl FnOnce(&AttentionArgs<'_>, &mut [f32]) -> Result<()>,
    ) -> Result<Kept> {
        let (buffers, t, n) = (pass.buffers, pass.all.len(), queries.span.len());
        let mut narrow = [const { None }; 7];
        let mut project = |i: usize, x: &[f32], t: usize, mode| {
            let projection = self.projections()[i];
            let mut y = buffers.take(t, projection.weight().out_features());
            narrow[i] = projection.host_forward(x, t, mode, To::Fresh, &mut y, buffers)?;
            Result::Ok(y)
        };
        let mode = pass.mode_of(queries.span);

        let width = x.len() / t;
        let mut h = buffers.take(t, width);
        normed(&self.input_norm, x, self.eps, &mut h)?;
        let mut k = project(K, &h, t, pass.mode)?;
        let v = project(V, &h, t, pass.mode)?;
        let mut q = match queries.picked {
            None => project(Q, &h, t, pass.mode)?,
            Some(rows) => {
                let mut picked = buffers.take(n, width);
                cpu::gather(&h, width, rows, &mut picked);
                project(Q, &picked, n, mode)?
            }
        };
        drop(h);

        let mut raw = None;
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            let before = [buffers.copy(&q, q.len() / n.max(1)), buffers.copy(&k, k.len() / t)];
            normed(q_norm, &before[0], self.eps, &mut q)?;
            normed(k_norm, &before[1], self.eps, &mut k)?;
            raw = Some(before);
        }
        let (q_width, k_width) = (q.len() / n.max(1), k.len() / t);
        cpu::rope(&mut q, &queries.span.cos, &queries.span.sin, q_width, Turn::Forward);
        cpu::rope(&mut k, &pass.all.cos, &pass.all.sin, k_width, Turn::Forward);

        let mut attended = buffers.take(n, q_width);
        attend(&AttentionArgs { block: self, queries, q: &q, k: &k, v: &v, pass }, &mut attended)?;

        let mut mid = buffers.take(n, width);
        match queries.picked {
            Some(rows) => cpu::gather(x, width, rows, &mut mid),
            None => cpu::copy(x, &mut mid),
        }
        let mut h = buffers.take(n, width);
        narrow[O] = self.o.host_forward(&attended, n, mode, To::Existing, &mut mid, buffers)?;
        normed(&self.post_attention_norm, &mid, self.eps, &mut h)?;
        let mut project = |i: usize| {
            let projection = self.projections()[i];
            let mut y = buffers.take(n, projection.weight().out_features());
            narrow[i] = projection.host_forward(&h, n, mode, To::Fresh, &mut y, buffers)?;
            Result::Ok(y)
        };
        let (gate, up) = (project(GATE)?, project(UP)?);
        Ok(Kept { q, k, v, raw, attended, mid, gate, up, narrow })
    }

    /// The block's result, `[queries, D]`.
    pub(super) fn host_finish(
        &self,
        kept: &mut Kept,
        queries: Queries<'_>,
        pass: &Pass<'_>,
    ) -> Result<Buffer> {
        let (buffers, n) = (pass.buffers, queries.span.len());
        let mode = pass.mode_of(queries.span);
        let mut inner = buffers.take(n, self.down.weight().in_features());
        cpu::swiglu(&kept.gate, &kept.up, &mut inner);
        let mut y = buffers.copy(&kept.mid, self.down.weight().out_features());
        kept.narrow[DOWN] =
            self.down.host_forward(&inner, n, mode, To::Existing, &mut y, buffers)?;
        Ok(y)
    }

    /// The gradients of `sum(y . dy)` for the input `x` `[T, D]`: those of the adapters are added to
    /// `grads`, that of the input is returned if `need_dx`.
    #[allow(clippy::too_many_arguments)] // what the forward pass had, and its gradient
    pub(super) fn host_backward(
        &self,
        mut dy: Buffer,
        x: &[f32],
        kept: Kept,
        queries: Queries<'_>,
        pass: &Pass<'_>,
        need_dx: bool,
        grads: &mut Gradients,
    ) -> Result<Option<Buffer>> {
        let (buffers, t, n) = (pass.buffers, pass.all.len(), queries.span.len());
        let mode = pass.mode_of(queries.span);
        let (width, inner_width) = (x.len() / t, self.down.weight().in_features());
        let Kept { mut q, mut k, v, raw, attended, mid, mut gate, mut up, mut narrow } = kept;

        // Feed-forward: from here on `dy` is the gradient of the result and of the residual stream.
        let mut dinner = buffers.take(n, inner_width);
        {
            let mut inner = buffers.take(n, inner_width);
            cpu::swiglu(&gate, &up, &mut inner);
            if narrow[DOWN].is_none() {
                narrow[DOWN] = self.down.host_down(&inner, n, mode, buffers)?;
            }
            let (down, dx) = (narrow[DOWN].as_ref(), Some((To::Fresh, &mut dinner[..])));
            self.down.host_backward(&dy, &inner, down, n, mode, dx, grads, buffers)?;
        }
        cpu::swiglu_backward(&mut gate, &mut up, &dinner);
        drop(dinner);
        let (dgate, dup) = (gate, up);
        let mut h = buffers.take(n, width);
        normed(&self.post_attention_norm, &mid, self.eps, &mut h)?;
        let mut dh = buffers.take(n, width);
        for (i, projection, dy, to) in
            [(GATE, &self.gate, &dgate, To::Fresh), (UP, &self.up, &dup, To::Existing)]
        {
            let dx = Some((to, &mut dh[..]));
            projection.host_backward(dy, &h, narrow[i].as_ref(), n, mode, dx, grads, buffers)?;
        }
        drop((dgate, dup, h));
        normed_backward(&self.post_attention_norm, &mid, self.eps, &dh, &mut dy)?;
        drop((mid, dh));

        // Attention.
        let (q_width, k_width) = (q.len() / n.max(1), k.len() / t);
        let mut dattended = buffers.take(n, q_width);
        let dx = Some((To::Fresh, &mut dattended[..]));
        self.o.host_backward(&dy, &attended, narrow[O].as_ref(), n, mode, dx, grads, buffers)?;
        drop(attended);
        let mut dq = buffers.take(n, q_width);
        let [mut dk, mut dv] = [buffers.take(t, k_width), buffers.take(t, k_width)];
        let shape = self.attention_shape(queries, pass)?;
        cpu::attention_backward(&shape, [&q, &k, &v], &dattended, [&mut dq, &mut dk, &mut dv])?;
        drop((dattended, v));
        cpu::rope(&mut dq, &queries.span.cos, &queries.span.sin, q_width, Turn::Back);
        cpu::rope(&mut dk, &pass.all.cos, &pass.all.sin, k_width, Turn::Back);
        if let (Some([q_norm, k_norm]), Some([q_raw, k_raw])) = (&self.qk_norm, &raw) {
            for (norm, raw, gradient, turned) in
                [(q_norm, q_raw, &mut dq, &mut q), (k_norm, k_raw, &mut dk, &mut k)]
            {
                turned.fill(0.0); // its memory takes the gradient
                normed_backward(norm, raw, self.eps, gradient, turned)?;
                std::mem::swap(gradient, turned);
            }
        }
        drop((q, k, raw));

        let mut h = buffers.take(t, width);
        normed(&self.input_norm, x, self.eps, &mut h)?;
        let mut dh = if need_dx { Some(buffers.take(t, width)) } else { None };
        for (i, projection, dy, to) in
            [(K, &self.k, &dk, To::Fresh), (V, &self.v, &dv, To::Existing)]
        {
            let dx = dh.as_mut().map(|dh| (to, &mut dh[..]));
            let narrow = narrow[i].as_ref();
            projection.host_backward(dy, &h, narrow, t, pass.mode, dx, grads, buffers)?;
        }
        let down = narrow[Q].as_ref();
        match queries.picked {
            None => {
                let dx = dh.as_mut().map(|dh| (To::Existing, &mut dh[..]));
                self.q.host_backward(&dq, &h, down, t, pass.mode, dx, grads, buffers)?;
            }
            Some(rows) => {
                let mut picked = buffers.take(n, width);
                cpu::gather(&h, width, rows, &mut picked);
                let mut dpicked = if need_dx { Some(buffers.take(n, width)) } else { None };
                let dx = dpicked.as_mut().map(|dx| (To::Fresh, &mut dx[..]));
                self.q.host_backward(&dq, &picked, down, n, mode, dx, grads, buffers)?;
                if let (Some(dpicked), Some(dh)) = (&dpicked, &mut dh) {
                    cpu::scatter_add(dpicked, width, rows, dh);
                }
            }
        }
        drop(h);
        let Some(dh) = dh else { return Ok(None) };
        let mut dx = match queries.picked {
            None => dy,
            Some(rows) => {
                let mut dx = buffers.zeros(t, width);
                cpu::scatter_add(&dy, width, rows, &mut dx);
                dx
            }
        };
        normed_backward(&self.input_norm, x, self.eps, &dh, &mut dx)?;
        Ok(Some(dx))
    }

    fn attention_shape(&self, queries: Queries<'_>, pass: &Pass<'_>) -> Result<AttentionShape> {
        let heads = |projection: &Projection| projection.weight().out_features() / self.head_dim;
        let spec = AttentionSpec {
            cu_seqlens_q: &queries.span.cu_seqlens,
            cu_seqlens_k: &pass.all.cu_seqlens,
            sliding_window: self.sliding_window,
        };
        Ok(AttentionShape::new(heads(&self.q), heads(&self.k), self.head_dim, &spec)?)
    }
}

/// Rotated queries and keys, and values, of one block.
pub(super) struct AttentionArgs<'a> {
    pub(super) block: &'a Block,
    pub(super) queries: Queries<'a>,
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) pass: &'a Pass<'a>,
}

/// Attention among the rows of the batch.
pub(super) fn among_rows(args: &AttentionArgs<'_>, out: &mut [f32]) -> Result<()> {
    let shape = args.block.attention_shape(args.queries, args.pass)?;
    Ok(cpu::attention(&shape, [args.q, args.k, args.v], out)?)
}

pub(super) fn normed(weight: &Tensor, x: &[f32], eps: f64, y: &mut [f32]) -> Result<()> {
    cpu::rms_norm(x, Locked::new(weight).values()?, eps, y);
    Ok(())
}

/// Adds the gradient of `x` to `dx`.
pub(super) fn normed_backward(
    weight: &Tensor,
    x: &[f32],
    eps: f64,
    dy: &[f32],
    dx: &mut [f32],
) -> Result<()> {
    cpu::rms_norm_backward(x, Locked::new(weight).values()?, eps, dy, dx);
    Ok(())
}
