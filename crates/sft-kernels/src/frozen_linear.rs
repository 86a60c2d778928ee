//! The frozen linear layer.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, MetalStorage, Result, Shape, Tensor, bail,
};

use crate::{
    FrozenWeight,
    base_product::{BaseProduct, frozen_bias},
};

/// `y = x W^T + bias`, differentiable in `x` alone.
///
/// candle's own matmul would also compute and keep `dW`, a gradient as large as the model and half
/// as much arithmetic again (6N instead of 4N operations a token); this operation never does.
///
/// `x` is `[..., in]`, `bias` `[out]`, the result `[..., out]`.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn frozen_linear(x: &Tensor, w: &FrozenWeight, bias: Option<&Tensor>) -> Result<Tensor> {
    let (rows, mut dims) = as_rows(x, w)?;
    let y = rows.apply_op1(FrozenLinear(w.clone()))?; // [T, out]
    let y = match bias {
        Some(bias) => y.broadcast_add(&frozen_bias(bias, x, w)?)?,
        None => y,
    };
    dims.push(w.out_features());
    y.reshape(dims)
}

/// `x` as `[T, in]`, and its leading dimensions.
pub(crate) fn as_rows(x: &Tensor, w: &FrozenWeight) -> Result<(Tensor, Vec<usize>)> {
    let mut leading = x.dims().to_vec();
    match leading.pop() {
        Some(last) if last == w.in_features() => {}
        _ => bail!(
            "linear layer [{}, {}] cannot take an input of shape {:?}",
            w.out_features(),
            w.in_features(),
            x.shape()
        ),
    }
    let rows: usize = leading.iter().product();
    Ok((x.reshape((rows, w.in_features()))?.contiguous()?, leading))
}

/// The product alone.
pub(crate) struct FrozenLinear(pub(crate) FrozenWeight);

impl FrozenLinear {
    fn product<S: BaseProduct>(&self, x: &S, layout: &Layout) -> Result<(S, Shape)> {
        let (rows, _) = layout.shape().dims2()?;
        Ok((x.base_product(layout, &self.0)?, Shape::from((rows, self.0.out_features()))))
    }
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.product(storage, layout)
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.product(storage, layout)
    }

    fn metal_fwd(&self, storage: &MetalStorage, layout: &Layout) -> Result<(MetalStorage, Shape)> {
        self.product(storage, layout)
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.0.backward(&dy.contiguous()?).map(Some)
    }
}
