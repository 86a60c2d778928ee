//! A linear layer with an adapter.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use sft_lora::LoraConfig;
use sft_model::StoredTensors;

use super::{Rows, dot, vector};
use crate::Result;

/// `y = factor * (x W^T + bias) + scale * (x A^T) B^T`.
pub(crate) struct Linear {
    module: String,
    /// `[out, in]`, f64.
    weight: Tensor,
    pub(crate) bias: Option<Vec<f64>>,
    pub(crate) adapter: Option<Adapter>,
    /// 1, but where a fault is suspected.
    pub(crate) factor: f64,
    /// The first input and its product with the weight: most perturbations leave most inputs alone.
    first: OnceCell<(Rows, Rows)>,
}

/// `A` `[r, in]`, `B` `[out, r]`.
pub(crate) struct Adapter {
    a: Rows,
    b: Rows,
    pub(crate) scale: f64,
}

/// alpha / r, or alpha / sqrt(r) with rsLoRA.
fn scale(lora: &LoraConfig, module: &str, r: usize) -> f64 {
    let (alpha, r) = (lora.alpha_for(module), r as f64);
    if lora.use_rslora { alpha / r.sqrt() } else { alpha / r }
}

impl Linear {
    pub(crate) fn load(
        tensors: &StoredTensors,
        module: String,
        with_bias: bool,
        vars: &BTreeMap<String, Var>,
        lora: &LoraConfig,
    ) -> Result<Self> {
        let weight = tensors.get(&format!("{module}.weight"))?.to_dtype(DType::F64)?;
        let bias =
            if with_bias { Some(vector(&tensors.get(&format!("{module}.bias"))?)?) } else { None };
        let matrix = |name: &str| vars.get(&format!("{module}.{name}.weight"));
        let adapter = match (matrix("lora_A"), matrix("lora_B")) {
            (Some(a), Some(b)) => Some(Adapter {
                a: Rows::from_tensor(a)?,
                b: Rows::from_tensor(b)?,
                scale: scale(lora, &module, a.dims()[0]),
            }),
            _ => None,
        };
        Ok(Self { module, weight, bias, adapter, factor: 1.0, first: OnceCell::new() })
    }

    /// A parameter of the adapter by its full name.
    pub(crate) fn parameter(&mut self, name: &str) -> Option<&mut Rows> {
        let matrix = name.strip_prefix(&self.module)?;
        let adapter = self.adapter.as_mut()?;
        match matrix {
            ".lora_A.weight" => Some(&mut adapter.a),
            ".lora_B.weight" => Some(&mut adapter.b),
            _ => None,
        }
    }

    pub(crate) fn forward(&self, x: &Rows) -> Result<Rows> {
        let mut y = match self.first.get() {
            Some((input, product)) if input == x => product.clone(),
            Some(_) => x.product(&self.weight)?,
            None => {
                let product = x.product(&self.weight)?;
                self.first.get_or_init(|| (x.clone(), product.clone()));
                product
            }
        };
        for (x, y) in x.iter().zip(y.values.chunks_exact_mut(y.width)) {
            if let Some(bias) = &self.bias {
                y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
            for y in &mut *y {
                *y *= self.factor;
            }
            if let Some(Adapter { a, b, scale }) = &self.adapter {
                let down: Vec<f64> = a.iter().map(|a| dot(a, x)).collect();
                y.iter_mut().zip(b.iter()).for_each(|(y, b)| *y += scale * dot(b, &down));
            }
        }
        Ok(y)
    }
}
