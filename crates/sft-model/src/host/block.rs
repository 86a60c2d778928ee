//! One decoder block, forward and backward.

use candle_core::Tensor;
use half::bf16;
use sft_kernels::{
    AttentionSpec,
    cpu::{self, AttentionShape, Buffer, Locked, Turn},
};

use super::{
    linear::{self, To},
    span::{Pass, Queries},
};
use crate::{
    Gradients, ModelError, Result,
    block::Block,
    modules::{DOWN, GATE, K, O, Q, UP, V},
    projection::Projection,
};

/// A matrix that waits for the backward pass.
pub(super) enum Waiting {
    Whole(Buffer),
    Rounded(Buffer<bf16>),
}

impl Waiting {
    fn round(self) -> Self {
        match self {
            Self::Whole(buffer) => Self::Rounded(buffer.rounded()),
            Self::Rounded(buffer) => Self::Rounded(buffer),
        }
    }

    fn open(self) -> Buffer {
        match self {
            Self::Whole(buffer) => buffer,
            Self::Rounded(buffer) => buffer.widened(),
        }
    }
}

/// What a block's backward pass reads, beside its input. What is cheap to compute again (the
/// normalised inputs, the gated activation, the scores and what attention makes of them) is not here.
pub(super) struct Kept {
    /// Rotated queries and keys, and values.
    q: Waiting,
    k: Waiting,
    v: Waiting,
    /// Queries and keys before their normalisation, where there is one.
    raw: Option<[Waiting; 2]>,
    /// The residual stream between attention and feed-forward.
    mid: Buffer,
    gate: Waiting,
    up: Waiting,
    /// The narrow product of each adapter.
    narrow: [Option<Buffer>; 7],
}

impl Kept {
    /// The same in half of the memory, but for the residual stream: as bf16.
    pub(super) fn rounded(self) -> Self {
        Self {
            q: self.q.round(),
            k: self.k.round(),
            v: self.v.round(),
            raw: self.raw.map(|raw| raw.map(Waiting::round)),
            gate: self.gate.round(),
            up: self.up.round(),
            ..self
        }
    }

    /// Gate and input of the feed-forward layer, as the forward pass made them.
    fn feed_forward(&self) -> Result<[&Buffer; 2]> {
        match (&self.gate, &self.up) {
            (Waiting::Whole(gate), Waiting::Whole(up)) => Ok([gate, up]),
            _ => Err(ModelError::State("a block is finished before it is put away")),
        }
    }
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
        let mut project = |i: &[usize], x: &[f32], t: usize, mode| {
            let projections = self.projections();
            let width = |&i: &usize| projections[i].weight().out_features();
            let mut made: Vec<_> = i.iter().map(|i| buffers.take(t, width(i))).collect();
            let layers =
                i.iter().zip(&mut made).map(|(&i, y)| (projections[i], To::Fresh, &mut y[..]));
            let downs = linear::forward(x, t, layers.collect(), mode, buffers)?;
            for (&i, down) in i.iter().zip(downs) {
                narrow[i] = down;
            }
            Result::Ok(made)
        };
        let mode = pass.mode_of(queries.span);

        let width = x.len() / t;
        let mut h = buffers.take(t, width);
        normed(&self.input_norm, x, self.eps, &mut h)?;
        let [mut q, mut k, v] = match queries.picked {
            None => array(project(&[Q, K, V], &h, t, pass.mode)?),
            Some(rows) => {
                let mut made = project(&[K, V], &h, t, pass.mode)?;
                let mut picked = buffers.take(n, width);
                cpu::gather(&h, width, rows, &mut picked);
                made.splice(0..0, project(&[Q], &picked, n, mode)?);
                array(made)
            }
        };
        drop(h);

        let mut raw = None;
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            let before = [buffers.copy(&q, q.len() / n.max(1)), buffers.copy(&k, k.len() / t)];
            normed(q_norm, &before[0], self.eps, &mut q)?;
            normed(k_norm, &before[1], self.eps, &mut k)?;
            raw = Some(before.map(Waiting::Whole));
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
        let o = vec![(&self.o, To::Existing, &mut mid[..])];
        let down = linear::forward(&attended, n, o, mode, buffers)?.pop().flatten();
        drop(attended);
        normed(&self.post_attention_norm, &mid, self.eps, &mut h)?;
        let made = project(&[GATE, UP], &h, n, mode)?;
        narrow[O] = down;
        let [gate, up] = array(made).map(Waiting::Whole);
        let [q, k, v] = [q, k, v].map(Waiting::Whole);
        Ok(Kept { q, k, v, raw, mid, gate, up, narrow })
    }

    /// The block's result, `[queries, D]`. With `round`, gate and input of the feed-forward layer are
    /// rounded meanwhile, as [`Kept::rounded`] would.
    pub(super) fn host_finish(
        &self,
        kept: &mut Kept,
        queries: Queries<'_>,
        pass: &Pass<'_>,
        round: bool,
    ) -> Result<Buffer> {
        let (buffers, n) = (pass.buffers, queries.span.len());
        let mode = pass.mode_of(queries.span);
        let width = self.down.weight().in_features();
        let mut inner = buffers.take(n, width);
        let [gate, up] = kept.feed_forward()?;
        if round {
            let [mut half_gate, mut half_up] = [buffers.take(n, width), buffers.take(n, width)];
            cpu::swiglu_rounding(gate, up, &mut inner, [&mut half_gate, &mut half_up]);
            (kept.gate, kept.up) = (Waiting::Rounded(half_gate), Waiting::Rounded(half_up));
        } else {
            cpu::swiglu(gate, up, &mut inner);
        }
        let mut y = buffers.copy(&kept.mid, self.down.weight().out_features());
        let down = vec![(&self.down, To::Existing, &mut y[..])];
        kept.narrow[DOWN] = linear::forward(&inner, n, down, mode, buffers)?.pop().flatten();
        Ok(y)
    }

    /// What [`Self::host_finish`] adds to what is kept, without the block's result: for a block that is
    /// computed again. It comes before [`Kept::rounded`], as there.
    pub(super) fn host_narrow(
        &self,
        kept: &mut Kept,
        queries: Queries<'_>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let (buffers, n) = (pass.buffers, queries.span.len());
        let [gate, up] = kept.feed_forward()?;
        let mut inner = buffers.take(n, self.down.weight().in_features());
        cpu::swiglu(gate, up, &mut inner);
        let mode = pass.mode_of(queries.span);
        kept.narrow[DOWN] = linear::narrow(&inner, n, &self.down, mode, buffers)?;
        Ok(())
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
        let Kept { q, k, v, raw, mid, gate: gate_kept, up: up_kept, narrow } = kept;

        // Feed-forward: from here on `dy` is the gradient of the result and of the residual stream.
        let mut dinner = buffers.take(n, inner_width);
        let (mut gate, mut up);
        {
            let mut inner = buffers.take(n, inner_width);
            match (gate_kept, up_kept) {
                (Waiting::Rounded(gate_half), Waiting::Rounded(up_half)) => {
                    (gate, up) = (buffers.take(n, inner_width), buffers.take(n, inner_width));
                    let halves = [&gate_half[..], &up_half[..]];
                    cpu::swiglu_widening(halves, &mut gate, &mut up, &mut inner);
                }
                (gate_kept, up_kept) => {
                    (gate, up) = (gate_kept.open(), up_kept.open());
                    cpu::swiglu(&gate, &up, &mut inner);
                }
            }
            let down = [(&self.down, &dy[..], narrow[DOWN].as_ref())];
            let dx = Some((To::Fresh, &mut dinner[..]));
            linear::backward(&inner, n, &down, mode, dx, grads, buffers)?;
        }
        cpu::swiglu_backward(&mut gate, &mut up, &dinner);
        drop(dinner);
        let (dgate, dup) = (gate, up);
        let mut h = buffers.take(n, width);
        normed(&self.post_attention_norm, &mid, self.eps, &mut h)?;
        let mut dh = buffers.take(n, width);
        let layers = [
            (&self.gate, &dgate[..], narrow[GATE].as_ref()),
            (&self.up, &dup[..], narrow[UP].as_ref()),
        ];
        linear::backward(&h, n, &layers, mode, Some((To::Fresh, &mut dh[..])), grads, buffers)?;
        drop((dgate, dup, h));
        normed_backward(&self.post_attention_norm, &mid, self.eps, &dh, &mut dy)?;
        drop((mid, dh));

        // Attention.
        let [mut q, mut k, v] = [q, k, v].map(Waiting::open);
        let (q_width, k_width) = (q.len() / n.max(1), k.len() / t);
        let mut dattended = buffers.take(n, q_width);
        let dx = Some((To::Fresh, &mut dattended[..]));
        let o = [(&self.o, &dy[..], narrow[O].as_ref())];
        let o_narrow = linear::backward_input(n, &o, mode, dx, buffers)?;
        let mut dq = buffers.take(n, q_width);
        let [mut dk, mut dv] = [buffers.take(t, k_width), buffers.take(t, k_width)];
        let shape = self.attention_shape(queries, pass)?;
        // The input of the output layer was not kept: it comes with the scores.
        let mut attended = self.o.lora().is_some().then(|| buffers.take(n, q_width));
        let gradients = [&mut dq[..], &mut dk[..], &mut dv[..]];
        let out = attended.as_deref_mut();
        cpu::attention_backward(&shape, [&q, &k, &v], &dattended, gradients, out)?;
        if let Some(attended) = attended {
            linear::backward_adapters(&attended, n, &[&self.o], o_narrow, mode, grads, buffers)?;
        }
        drop((dattended, v));
        cpu::rope(&mut dq, &queries.span.cos, &queries.span.sin, q_width, Turn::Back);
        cpu::rope(&mut dk, &pass.all.cos, &pass.all.sin, k_width, Turn::Back);
        if let (Some([q_norm, k_norm]), Some(raw)) = (&self.qk_norm, raw) {
            let [q_raw, k_raw] = raw.map(Waiting::open);
            for (norm, raw, gradient, turned) in
                [(q_norm, &q_raw, &mut dq, &mut q), (k_norm, &k_raw, &mut dk, &mut k)]
            {
                turned.fill(0.0); // its memory takes the gradient
                normed_backward(norm, raw, self.eps, gradient, turned)?;
                std::mem::swap(gradient, turned);
            }
        }
        drop((q, k));

        let mut h = buffers.take(t, width);
        normed(&self.input_norm, x, self.eps, &mut h)?;
        let mut dh = if need_dx { Some(buffers.take(t, width)) } else { None };
        let q = (&self.q, &dq[..], narrow[Q].as_ref());
        let k = (&self.k, &dk[..], narrow[K].as_ref());
        let v = (&self.v, &dv[..], narrow[V].as_ref());
        let dx = dh.as_mut().map(|dh| (To::Fresh, &mut dh[..]));
        match queries.picked {
            None => linear::backward(&h, t, &[k, v, q], pass.mode, dx, grads, buffers)?,
            Some(rows) => {
                linear::backward(&h, t, &[k, v], pass.mode, dx, grads, buffers)?;
                let mut picked = buffers.take(n, width);
                cpu::gather(&h, width, rows, &mut picked);
                let mut dpicked = if need_dx { Some(buffers.take(n, width)) } else { None };
                let dx = dpicked.as_mut().map(|dx| (To::Fresh, &mut dx[..]));
                linear::backward(&picked, n, &[q], mode, dx, grads, buffers)?;
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

/// The results of `N` layers.
fn array<const N: usize>(made: Vec<Buffer>) -> [Buffer; N] {
    made.try_into().unwrap_or_else(|_| unreachable!("one for each layer that was named"))
}
