//! Causal attention over a padding-free batch.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, bail};

use crate::{
    cpu::{
        AttentionShape, Locked, attention, attention_backward,
        locked::{slice, takes},
    },
    fused::ready,
    recompute::recomputed,
};

/// Which rows may see which.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSpec<'a> {
    /// Borders of the sequences in the queries, `[B + 1]`.
    pub cu_seqlens_q: &'a [u32],
    /// Borders of the sequences in the keys and values, `[B + 1]`. A sequence may have more keys
    /// than queries: its queries are then its last positions.
    pub cu_seqlens_k: &'a [u32],
    /// With a window of `W`, a query sees its own key and the `W - 1` before it.
    pub sliding_window: Option<usize>,
}

/// Softmax attention, causal within a sequence and blind across borders, with grouped heads.
///
/// `q` is `[Tq, H, head_dim]`, `k` and `v` are `[Tk, H_kv, head_dim]`; query head `h` reads
/// key/value head `h / (H / H_kv)`. Scores are scaled by `1 / sqrt(head_dim)`; the softmax runs in
/// f32 (f64 stays f64). Returns `[Tq, H, head_dim]`. Differentiable in `q`, `k` and `v`; the scores
/// are computed again in the backward pass, so that none is kept.
///
/// # Errors
/// When shapes, borders or devices do not fit.
pub fn causal_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    spec: &AttentionSpec<'_>,
) -> Result<Tensor> {
    check(q, k, spec)?;
    if fused(q, k, v) {
        let op = CausalAttention::new(q, k, v, spec)?;
        return q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op);
    }
    composed(q, k, v, spec)
}

fn check(q: &Tensor, k: &Tensor, spec: &AttentionSpec<'_>) -> Result<()> {
    let (queries, heads, _) = q.dims3()?;
    let (keys, kv_heads, _) = k.dims3()?;
    let borders_fit = spec.cu_seqlens_q.len() == spec.cu_seqlens_k.len()
        && spec.cu_seqlens_q.first() == Some(&0)
        && spec.cu_seqlens_k.first() == Some(&0)
        && spec.cu_seqlens_q.last().is_some_and(|&end| end as usize == queries)
        && spec.cu_seqlens_k.last().is_some_and(|&end| end as usize == keys);
    if !borders_fit || !heads.is_multiple_of(kv_heads) {
        bail!(
            "attention: q {:?}, k {:?}, cu_seqlens {:?} and {:?} do not fit together",
            q.shape(),
            k.shape(),
            spec.cu_seqlens_q,
            spec.cu_seqlens_k
        )
    }
    Ok(())
}

fn fused(q: &Tensor, k: &Tensor, v: &Tensor) -> bool {
    #[cfg(feature = "cuda")]
    if crate::cuda::attention_takes(&[q, k, v]) {
        return true;
    }
    takes(&[q, k, v])
}

/// [`causal_attention`] outside every graph, with what its backward pass reads.
pub struct Attended {
    op: CausalAttention,
    inputs: [Tensor; 3],
    out: Tensor,
}

impl Attended {
    /// Queries, keys and values as [`causal_attention`] takes them.
    ///
    /// # Errors
    /// When the tensors are not what [`crate::has_backward`] speaks of, or do not fit.
    pub fn new(inputs: [Tensor; 3], spec: &AttentionSpec<'_>) -> Result<Self> {
        let [q, k, v] = &inputs;
        check(q, k, spec)?;
        if !fused(q, k, v) {
            bail!("attention has no backward of its own for {:?} {:?}", q.dtype(), q.shape())
        }
        let op = CausalAttention::new(q, k, v, spec)?;
        let inputs = [q.contiguous()?, k.contiguous()?, v.contiguous()?];
        let out = inputs[0].apply_op3_no_bwd(&inputs[1], &inputs[2], &op)?;
        Ok(Self { op, inputs, out })
    }

    /// Queries, keys and values.
    pub fn inputs(&self) -> &[Tensor; 3] {
        &self.inputs
    }

    /// The result, `[Tq, H, head_dim]`.
    pub fn out(&self) -> &Tensor {
        &self.out
    }

    /// The gradients of queries, keys and values for that of the result.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn backward(&self, dy: &Tensor) -> Result<[Tensor; 3]> {
        if dy.shape() != self.out.shape() {
            bail!("a gradient {:?} of attention {:?}", dy.shape(), self.out.shape())
        }
        self.op.gradients(self.inputs.each_ref(), &self.out, dy)
    }
}

struct CausalAttention {
    shape: AttentionShape,
    /// What the forward pass on a GPU leaves for the backward pass.
    #[cfg(feature = "cuda")]
    attended: std::sync::OnceLock<crate::cuda::Attended>,
}

impl CausalAttention {
    fn new(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec<'_>) -> Result<Self> {
        let ((_, heads, head_dim), (_, kv_heads, _)) = (q.dims3()?, k.dims3()?);
        if k.dims() != v.dims() || k.dim(D::Minus1)? != head_dim {
            bail!("attention: q {:?}, k {:?}, v {:?}", q.shape(), k.shape(), v.shape())
        }
        Ok(Self {
            shape: AttentionShape::new(heads, kv_heads, head_dim, spec)?,
            #[cfg(feature = "cuda")]
            attended: std::sync::OnceLock::new(),
        })
    }

    #[cfg_attr(not(feature = "cuda"), expect(unused_variables))]
    fn gradients(&self, inputs: [&Tensor; 3], out: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
        let dy = ready(dy)?;
        #[cfg(feature = "cuda")]
        if let Some(attended) = self.attended.get() {
            return crate::cuda::attention_backward(&self.shape, inputs, out, &dy, attended);
        }
        let [qs, ks, vs] = inputs.map(Locked::new);
        let (values, dys) = ([qs.values()?, ks.values()?, vs.values()?], Locked::new(&dy));
        let [mut dq, mut dk, mut dv] = values.map(|input| vec![0.0; input.len()]);
        let gradients = [&mut dq[..], &mut dk[..], &mut dv[..]];
        attention_backward(&self.shape, values, dys.values()?, gradients, None)?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok([tensor(dq, inputs[0])?, tensor(dk, inputs[1])?, tensor(dv, inputs[2])?])
    }
}

impl CustomOp3 for CausalAttention {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let inputs = [slice(q, q_layout)?, slice(k, k_layout)?, slice(v, v_layout)?];
        let mut out = vec![0.0; inputs[0].len()];
        attention(&self.shape, inputs, &mut out)?;
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        q: &CudaStorage,
        q_layout: &Layout,
        k: &CudaStorage,
        k_layout: &Layout,
        v: &CudaStorage,
        v_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let inputs = [(q, q_layout), (k, k_layout), (v, v_layout)];
        let (out, shape, attended) = crate::cuda::attention(&self.shape, inputs)?;
        // An operation runs forward once.
        self.attended.get_or_init(|| attended);
        Ok((out, shape))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dq, dk, dv] = self.gradients([q, k, v], out, dy)?.map(Some);
        Ok((dq, dk, dv))
    }
}

/// In candle's operations, on every device and in every type.
fn composed(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec<'_>) -> Result<Tensor> {
    let mut parts = Vec::with_capacity(spec.cu_seqlens_q.len());
    for (qs, ks) in spec.cu_seqlens_q.windows(2).zip(spec.cu_seqlens_k.windows(2)) {
        let (q_start, n) = (qs[0] as usize, (qs[1] - qs[0]) as usize);
        let (k_start, m) = (ks[0] as usize, (ks[1] - ks[0]) as usize);
        if n > m {
            bail!("attention: a sequence has {n} queries but {m} keys")
        }
        let (q, k, v) =
            (q.narrow(0, q_start, n)?, k.narrow(0, k_start, m)?, v.narrow(0, k_start, m)?);
        let window = spec.sliding_window;
        // The `[n, m]` scores of a sequence live no longer than the pass over it.
        parts.push(recomputed([&q, &k, &v], move |[q, k, v]| attend(q, k, v, window))?);
    }
    Tensor::cat(&parts, 0)
}

/// One sequence: its `n` queries are the last of its `m` positions.
fn attend(q: &Tensor, k: &Tensor, v: &Tensor, window: Option<usize>) -> Result<Tensor> {
    let (n, heads, head_dim) = q.dims3()?;
    let (m, kv_heads, _) = k.dims3()?;
    let group = heads / kv_heads;
    // The heads that share a key/value head lie side by side: one product serves the whole group.
    let q = q.transpose(0, 1)?.reshape((kv_heads, group * n, head_dim))?;
    let k = k.transpose(0, 1)?.contiguous()?; // [H_kv, m, head_dim]
    let v = v.transpose(0, 1)?.contiguous()?;
    let scores = (q.matmul(&k.t()?)? * (head_dim as f64).powf(-0.5))?; // [H_kv, group * n, m]
    let dtype = scores.dtype();
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let mask = causal_mask(n, m, window, wide, q.device())?;
    let scores = scores.to_dtype(wide)?.reshape((kv_heads, group, n, m))?.broadcast_add(&mask)?;
    // The maximum only shifts the exponent: no gradient flows through it.
    let exp = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let probs = exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?;
    let probs = probs.to_dtype(dtype)?.reshape((kv_heads, group * n, m))?;
    probs.matmul(&v)?.reshape((heads, n, head_dim))?.transpose(0, 1)?.contiguous()
}

/// `[n, m]` of 0 where the query may look and `-inf` where it may not.
fn causal_mask(
    n: usize,
    m: usize,
    window: Option<usize>,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let window = window.unwrap_or(usize::MAX);
    let mut mask = vec![f32::NEG_INFINITY; n * m];
    for (i, row) in mask.chunks_exact_mut(m).enumerate() {
        let position = m - n + i;
        row[(position + 1).saturating_sub(window)..=position].fill(0.0);
    }
    Tensor::from_vec(mask, (n, m), device)?.to_dtype(dtype)
}
