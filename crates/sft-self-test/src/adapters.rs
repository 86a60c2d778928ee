//! The adapters' values, put aside for as long as the checks need others.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use sft_kernels::random;
use sft_model::Decoder;

use crate::{Result, SelfTestError};

/// The variables of a decoder and what was in them.
pub(crate) struct Adapters {
    pub(crate) vars: BTreeMap<String, Var>,
    saved: BTreeMap<String, Tensor>,
}

impl Adapters {
    pub(crate) fn of(decoder: &Decoder) -> Result<Self> {
        let vars = decoder.lora_parameters();
        if vars.is_empty() {
            return Err(SelfTestError::NoAdapter);
        }
        let saved = vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
        let saved = saved.collect::<Result<_>>()?;
        Ok(Self { vars, saved })
    }

    /// Dotted names of the adapted layers, in name order.
    pub(crate) fn modules(&self) -> Vec<&str> {
        self.vars.keys().filter_map(|name| name.strip_suffix(".lora_A.weight")).collect()
    }

    /// Numbers of the blocks that have an adapter, ascending.
    pub(crate) fn blocks(&self) -> Vec<usize> {
        let number =
            |module: &str| module.strip_prefix("model.layers.")?.split('.').next()?.parse().ok();
        let mut blocks: Vec<usize> = self.modules().into_iter().filter_map(number).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// Puts every value back, bit for bit.
    pub(crate) fn restore(&self) -> Result<()> {
        for (name, var) in &self.vars {
            var.set(&self.saved[name])?;
        }
        Ok(())
    }

    /// Makes every `B` zero, as in a fresh adapter.
    pub(crate) fn clear_b(&self) -> Result<()> {
        for (_, var) in self.vars.iter().filter(|(name, _)| is_b(name)) {
            var.set(&var.zeros_like()?)?;
        }
        Ok(())
    }

    /// Puts random numbers into every `A` and `B`: an update that is a few percent of its layer's output.
    pub(crate) fn randomise(&self) -> Result<()> {
        for (name, var) in &self.vars {
            let bound = bound(name, var);
            let values: Vec<f32> =
                random::uniform(SEED, random::module_key(name), var.elem_count())
                    .into_iter()
                    .map(|u| (2.0 * u - 1.0) * bound as f32)
                    .collect();
            let values = Tensor::from_vec(values, var.shape(), var.device())?;
            var.set(&values.to_dtype(var.dtype())?)?;
        }
        Ok(())
    }
}

/// Of the numbers of [`Adapters::randomise`] and of what is sampled.
pub(crate) const SEED: u64 = 7;

/// The largest number that [`Adapters::randomise`] puts into a parameter.
pub(crate) fn bound(name: &str, var: &Var) -> f64 {
    let width = var.dims().get(1).copied().unwrap_or(1) as f64;
    if is_b(name) { 0.1 / width.sqrt() } else { 1.0 / width.sqrt() }
}

pub(crate) fn is_b(name: &str) -> bool {
    name.ends_with(".lora_B.weight")
}
