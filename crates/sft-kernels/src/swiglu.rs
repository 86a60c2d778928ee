//! The gated activation of Llama-class feed-forward layers.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::{
    cpu::{self, Locked, locked::slice},
    fused::fused,
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
        let dy = dy.contiguous()?;
        #[cfg(feature = "cuda")]
        if gate.device().is_cuda() {
            let [dgate, dup] = crate::cuda::swiglu_backward(gate, up, &dy)?;
            return Ok((Some(dgate), Some(dup)));
        }
        let owned = |x: &Tensor| Locked::new(x).values().map(<[f32]>::to_vec);
        let (mut dgate, mut dup) = (owned(gate)?, owned(up)?);
        cpu::swiglu_backward(&mut dgate, &mut dup, Locked::new(&dy).values()?);
        let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device()).map(Some);
        Ok((tensor(dgate)?, tensor(dup)?))
    }
}
