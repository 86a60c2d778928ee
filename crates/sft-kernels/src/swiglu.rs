//! The gated activation of Llama-class feed-forward layers.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::{
    cpu::{self, Locked, locked::slice},
    fused::{fused, only_fused, ready},
};

/// `silu(gate) * up` (Shazeer, 2020), differentiable in both.
///
/// # Errors
/// When shapes, types or devices differ.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if fused(&[gate, up]) {
        if gate.shape() != up.shape() {
            bail!("a gate {:?} for an input {:?}", gate.shape(), up.shape())
        }
        return gate.contiguous()?.apply_op2(&up.contiguous()?, Swiglu);
    }
    gate.silu()? * up
}

/// The gradients of gate and input for that of [`swiglu`]'s result, outside every graph.
///
/// # Errors
/// When the tensors are not what [`crate::has_backward`] speaks of, or do not fit.
pub fn swiglu_backward(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let tensors = [gate, up, dy];
    only_fused(fused(&tensors), "swiglu", &tensors)?;
    if gate.shape() != up.shape() || gate.shape() != dy.shape() {
        bail!("a gate {:?}, input {:?}, gradient {:?}", gate.shape(), up.shape(), dy.shape())
    }
    gradients(gate, up, dy)
}

fn gradients(gate: &Tensor, up: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let dy = ready(dy)?;
    #[cfg(feature = "cuda")]
    if gate.device().is_cuda() {
        return crate::cuda::swiglu_backward(gate, up, &dy);
    }
    let owned = |x: &Tensor| Locked::new(x).values().map(<[f32]>::to_vec);
    let (mut dgate, mut dup) = (owned(gate)?, owned(up)?);
    cpu::swiglu_backward(&mut dgate, &mut dup, Locked::new(&dy).values()?);
    let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
    Ok([tensor(dgate)?, tensor(dup)?])
}

struct Swiglu;

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slice(gate, gate_layout)?, slice(up, up_layout)?);
        let mut y = vec![0.0; gate.len()];
        cpu::swiglu(gate, up, &mut y);
        Ok((CpuStorage::F32(y), gate_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        gate: &CudaStorage,
        gate_layout: &Layout,
        up: &CudaStorage,
        up_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        crate::cuda::swiglu((gate, gate_layout), (up, up_layout))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dgate, dup] = gradients(gate, up, dy)?;
        Ok((Some(dgate), Some(dup)))
    }
}
