//! A linear layer with an adapter.

use candle_core::{DType, Module, Tensor, Var};
use candle_nn::Linear;
use sft_kernels::{
    Dropout, DropoutStream, FrozenWeight, LoraLinearGradients, LoraOperands, Rows, frozen_linear,
    lora_linear, lora_linear_backward, random,
};

use crate::{LoraConfig, LoraError};

/// A frozen linear layer with a trainable low-rank update:
/// `y = x W^T + bias + s (drop(x) A^T) B^T`, with `s` from [`LoraConfig::scale_for`].
///
/// `A` `[r, in]` and `B` `[out, r]` are candle variables, f32 also on a bf16 or f16 base (f64 on an
/// f64 base); the update is computed in their type and the sum rounded to the base's type once, as
/// PEFT does with `autocast_adapter_dtype`. The base has no gradient.
#[derive(Clone, Debug)]
pub struct LoraLinear {
    base: FrozenWeight,
    merged: Option<FrozenWeight>,
    bias: Option<Tensor>,
    a: Var,
    b: Var,
    scale: f64,
    dropout: f64,
    module: String,
}

impl LoraLinear {
    /// Puts a fresh adapter on candle's own linear layer, on the device where its weight is.
    ///
    /// `A` is uniform in ±1/sqrt(in) (PEFT's `kaiming_uniform_(a=sqrt(5))`), a function of `seed` and
    /// `module` alone; `B` is zero, so that the layer computes what it computed before.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub fn from_linear(
        linear: Linear,
        module: &str,
        config: &LoraConfig,
        seed: u64,
    ) -> Result<Self, LoraError> {
        let base = FrozenWeight::from_tensor(linear.weight())?;
        Self::from_frozen(base, linear.bias().cloned(), module, config, seed)
    }

    /// Puts a fresh adapter on a frozen weight `[out, in]` and its bias `[out]`, as
    /// [`from_linear`](Self::from_linear) does.
    ///
    /// # Errors
    /// When the configuration is invalid, or the rank is above both widths of the layer
    /// ([`LoraError::Rank`]): an update of the layer's full rank needs no more than the smaller one.
    pub fn from_frozen(
        base: FrozenWeight,
        bias: Option<Tensor>,
        module: &str,
        config: &LoraConfig,
        seed: u64,
    ) -> Result<Self, LoraError> {
        config.validate()?;
        let (r, features) = (config.rank_for(module), base.in_features());
        if r > features.max(base.out_features()) {
            return Err(LoraError::Rank {
                module: module.to_owned(),
                r,
                in_features: features,
                out_features: base.out_features(),
            });
        }
        let bound = 1.0 / (features as f32).sqrt();
        let stream = random::module_key(&format!("{module}.lora_A.weight"));
        let a: Vec<f32> = random::uniform(seed, stream, r * features)
            .into_iter()
            .map(|u| (2.0 * u - 1.0) * bound)
            .collect();
        let a = Tensor::from_vec(a, (r, features), base.device())?;
        let b = Tensor::zeros((base.out_features(), r), DType::F32, base.device())?;
        Self::with_weights(base, bias, module, config, a, b)
    }

    /// Puts a given adapter, `a` `[r, in]` and `b` `[out, r]`, on a frozen weight. Both are copied to
    /// new variables on the base's device.
    ///
    /// # Errors
    /// When the configuration is invalid, or a shape is not what its rank for this module asks for.
    pub fn with_weights(
        base: FrozenWeight,
        bias: Option<Tensor>,
        module: &str,
        config: &LoraConfig,
        a: Tensor,
        b: Tensor,
    ) -> Result<Self, LoraError> {
        config.validate()?;
        let r = config.rank_for(module);
        let check = |tensor, found: &Tensor, expected: [usize; 2]| {
            if found.dims() == expected {
                return Ok(());
            }
            let (module, found) = (module.to_owned(), found.dims().to_vec());
            Err(LoraError::Shape { module, tensor, expected: expected.to_vec(), found })
        };
        check("lora_A", &a, [r, base.in_features()])?;
        check("lora_B", &b, [base.out_features(), r])?;
        let dtype = if base.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let own =
            |t: Tensor| Var::from_tensor(&t.to_device(base.device())?.to_dtype(dtype)?.detach());
        Ok(Self {
            a: own(a)?,
            b: own(b)?,
            scale: config.scale_for(module),
            dropout: config.lora_dropout,
            module: module.to_owned(),
            merged: None,
            bias: bias.map(|bias| bias.detach()),
            base,
        })
    }

    /// `x` `[..., in]` to `[..., out]`, tracked by candle's autograd through `x`, `A` and `B`.
    ///
    /// Dropout (with the configuration's probability) acts on the adapter's input alone, and only
    /// when a stream is given together with what the rows of `x`, flattened to `[T, in]`, are.
    ///
    /// # Errors
    /// While the adapter is merged, or when shapes do not fit.
    pub fn forward_train(
        &self,
        x: &Tensor,
        dropout: Option<(DropoutStream, Rows<'_>)>,
    ) -> candle_core::Result<Tensor> {
        self.apply(x, &self.a, &self.b, self.dropout_of(dropout)?)
    }

    /// [`Self::forward_train`] outside every graph: [`Self::backward`] gives its gradients.
    ///
    /// # Errors
    /// While the adapter is merged, or when shapes do not fit.
    pub fn forward_untracked(
        &self,
        x: &Tensor,
        dropout: Option<(DropoutStream, Rows<'_>)>,
    ) -> candle_core::Result<Tensor> {
        self.apply(x, &self.a.detach(), &self.b.detach(), self.dropout_of(dropout)?)
    }

    /// The gradients of `x` `[T, in]` (if `need_dx`), `A` and `B` for that of the result, `dy` `[T, out]`, outside every
    /// graph. The dropout is that of the forward pass.
    ///
    /// # Errors
    /// While the adapter is merged, or when shapes do not fit.
    pub fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        dropout: Option<(DropoutStream, Rows<'_>)>,
        need_dx: bool,
    ) -> candle_core::Result<LoraLinearGradients> {
        let (a, b) = (self.a.detach(), self.b.detach());
        let dropout = self.dropout_of(dropout)?;
        let lora = LoraOperands { a: &a, b: &b, scale: self.scale, dropout };
        lora_linear_backward(x, &self.base, &lora, dy, need_dx)
    }

    /// The dropout of a pass that trains.
    fn dropout_of<'a>(
        &self,
        dropout: Option<(DropoutStream, Rows<'a>)>,
    ) -> candle_core::Result<Option<Dropout<'a>>> {
        if self.is_merged() {
            let module = self.module.clone();
            return Err(candle_core::Error::wrap(LoraError::AlreadyMerged { module }));
        }
        match dropout {
            Some((stream, rows)) if self.dropout > 0.0 => {
                Dropout::new(stream, &self.module, rows, self.dropout).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// `x` `[..., in]` to `[..., out]`, without dropout and with `A` and `B` outside the graph. A
    /// merged layer is its base weight alone.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_eval(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.merged {
            Some(merged) => frozen_linear(x, merged, self.bias.as_ref()),
            None => self.apply(x, &self.a.detach(), &self.b.detach(), None),
        }
    }

    /// `x` `[..., in]` to `[..., out]` by the original weight alone, also while the adapter is
    /// merged.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn forward_base(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        frozen_linear(x, &self.base, self.bias.as_ref())
    }

    fn apply(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        dropout: Option<Dropout<'_>>,
    ) -> candle_core::Result<Tensor> {
        let lora = LoraOperands { a, b, scale: self.scale, dropout };
        lora_linear(x, &self.base, self.bias.as_ref(), &lora)
    }

    /// The update `s B A`, `[out, in]`, in the adapter's type and outside the graph.
    ///
    /// # Errors
    /// Those of candle.
    pub fn delta(&self) -> Result<Tensor, LoraError> {
        Ok((self.b.detach().matmul(&self.a.detach())? * self.scale)?)
    }

    /// Adds the update to the base weight: in f32, rounded once to the base's type.
    ///
    /// # Errors
    /// [`LoraError::AlreadyMerged`] on a second merge.
    pub fn merge(&mut self) -> Result<(), LoraError> {
        if self.is_merged() {
            return Err(LoraError::AlreadyMerged { module: self.module.clone() });
        }
        let delta = self.delta()?;
        let sum = (self.base.to_tensor_in(delta.dtype())? + delta)?;
        self.merged = Some(FrozenWeight::from_tensor(&sum.to_dtype(self.base.dtype())?)?);
        Ok(())
    }

    /// Takes the merge back. The original weight was kept, so it returns bit for bit.
    ///
    /// # Errors
    /// [`LoraError::NotMerged`] when there is nothing to take back.
    pub fn unmerge(&mut self) -> Result<(), LoraError> {
        match self.merged.take() {
            Some(_) => Ok(()),
            None => Err(LoraError::NotMerged { module: self.module.clone() }),
        }
    }

    /// Whether the update is part of the weight.
    pub fn is_merged(&self) -> bool {
        self.merged.is_some()
    }

    /// The down projection `A`, `[r, in]`. Clones share its storage; `Var::set` changes the layer.
    pub fn lora_a(&self) -> &Var {
        &self.a
    }

    /// The up projection `B`, `[out, r]`.
    pub fn lora_b(&self) -> &Var {
        &self.b
    }

    /// Factor of the update.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Probability of dropout in training.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// Rank of the update.
    pub fn rank(&self) -> usize {
        self.a.dims()[0]
    }

    /// Dotted path of the layer in its model.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Both variables with their names in adapter files, in name order.
    pub fn parameters(&self) -> [(String, Var); 2] {
        [
            (format!("{}.lora_A.weight", self.module), self.a.clone()),
            (format!("{}.lora_B.weight", self.module), self.b.clone()),
        ]
    }

    /// The weight that computes the base product: the original one, or the merged one while the
    /// adapter is merged.
    pub fn base(&self) -> &FrozenWeight {
        self.merged.as_ref().unwrap_or(&self.base)
    }

    /// The weight without the update, also while the adapter is merged.
    pub fn original(&self) -> &FrozenWeight {
        &self.base
    }

    /// The bias, `[out]`; it is frozen too.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

/// Tracked, without dropout; a merged layer is its base weight alone.
impl Module for LoraLinear {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        if self.is_merged() { self.forward_eval(x) } else { self.forward_train(x, None) }
    }
}
