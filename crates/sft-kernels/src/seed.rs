//! Where a backward pass begins.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, MetalStorage, Result, Shape, Tensor,
    backend::BackendStorage, bail,
};

/// A scalar (its value means nothing) whose gradient with respect to `y` is `dy`: `backward()` of it is that of
/// `sum(y . dy)`, without the product, and without a sum, which a device computes in one block of threads.
///
/// # Errors
/// When the shapes differ.
pub fn seed(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    if y.shape() != dy.shape() {
        bail!("a gradient {:?} of a tensor {:?}", dy.shape(), y.shape())
    }
    y.apply_op1(Seed { dy: dy.detach() })
}

struct Seed {
    dy: Tensor,
}

impl Seed {
    /// Any number of the backend's: the first one of `y`.
    fn scalar<S: BackendStorage>(y: &S, layout: &Layout) -> Result<(S, Shape)> {
        let first = Layout::contiguous_with_offset((), layout.start_offset());
        Ok((y.affine(&first, 1.0, 0.0)?, Shape::from(())))
    }
}

impl CustomOp1 for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn cpu_fwd(&self, y: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::scalar(y, layout)
    }

    fn cuda_fwd(&self, y: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::scalar(y, layout)
    }

    fn metal_fwd(&self, y: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        Self::scalar(y, layout)
    }

    fn bwd(&self, _y: &Tensor, _scalar: &Tensor, _one: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.dy.clone()))
    }
}
