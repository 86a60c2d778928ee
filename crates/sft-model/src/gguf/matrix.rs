//! The matrices of an adapter: their names, scale and order of rows in llama.cpp.

use std::collections::BTreeSet;

use sft_lora::{LoraConfig, peft::PeftAdapter};

use crate::{ModelConfig, ModelError, Result, modules::MODULES};

/// One `A` or `B`.
pub(super) struct Matrix {
    /// Its name in a GGUF file.
    pub(super) name: String,
    /// Rows and columns.
    pub(super) shape: [usize; 2],
    /// Row by row, in PEFT's order.
    pub(super) values: Vec<f32>,
    /// Width of the heads whose rows have another order in llama.cpp.
    pub(super) head_dim: Option<usize>,
}

impl Matrix {
    /// The values in llama.cpp's order of rows.
    pub(super) fn permuted(&self) -> Vec<f32> {
        let Some(head_dim) = self.head_dim else { return self.values.clone() };
        let columns = self.shape[1];
        (0..self.shape[0])
            .flat_map(|row| &self.values[peft_row(row, head_dim) * columns..][..columns])
            .copied()
            .collect()
    }

    /// The inverse of [`permuted`](Self::permuted), for values of this matrix's shape.
    pub(super) fn restored(&self, permuted: &[f32]) -> Vec<f32> {
        let Some(head_dim) = self.head_dim else { return permuted.to_vec() };
        let columns = self.shape[1];
        let mut values = vec![0.0; permuted.len()];
        for (row, from) in permuted.chunks_exact(columns).enumerate() {
            values[peft_row(row, head_dim) * columns..][..columns].copy_from_slice(from);
        }
        values
    }
}

/// The row of PEFT's matrix that stands in `row` of llama.cpp's: of each head, the rows of the two
/// halves in turn. It is `reshape(heads, 2, head_dim / 2, in).swapaxes(1, 2)`.
fn peft_row(row: usize, head_dim: usize) -> usize {
    let within = row % head_dim;
    row - within + within % 2 * (head_dim / 2) + within / 2
}

/// The alpha with which `alpha / r` is the scale of every module, or of those that no pattern names.
pub(super) fn common_alpha(adapter: &PeftAdapter) -> f32 {
    let lora = &adapter.lora;
    let alphas: BTreeSet<u32> =
        modules(adapter).map(|module| (alpha(lora, module) as f32).to_bits()).collect();
    match alphas.first() {
        Some(&bits) if alphas.len() == 1 => f32::from_bits(bits),
        _ => scaled(lora, lora.lora_alpha, lora.r) as f32,
    }
}

/// The alpha with which `alpha / r` is the scale of one module.
fn alpha(lora: &LoraConfig, module: &str) -> f64 {
    scaled(lora, lora.alpha_for(module), lora.rank_for(module))
}

fn scaled(lora: &LoraConfig, alpha: f64, r: usize) -> f64 {
    if lora.use_rslora { alpha * (r as f64).sqrt() } else { alpha }
}

fn modules(adapter: &PeftAdapter) -> impl Iterator<Item = &str> {
    adapter.tensors.keys().filter_map(|name| name.strip_suffix(".lora_A.weight"))
}

/// Every matrix of an adapter on `base`, scaled so that `alpha` is the alpha of all. `interleaved`
/// says that llama.cpp has the rows of q and k in its own order.
pub(super) fn matrices(
    adapter: &PeftAdapter,
    base: &ModelConfig,
    interleaved: bool,
    common: f32,
) -> Result<Vec<Matrix>> {
    if let Some(missing) = missing(adapter, base)? {
        return Err(ModelError::Adapter(format!(
            "its config targets `{missing}`, but it has no matrices for it; save the adapter again"
        )));
    }
    let mut matrices = Vec::with_capacity(adapter.tensors.len());
    for module in modules(adapter) {
        let place = Place::of(module, base).ok_or_else(|| {
            ModelError::Adapter(format!(
                "it adapts `{module}`, which is no linear layer in a block of the base; give the \
                 base that it was trained on"
            ))
        })?;
        let r = adapter.lora.rank_for(module);
        let own = alpha(&adapter.lora, module);
        let factor = if own as f32 == common { 1.0 } else { own / f64::from(common) };
        for (part, suffix, shape) in
            [("lora_A", "lora_a", [r, place.inputs]), ("lora_B", "lora_b", [place.outputs, r])]
        {
            let name = format!("{module}.{part}.weight");
            let tensor = adapter.tensors.get(&name).filter(|tensor| tensor.dims() == shape);
            let tensor = tensor.ok_or_else(|| {
                ModelError::Adapter(format!(
                    "`{name}` is not {shape:?}; give the base that it was trained on"
                ))
            })?;
            let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
            if values.iter().any(|value| !value.is_finite()) || !own.is_finite() {
                return Err(ModelError::Adapter(format!(
                    "`{name}`, or its alpha, is not finite; its training went wrong"
                )));
            }
            let is_b = part == "lora_B";
            if is_b && factor != 1.0 {
                for value in &mut values {
                    *value = (f64::from(*value) * factor) as f32;
                }
            }
            matrices.push(Matrix {
                name: format!("{}.{suffix}", place.tensor),
                shape,
                values,
                head_dim: place.rotated.then_some(base.head_dim).filter(|_| is_b && interleaved),
            });
        }
    }
    Ok(matrices)
}

/// A layer that the configuration targets and the adapter does not have.
fn missing(adapter: &PeftAdapter, base: &ModelConfig) -> Result<Option<String>> {
    for block in 0..base.num_hidden_layers {
        for layer in MODULES {
            let module = format!("model.layers.{block}.{layer}");
            let has = adapter.tensors.contains_key(&format!("{module}.lora_A.weight"));
            if !has && adapter.lora.targets(&module, false)? {
                return Ok(Some(module));
            }
        }
    }
    Ok(None)
}

/// A linear layer of the base.
struct Place {
    /// Its tensor in a GGUF file.
    tensor: String,
    inputs: usize,
    outputs: usize,
    /// Whether the rotary embedding turns its output.
    rotated: bool,
}

impl Place {
    fn of(module: &str, base: &ModelConfig) -> Option<Self> {
        let (block, layer) = module.strip_prefix("model.layers.")?.split_once('.')?;
        let block: usize = block.parse().ok().filter(|&block| block < base.num_hidden_layers)?;
        let (hidden, wide) = (base.hidden_size, base.intermediate_size);
        let queries = base.num_attention_heads * base.head_dim;
        let keys = base.num_key_value_heads * base.head_dim;
        let (tensor, inputs, outputs) = match layer {
            "self_attn.q_proj" => ("attn_q", hidden, queries),
            "self_attn.k_proj" => ("attn_k", hidden, keys),
            "self_attn.v_proj" => ("attn_v", hidden, keys),
            "self_attn.o_proj" => ("attn_output", queries, hidden),
            "mlp.gate_proj" => ("ffn_gate", hidden, wide),
            "mlp.up_proj" => ("ffn_up", hidden, wide),
            "mlp.down_proj" => ("ffn_down", wide, hidden),
            _ => return None,
        };
        Some(Self {
            tensor: format!("blk.{block}.{tensor}.weight"),
            inputs,
            outputs,
            rotated: matches!(tensor, "attn_q" | "attn_k"),
        })
    }
}
