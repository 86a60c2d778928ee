//! One decoder block: attention and feed-forward, each behind a normalisation, on a residual stream.

use candle_core::{Device, Result as CandleResult, Tensor, Var};
use sft_kernels::{AttentionSpec, causal_attention, rms_norm, rope, seed, swiglu};

use crate::{
    Result,
    config::ModelConfig,
    decoder::Types,
    gradients::Gradients,
    projection::{Mode, Projection},
    weights::WeightFiles,
};

/// What all blocks of one pass share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Cosines and sines of each token's position, `[T, head_dim / 2]`.
    pub(crate) cos: &'a Tensor,
    pub(crate) sin: &'a Tensor,
    pub(crate) cu_seqlens: &'a [u32],
    pub(crate) mode: Mode<'a>,
}

/// Clones share the weights and the adapters.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) input_norm: Tensor,
    pub(crate) q: Projection,
    pub(crate) k: Projection,
    pub(crate) v: Projection,
    pub(crate) o: Projection,
    /// Of queries and of keys, `[head_dim]` each.
    pub(crate) qk_norm: Option<[Tensor; 2]>,
    pub(crate) post_attention_norm: Tensor,
    pub(crate) gate: Projection,
    pub(crate) up: Projection,
    pub(crate) down: Projection,
    pub(crate) head_dim: usize,
    pub(crate) eps: f64,
    pub(crate) sliding_window: Option<usize>,
    #[cfg(feature = "planted-faults")]
    pub(crate) fault: Option<crate::Fault>,
}

/// What a block's backward needs of its forward: the input and, unless it is to be computed again,
/// the output with the graph that leads to it.
pub(crate) struct Saved {
    x: Tensor,
    y: Option<Tensor>,
}

impl Block {
    pub(crate) fn load(
        weights: &WeightFiles,
        config: &ModelConfig,
        index: usize,
        types: Types,
        device: &Device,
    ) -> Result<Self> {
        let prefix = format!("model.layers.{index}");
        let hidden = config.hidden_size;
        let norm = |name: &str, width: usize| {
            weights.load_vector(&format!("{prefix}.{name}.weight"), width, types, device)
        };
        let projection = |name: &str, out: usize, input: usize, with_bias: bool| {
            let module = format!("{prefix}.{name}");
            let name = format!("{module}.weight");
            let weight = weights.load_block_matrix(&name, [out, input], types, device)?;
            let bias = if with_bias {
                Some(weights.load_vector(&format!("{module}.bias"), out, types, device)?)
            } else {
                None
            };
            Result::Ok(Projection::Frozen { module, weight, bias })
        };
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let inner = config.intermediate_size;
        let (qkv_bias, mlp_bias) = (config.qkv_bias, config.mlp_bias);
        let qk_norm = if config.qk_norm {
            let of = |name| norm(name, config.head_dim);
            Some([of("self_attn.q_norm")?, of("self_attn.k_norm")?])
        } else {
            None
        };
        Ok(Self {
            input_norm: norm("input_layernorm", hidden)?,
            q: projection("self_attn.q_proj", queries, hidden, qkv_bias)?,
            k: projection("self_attn.k_proj", keys, hidden, qkv_bias)?,
            v: projection("self_attn.v_proj", keys, hidden, qkv_bias)?,
            o: projection("self_attn.o_proj", hidden, queries, config.o_bias)?,
            qk_norm,
            post_attention_norm: norm("post_attention_layernorm", hidden)?,
            gate: projection("mlp.gate_proj", inner, hidden, mlp_bias)?,
            up: projection("mlp.up_proj", inner, hidden, mlp_bias)?,
            down: projection("mlp.down_proj", hidden, inner, mlp_bias)?,
            head_dim: config.head_dim,
            eps: config.rms_norm_eps,
            sliding_window: config.sliding_windows[index],
            #[cfg(feature = "planted-faults")]
            fault: None,
        })
    }

    /// In the order of [`crate::modules`].
    pub(crate) fn projections(&self) -> [&Projection; 7] {
        [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down]
    }

    pub(crate) fn projections_mut(&mut self) -> [&mut Projection; 7] {
        [
            &mut self.q,
            &mut self.k,
            &mut self.v,
            &mut self.o,
            &mut self.gate,
            &mut self.up,
            &mut self.down,
        ]
    }

    pub(crate) fn norms(&self) -> impl Iterator<Item = &Tensor> {
        [&self.input_norm, &self.post_attention_norm]
            .into_iter()
            .chain(self.qk_norm.iter().flatten())
    }

    pub(crate) fn is_adapted(&self) -> bool {
        self.projections().iter().any(|projection| projection.lora().is_some())
    }

    /// One linear layer of this block: `[T, in]` to `[T, out]`.
    #[cfg_attr(not(feature = "planted-faults"), expect(clippy::unused_self))]
    fn project(&self, projection: &Projection, x: &Tensor, mode: Mode<'_>) -> CandleResult<Tensor> {
        let y = projection.forward(x, mode)?;
        #[cfg(feature = "planted-faults")]
        if self.fault == Some(crate::Fault::ScaledBase)
            && let Some(layer) = projection.lora()
            && !layer.is_merged()
            && !matches!(mode, Mode::Base)
        {
            return y + (layer.forward_base(x)? * (layer.scale() - 1.0))?;
        }
        Ok(y)
    }

    /// Queries `[T, H, head_dim]`, keys and values `[T, H_kv, head_dim]`, rotated to their positions.
    pub(crate) fn qkv(&self, x: &Tensor, ctx: &Context<'_>) -> CandleResult<[Tensor; 3]> {
        let x = rms_norm(x, &self.input_norm, self.eps)?;
        let heads = |projection: &Projection| {
            let y = self.project(projection, &x, ctx.mode)?;
            let (tokens, width) = y.dims2()?;
            y.reshape((tokens, width / self.head_dim, self.head_dim))
        };
        let norms = self.qk_norm.as_ref();
        let rotate = |x: Tensor, norm: Option<&Tensor>| {
            let x = match norm {
                Some(weight) => rms_norm(&x, weight, self.eps)?,
                None => x,
            };
            let y = rope(&x, ctx.cos, ctx.sin)?;
            #[cfg(feature = "planted-faults")]
            let y = if self.fault == Some(crate::Fault::DetachRope) { y.detach() } else { y };
            CandleResult::Ok(y)
        };
        let q = rotate(heads(&self.q)?, norms.map(|[q, _]| q))?;
        let k = rotate(heads(&self.k)?, norms.map(|[_, k]| k))?;
        Ok([q, k, heads(&self.v)?])
    }

    /// The rest of the block: `x` `[T, D]` is its input, `attended` `[T, H, head_dim]`.
    pub(crate) fn finish(
        &self,
        x: &Tensor,
        attended: &Tensor,
        ctx: &Context<'_>,
    ) -> CandleResult<Tensor> {
        let project = |projection, x: &Tensor| self.project(projection, x, ctx.mode);
        let x = (x + project(&self.o, &attended.flatten_from(1)?)?)?;
        let h = rms_norm(&x, &self.post_attention_norm, self.eps)?;
        let gate = project(&self.gate, &h)?;
        let up = project(&self.up, &h)?;
        x + project(&self.down, &swiglu(&gate, &up)?)?
    }

    pub(crate) fn sliding_window(&self) -> Option<usize> {
        self.sliding_window
    }

    /// `x` and the result are `[T, D]`; the graph behind the result is candle's.
    pub(crate) fn apply(&self, x: &Tensor, ctx: &Context<'_>) -> CandleResult<Tensor> {
        let [q, k, v] = self.qkv(x, ctx)?;
        let spec = AttentionSpec {
            cu_seqlens_q: ctx.cu_seqlens,
            cu_seqlens_k: ctx.cu_seqlens,
            sliding_window: self.sliding_window,
        };
        self.finish(x, &causal_attention(&q, &k, &v, &spec)?, ctx)
    }

    /// One link of the chain: from a detached input to a detached output.
    ///
    /// `need_dx`: whether [`Block::backward`] will be asked for the input's gradient.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        ctx: &Context<'_>,
        need_dx: bool,
        recompute: bool,
    ) -> CandleResult<(Tensor, Saved)> {
        let x = if need_dx { Var::from_tensor(x)?.as_tensor().clone() } else { x.clone() };
        let y = self.apply(&x, ctx)?;
        let out = y.detach();
        Ok((out, Saved { x, y: (!recompute).then_some(y) }))
    }

    /// The gradients for that of the result, `dy`: those of the adapters are added to `grads`, that of the input
    /// is returned if the forward pass was told to provide for it.
    ///
    /// Autograd runs inside this block alone, which is bit-equal to one graph over all blocks.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        saved: Saved,
        ctx: &Context<'_>,
        grads: &mut Gradients,
    ) -> Result<Option<Tensor>> {
        let Saved { x, y } = saved;
        let y = match y {
            Some(y) => y,
            None => self.apply(&x, ctx)?,
        };
        let store = seed(&y, dy)?.backward()?;
        for (name, var) in self.projections().iter().flat_map(|p| p.parameters()) {
            if let Some(gradient) = store.get(&var) {
                grads.add(name, gradient)?;
            }
        }
        Ok(store.get(&x).cloned())
    }
}
