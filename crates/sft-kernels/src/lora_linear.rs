//! The LoRA linear layer, as one operation.

use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, Layout, MetalStorage, Result, Shape, Storage, Tensor, bail,
    op::{Add, Mul},
};

use crate::{
    Dropout, FrozenWeight,
    base_product::{BaseProduct, frozen_bias},
    frozen_linear::as_rows,
    fused::ready,
};

/// The trainable side of a LoRA linear layer.
#[derive(Clone, Copy, Debug)]
pub struct LoraOperands<'a> {
    /// Down projection, `[r, in]`.
    pub a: &'a Tensor,
    /// Up projection, `[out, r]`.
    pub b: &'a Tensor,
    /// Factor of the adapter's contribution (`lora_alpha / r`); the base is not scaled.
    pub scale: f64,
    /// Dropout on the input of `a`, of as many rows as `x` has when it is flattened to `[T, in]`.
    pub dropout: Option<Dropout<'a>>,
}

/// `y = x W^T + bias + scale * (mask . x) A^T B^T` (Hu et al., 2021), differentiable in `x`, `A`
/// and `B`, never in `W`.
///
/// As in PEFT, the adapter computes in its own type (f32 on a bf16 base) and the sum is rounded to
/// the base's type once. `x` is `[..., in]`, the result `[..., out]`.
///
/// One operation with its own backward: a composition of candle's would keep the masked input and
/// three more tensors of the output's size until the backward pass.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn lora_linear(
    x: &Tensor,
    w: &FrozenWeight,
    bias: Option<&Tensor>,
    lora: &LoraOperands<'_>,
) -> Result<Tensor> {
    let (rows, mut dims) = as_rows(x, w)?;
    let bias = bias.map(|bias| frozen_bias(bias, x, w)).transpose()?;
    dims.push(w.out_features());
    let (a, b) = (lora.a.contiguous()?, lora.b.contiguous()?);
    let y = match Operation::new(&rows, w, bias, lora)? {
        Operation::Composed(op) => rows.apply_op3(&a, &b, op),
        #[cfg(feature = "cuda")]
        Operation::Fused(op) => rows.apply_op3(&a, &b, op),
    };
    y?.reshape(dims)
}

/// What [`lora_linear_backward`] returns.
#[derive(Debug)]
pub struct LoraLinearGradients {
    /// Of the input, `[T, in]`, if it was asked for.
    pub dx: Option<Tensor>,
    /// Of `A`, `[r, in]`.
    pub da: Tensor,
    /// Of `B`, `[out, r]`.
    pub db: Tensor,
}

/// The gradients of [`lora_linear`] for that of its result, `dy` `[T, out]`, outside every graph; `x` is `[T, in]`.
///
/// # Errors
/// When shapes, types or devices do not fit.
pub fn lora_linear_backward(
    x: &Tensor,
    w: &FrozenWeight,
    lora: &LoraOperands<'_>,
    dy: &Tensor,
    need_dx: bool,
) -> Result<LoraLinearGradients> {
    let ((tokens, _), dy_dims) = (x.dims2()?, dy.dims2()?);
    if dy_dims != (tokens, w.out_features()) {
        bail!("a gradient {:?} of {tokens} rows of {}", dy.shape(), w.out_features())
    }
    let (x, a, b) = (ready(x)?, lora.a.contiguous()?, lora.b.contiguous()?);
    match Operation::new(&x, w, None, lora)? {
        Operation::Composed(op) => op.gradients([&x, &a, &b], dy, need_dx),
        #[cfg(feature = "cuda")]
        Operation::Fused(op) => op.gradients([&x, &a, &b], dy, need_dx),
    }
}

/// The layer as an operation on rows, as their device has it.
enum Operation {
    Composed(LoraLinear),
    #[cfg(feature = "cuda")]
    Fused(FusedLora),
}

impl Operation {
    fn new(
        rows: &Tensor,
        w: &FrozenWeight,
        bias: Option<Tensor>,
        lora: &LoraOperands<'_>,
    ) -> Result<Self> {
        let LoraOperands { a, b, scale, dropout } = *lora;
        let (r, input) = a.dims2()?;
        if input != w.in_features() || b.dims2()? != (w.out_features(), r) {
            bail!(
                "A {:?} and B {:?} do not fit a linear layer [{}, {}]",
                a.shape(),
                b.shape(),
                w.out_features(),
                w.in_features()
            )
        }
        if let Some(dropout) = dropout.filter(|dropout| dropout.rows() != rows.dims()[0]) {
            bail!("a dropout of {} rows for an input {:?}", dropout.rows(), rows.shape())
        }
        let w = w.clone();
        #[cfg(feature = "cuda")]
        if crate::cuda::lora_takes(rows, a, b) {
            let dropout = dropout.map(|dropout| crate::cuda::Rows::new(&dropout, rows.device()));
            return Ok(Self::Fused(FusedLora { w, bias, scale, dropout: dropout.transpose()? }));
        }
        let mask = dropout.map(|dropout| dropout.mask(input, a.dtype(), rows.device()));
        Ok(Self::Composed(LoraLinear { w, bias, scale, mask: mask.transpose()? }))
    }
}

/// As a composition of what every backend has.
struct LoraLinear {
    w: FrozenWeight,
    bias: Option<Tensor>,
    scale: f64,
    mask: Option<Tensor>,
}

/// A tensor as a backend sees it.
type View<'a, S> = (&'a S, &'a Layout);

/// `x W^T + bias`, `[T, out]`.
fn base_and_bias<S: BaseProduct>(
    (x, x_layout): View<'_, S>,
    w: &FrozenWeight,
    bias: Option<View<'_, S>>,
) -> Result<S> {
    let y = x.base_product(x_layout, w)?;
    let Some((bias, layout)) = bias else { return Ok(y) };
    let shape = (x_layout.dims()[0], w.out_features());
    y.binary_impl::<Add>(bias, &Layout::contiguous(shape), &layout.broadcast_as(shape)?)
}

impl LoraLinear {
    /// The forward pass, in the operations that every backend has.
    fn forward<S: BaseProduct>(
        &self,
        (x, x_layout): View<'_, S>,
        (a, a_layout): View<'_, S>,
        (b, b_layout): View<'_, S>,
        bias: Option<View<'_, S>>,
        mask: Option<View<'_, S>>,
    ) -> Result<(S, Shape)> {
        let (m, k) = x_layout.shape().dims2()?;
        let (r, n) = (a_layout.dims()[0], self.w.out_features());
        let contiguous = |rows: usize, columns: usize| Layout::contiguous((rows, columns));
        let y_layout = contiguous(m, n);

        let mut y = base_and_bias((x, x_layout), &self.w, bias)?;
        let in_layout = contiguous(m, k);
        let cast =
            if x.dtype() == a.dtype() { None } else { Some(x.to_dtype(x_layout, a.dtype())?) };
        let (input, layout) = cast.as_ref().map_or((x, x_layout), |cast| (cast, &in_layout));
        let a_transposed = a_layout.transpose(0, 1)?;
        let down = match mask {
            Some((mask, mask_layout)) => {
                let dropped = input.binary_impl::<Mul>(mask, layout, mask_layout)?;
                dropped.matmul(a, (1, m, r, k), &in_layout, &a_transposed)?
            }
            None => input.matmul(a, (1, m, r, k), layout, &a_transposed)?,
        };
        let down_layout = contiguous(m, r);
        let down = down.affine(&down_layout, self.scale, 0.0)?; // the narrow side is the cheap one
        let up = down.matmul(b, (1, m, n, r), &down_layout, &b_layout.transpose(0, 1)?)?;

        let base = y.dtype();
        if base != up.dtype() {
            y = y.to_dtype(&y_layout, up.dtype())?;
        }
        let mut sum = y.binary_impl::<Add>(&up, &y_layout, &y_layout)?;
        if base != sum.dtype() {
            sum = sum.to_dtype(&y_layout, base)?;
        }
        Ok((sum, Shape::from((m, n))))
    }

    /// With `z = mask . x`, `u = z A^T` and `t = scale * dy B`:
    /// `dA = t^T z`, `dB = scale * dy^T u`, `dx = dy W + mask . (t A)`.
    fn gradients(
        &self,
        [x, a, b]: [&Tensor; 3],
        dy: &Tensor,
        need_dx: bool,
    ) -> Result<LoraLinearGradients> {
        let (x, a, b) = (x.detach(), a.detach(), b.detach());
        let dy = dy.contiguous()?;
        let wide = dy.to_dtype(a.dtype())?;
        let masked = |t: Tensor| match &self.mask {
            Some(mask) => t * mask,
            None => Ok(t),
        };
        let z = masked(x.to_dtype(a.dtype())?)?; // [T, in]
        let t = (wide.matmul(&b)? * self.scale)?; // [T, r]
        let da = t.t()?.matmul(&z)?; // [r, in]
        let u = (z.matmul(&a.t()?)? * self.scale)?; // [T, r]
        drop(z);
        let db = wide.t()?.matmul(&u)?; // [out, r]
        let dx = if need_dx {
            let through_base = self.w.backward(&dy)?; // [T, in]
            let through_adapter = masked(t.matmul(&a)?)?;
            let sum = (through_base.to_dtype(a.dtype())? + through_adapter)?;
            Some(sum.to_dtype(x.dtype())?)
        } else {
            None
        };
        Ok(LoraLinearGradients { dx, da, db })
    }
}

/// One backend's storage of a tensor that has been locked for reading.
macro_rules! view {
    ($locked:expr, $variant:ident) => {
        match &*$locked.0 {
            Storage::$variant(storage) => (storage, $locked.1),
            _ => bail!("a part of the LoRA layer is not on its input's device"),
        }
    };
}

/// Hands the tensors inside the operation to [`LoraLinear::forward`] as one backend's storage.
macro_rules! backend_fwd {
    ($self:ident, $variant:ident, $x:expr, $a:expr, $b:expr) => {{
        let bias = $self.bias.as_ref().map(Tensor::storage_and_layout);
        let mask = $self.mask.as_ref().map(Tensor::storage_and_layout);
        let bias = match &bias {
            Some(locked) => Some(view!(locked, $variant)),
            None => None,
        };
        let mask = match &mask {
            Some(locked) => Some(view!(locked, $variant)),
            None => None,
        };
        $self.forward($x, $a, $b, bias, mask)
    }};
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        backend_fwd!(self, Cpu, (x, x_layout), (a, a_layout), (b, b_layout))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        backend_fwd!(self, Cuda, (x, x_layout), (a, a_layout), (b, b_layout))
    }

    fn metal_fwd(
        &self,
        x: &MetalStorage,
        x_layout: &Layout,
        a: &MetalStorage,
        a_layout: &Layout,
        b: &MetalStorage,
        b_layout: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        backend_fwd!(self, Metal, (x, x_layout), (a, a_layout), (b, b_layout))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = self.gradients([x, a, b], dy, x.track_op())?;
        Ok((gradients.dx, Some(gradients.da), Some(gradients.db)))
    }
}

/// The same on a CUDA device: the base is one product of the backend's, the adapter kernels that read the activations as
/// they are stored.
#[cfg(feature = "cuda")]
struct FusedLora {
    w: FrozenWeight,
    bias: Option<Tensor>,
    scale: f64,
    dropout: Option<crate::cuda::Rows>,
}

#[cfg(feature = "cuda")]
impl FusedLora {
    fn gradients(
        &self,
        [x, a, b]: [&Tensor; 3],
        dy: &Tensor,
        need_dx: bool,
    ) -> Result<LoraLinearGradients> {
        use crate::cuda::{Adapter, Held};
        let dy = ready(dy)?;
        let dx = if need_dx { Some(self.w.backward(&dy)?) } else { None };
        let (r, (a, b)) = (a.dims()[0], (Held::new(a), Held::new(b)));
        let adapter = Adapter {
            a: a.view()?,
            b: b.view()?,
            r,
            scale: self.scale,
            dropout: self.dropout.as_ref(),
        };
        let [da, db] = crate::cuda::lora_backward(x, &adapter, &dy, dx.as_ref())?;
        Ok(LoraLinearGradients { dx, da, db })
    }
}

#[cfg(feature = "cuda")]
impl CustomOp3 for FusedLora {
    fn name(&self) -> &'static str {
        "lora-linear"
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
        bail!("this operation is one of CUDA devices")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        use crate::cuda::{Adapter, View};
        let (tokens, out) = (x_layout.dims()[0], self.w.out_features());
        let bias = self.bias.as_ref().map(Tensor::storage_and_layout);
        let bias = match &bias {
            Some(locked) => Some(view!(locked, Cuda)),
            None => None,
        };
        let y = base_and_bias((x, x_layout), &self.w, bias)?;
        let adapter = Adapter {
            a: View::new(a, a_layout)?,
            b: View::new(b, b_layout)?,
            r: a_layout.dims()[0],
            scale: self.scale,
            dropout: self.dropout.as_ref(),
        };
        crate::cuda::lora(x, x_layout, &adapter, (&y, out))?;
        Ok((y, Shape::from((tokens, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = self.gradients([x, a, b], dy, x.track_op())?;
        Ok((gradients.dx, Some(gradients.da), Some(gradients.db)))
    }
}
