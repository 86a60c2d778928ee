//! Operations that keep nothing but their inputs.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor, Var,
    backend::BackendStorage, bail,
};

/// `f(inputs)`, computed again in the backward pass instead of keeping what lies between: the same
/// bytes as `f` inside one autograd graph, for one more forward pass.
pub(crate) fn recomputed<F>(inputs: [&Tensor; 3], f: F) -> Result<Tensor>
where
    F: Fn([&Tensor; 3]) -> Result<Tensor> + Send + Sync + 'static,
{
    if !inputs.iter().any(|input| input.track_op()) {
        return f(inputs);
    }
    let [x, y, z] = inputs.map(Tensor::detach);
    let value = f([&x, &y, &z])?;
    let op = Recomputed { f, value: Mutex::new(Some(value)) };
    inputs[0].apply_op3(inputs[1], inputs[2], op)
}

struct Recomputed<F> {
    f: F,
    /// The result, until the operation's forward hands it on.
    value: Mutex<Option<Tensor>>,
}

/// The value's storage on one backend.
macro_rules! hand_on {
    ($self:ident, $variant:ident) => {{
        let value = $self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(value) = value else { bail!("this operation runs forward once") };
        let value = value.force_contiguous()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::$variant(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!("the result is not on its inputs' device"),
        }
    }};
}

impl<F> CustomOp3 for Recomputed<F>
where
    F: Fn([&Tensor; 3]) -> Result<Tensor> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "recomputed"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        hand_on!(self, Cpu)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        hand_on!(self, Cuda)
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        hand_on!(self, Metal)
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        _value: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let leaf = |input: &Tensor| Var::from_tensor(&input.detach());
        let (x, y, z) = (leaf(x)?, leaf(y)?, leaf(z)?);
        let value = (self.f)([&x, &y, &z])?;
        let store = (value * grad)?.sum_all()?.backward()?;
        let gradient = |input: &Var| store.get(input).cloned();
        Ok((gradient(&x), gradient(&y), gradient(&z)))
    }
}
