//! The passes by hand on tensors, for devices whose operations have a backward of their own.
//!
//! No graph is recorded: what a block keeps is what its backward pass reads, and what is cheap to compute again (the normalised
//! inputs, the gated activation) is not kept. Candle's autograd would keep every intermediate, and add a tensor of zeros to each
//! first gradient.

use candle_core::{DType, Device, Tensor};
use sft_kernels::{
    Attended, AttentionSpec, has_backward, linear_cross_entropy, rms_norm, rms_norm_backward, rope,
    rope_backward, swiglu, swiglu_backward,
};

use crate::{
    Decoder, Gradients, LossSum, ModelConfig, ModelError, Result, TrainPass,
    block::{Block, Context},
    projection::Projection,
};

/// What a block's backward pass reads, beside its input.
pub(crate) struct Kept {
    /// Queries and keys before their normalisation, where there is one.
    raw: Option<[Tensor; 2]>,
    /// Rotated queries and keys, values, and what became of them.
    attended: Attended,
    /// The residual stream between attention and feed-forward, `[T, D]`.
    mid: Tensor,
    gate: Tensor,
    up: Tensor,
}

/// Whether these passes compute a model of this shape on this device, with activations of `dtype`.
pub(crate) fn takes(device: &Device, config: &ModelConfig, dtype: DType) -> bool {
    let heads = [config.num_attention_heads, config.num_key_value_heads];
    let [queries, keys] = heads.map(|heads| heads * config.head_dim);
    let widths = [config.hidden_size, config.intermediate_size, queries, keys];
    has_backward(device, dtype, &widths, config.head_dim)
}

impl Decoder {
    /// The chain from the first adapted block on, forward and backward; `x` `[T, D]` is the first one's input.
    pub(crate) fn chain_on_tensors(
        &self,
        mut x: Tensor,
        chain: &[Block],
        ctx: &Context<'_>,
        targets: &[(u32, u32)],
        pass: &TrainPass,
        grads: &mut Gradients,
    ) -> Result<LossSum> {
        let mut saved = Vec::with_capacity(chain.len());
        for (index, block) in chain.iter().enumerate() {
            let kept = block.kept(&x, ctx)?;
            let y = block.finish_untracked(&kept, ctx)?;
            let keep = (!pass.recompute.includes(index)).then_some(kept);
            saved.push((std::mem::replace(&mut x, y), keep));
        }
        let (loss, mut dx) = self.loss_on_tensors(&x, targets)?;
        drop(x);
        for (index, block) in chain.iter().enumerate().rev() {
            let Some((x, kept)) = saved.pop() else { break };
            let kept = match kept {
                Some(kept) => kept,
                None => block.kept(&x, ctx)?,
            };
            match block.backward_on_tensors(dx, &x, kept, ctx, index > 0, grads)? {
                Some(gradient) => dx = gradient,
                None => break,
            }
        }
        Ok(loss)
    }

    /// The loss of the target rows of `hidden` `[T, D]`, and its gradient with respect to `hidden`.
    fn loss_on_tensors(
        &self,
        hidden: &Tensor,
        targets: &[(u32, u32)],
    ) -> Result<(LossSum, Tensor)> {
        let (rows, labels): (Vec<u32>, Vec<u32>) = targets.iter().copied().unzip();
        let picked = self.select(hidden, &rows)?; // [N, D]
        let ce = linear_cross_entropy(&self.normed(&picked)?, &self.head, &labels, true)?;
        let dnormed = ce.dhidden.ok_or(ModelError::State("the head gave no gradient"))?;
        let eps = self.config().rms_norm_eps;
        let dpicked = rms_norm_backward(&picked, &self.final_norm, eps, &dnormed)?;
        let index = Tensor::new(rows, self.device())?;
        let dhidden = hidden.zeros_like()?.index_add(&index, &dpicked, 0)?; // [T, D]
        Ok((LossSum { nll: ce.nll, targets: labels.len() }, dhidden))
    }
}

impl Block {
    /// Everything up to the gate and the input of the feed-forward layer. `x` is `[T, D]`.
    pub(crate) fn kept(&self, x: &Tensor, ctx: &Context<'_>) -> Result<Kept> {
        let project =
            |projection: &Projection, x: &Tensor| projection.forward_untracked(x, ctx.mode);
        let heads = |projection: &Projection, x: &Tensor| {
            let y = project(projection, x)?;
            let (tokens, width) = y.dims2()?;
            y.reshape((tokens, width / self.head_dim, self.head_dim))
        };
        let h = rms_norm(x, &self.input_norm, self.eps)?;
        let (mut q, mut k, v) = (heads(&self.q, &h)?, heads(&self.k, &h)?, heads(&self.v, &h)?);
        drop(h);
        let mut raw = None;
        if let Some([q_norm, k_norm]) = &self.qk_norm {
            let normed = [rms_norm(&q, q_norm, self.eps)?, rms_norm(&k, k_norm, self.eps)?];
            raw = Some([q, k]);
            [q, k] = normed;
        }
        let inputs = [rope(&q, ctx.cos, ctx.sin)?, rope(&k, ctx.cos, ctx.sin)?, v];
        drop((q, k));
        let spec = AttentionSpec {
            cu_seqlens_q: ctx.cu_seqlens,
            cu_seqlens_k: ctx.cu_seqlens,
            sliding_window: self.sliding_window(),
        };
        let attended = Attended::new(inputs, &spec)?;
        let mid = (x + project(&self.o, &attended.out().flatten_from(1)?)?)?;
        let h = rms_norm(&mid, &self.post_attention_norm, self.eps)?;
        let (gate, up) = (project(&self.gate, &h)?, project(&self.up, &h)?);
        Ok(Kept { raw, attended, mid, gate, up })
    }

    /// The block's result, `[T, D]`.
    pub(crate) fn finish_untracked(&self, kept: &Kept, ctx: &Context<'_>) -> Result<Tensor> {
        let inner = swiglu(&kept.gate, &kept.up)?;
        Ok((&kept.mid + self.down.forward_untracked(&inner, ctx.mode)?)?)
    }

    /// The gradients of `sum(y . dy)` for the input `x` `[T, D]`: those of the adapters are added to
    /// `grads`, that of the input is returned if `need_dx`.
    pub(crate) fn backward_on_tensors(
        &self,
        dy: Tensor,
        x: &Tensor,
        kept: Kept,
        ctx: &Context<'_>,
        need_dx: bool,
        grads: &mut Gradients,
    ) -> Result<Option<Tensor>> {
        let Kept { raw, attended, mid, gate, up } = kept;
        let mut back = |layers: &[(&Projection, &Tensor)], x: &Tensor, need_dx: bool| {
            let mut sum: Option<Tensor> = None;
            for (layer, dy) in layers {
                let Some(dx) = layer.backward(x, dy, ctx.mode, need_dx, grads)? else { continue };
                sum = Some(match sum {
                    Some(sum) => (sum + dx)?,
                    None => dx,
                });
            }
            Result::Ok(sum)
        };
        let missing = || ModelError::State("a layer gave no gradient of its input");

        // Feed-forward: then `dmid` is the gradient of the residual stream.
        let inner = swiglu(&gate, &up)?;
        let dinner = back(&[(&self.down, &dy)], &inner, true)?.ok_or_else(missing)?;
        drop(inner);
        let [dgate, dup] = swiglu_backward(&gate, &up, &dinner)?;
        drop((gate, up, dinner));
        let h = rms_norm(&mid, &self.post_attention_norm, self.eps)?;
        let layers = [(&self.gate, &dgate), (&self.up, &dup)];
        let dh = back(&layers, &h, true)?.ok_or_else(missing)?;
        drop((dgate, dup, h));
        let dmid = (dy + rms_norm_backward(&mid, &self.post_attention_norm, self.eps, &dh)?)?;
        drop((mid, dh));

        // Attention.
        let out = attended.out().flatten_from(1)?;
        let dout = back(&[(&self.o, &dmid)], &out, true)?.ok_or_else(missing)?;
        drop(out);
        let [mut dq, mut dk, dv] = attended.backward(&dout.reshape(attended.out().shape())?)?;
        drop((attended, dout));
        dq = rope_backward(&dq, ctx.cos, ctx.sin)?;
        dk = rope_backward(&dk, ctx.cos, ctx.sin)?;
        if let (Some([q_norm, k_norm]), Some([q, k])) = (&self.qk_norm, &raw) {
            dq = rms_norm_backward(q, q_norm, self.eps, &dq)?;
            dk = rms_norm_backward(k, k_norm, self.eps, &dk)?;
        }
        let [dq, dk, dv] = [dq.flatten_from(1)?, dk.flatten_from(1)?, dv.flatten_from(1)?];
        let h = rms_norm(x, &self.input_norm, self.eps)?;
        let layers = [(&self.q, &dq), (&self.k, &dk), (&self.v, &dv)];
        let Some(dh) = back(&layers, &h, need_dx)? else { return Ok(None) };
        Ok(Some((dmid + rms_norm_backward(x, &self.input_norm, self.eps, &dh)?)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use sft_lora::LoraConfig;

    use super::*;
    use crate::{
        ModelDir, Packed, Passes,
        memory::{BatchShape, Place, TrainingShape},
        projection::Mode,
    };

    #[test]
    fn what_a_block_keeps_is_what_the_plan_says() {
        let folder = tempfile::tempdir().unwrap();
        let shape = sft_fixtures::LlamaShape {
            hidden_size: 48,
            num_attention_heads: 6,
            num_key_value_heads: 2,
            head_dim: 12,
            ..Default::default()
        };
        shape.write(folder.path(), 1).unwrap();
        let dir = ModelDir::open(folder.path()).unwrap();
        let mut decoder = Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap();
        decoder.add_lora(&LoraConfig::default(), 1).unwrap();
        decoder.set_passes(Passes::Tensors);
        if decoder.passes() != Passes::Tensors {
            return; // SFT_KERNELS=reference: no operation has a backward of its own
        }

        let (ids, positions) = ([5, 6, 7, 8, 9], [0, 1, 2, 0, 1]);
        let input =
            Packed { ids: &ids, positions: &positions, cu_seqlens: &[0, 3, 5], example: &[0, 1] };
        let rotary = &decoder.rotary;
        let (cos, sin) = rotary.angles(&positions, DType::F32, &Device::Cpu).unwrap();
        let mode = Mode::Train(None);
        let ctx = Context { cos: &cos, sin: &sin, cu_seqlens: input.cu_seqlens, mode };
        let x = decoder.embed(input.ids).unwrap();
        let kept = decoder.blocks[0].kept(&x, &ctx).unwrap();
        let tensors = kept.attended.inputs().iter().chain([
            kept.attended.out(),
            &kept.mid,
            &kept.gate,
            &kept.up,
        ]);
        let bytes = |tensor: &Tensor| 4 * tensor.elem_count() as u64;
        // And the sums of the exponentials, which the CPU computes again.
        let found = tensors.map(bytes).sum::<u64>() + bytes(&x) + 4 * 5 * 6;

        let batch = BatchShape { tokens: 5, targets: 2, longest: 3 };
        let weights = dir.weight_shape(DType::F32).unwrap();
        let lora = LoraConfig::default();
        let mut plan = TrainingShape::new(dir.config(), &lora, weights, batch).unwrap();
        plan.place = Place::Device;
        let kept_by = |recomputed| plan.plan_of(recomputed).estimate.activations;
        assert_eq!(kept_by(0) - kept_by(1) + bytes(&x), found);
    }
}
