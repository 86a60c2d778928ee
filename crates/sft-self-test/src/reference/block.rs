//! One decoder block.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Var;
use sft_lora::LoraConfig;
use sft_model::{ModelConfig, RopeConfig, RopeScaling, StoredTensors};

use super::linear::Linear;
use super::rotary::Frequencies;
use super::{Rows, dot, normalise, vector};
use crate::Result;

/// Which rows belong together, and their positions.
pub(crate) struct Sequence {
    pub(crate) rows: Range<usize>,
    pub(crate) positions: Vec<u32>,
}

/// A block as its files describe it.
pub(crate) struct Block {
    input_norm: Vec<f64>,
    post_attention_norm: Vec<f64>,
    /// Of queries and of keys.
    qk_norm: Option<[Vec<f64>; 2]>,
    /// q, k, v, o, gate, up, down.
    linears: [Linear; 7],
    frequencies: Frequencies,
    window: Option<usize>,
    head_dim: usize,
    eps: f64,
    rope: RopeConfig,
}

impl Block {
    pub(crate) fn load(
        tensors: &StoredTensors,
        config: &ModelConfig,
        index: usize,
        vars: &BTreeMap<String, Var>,
        lora: &LoraConfig,
    ) -> Result<Self> {
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let norm = |part: &str| vector(&tensors.get(&name(&format!("{part}.weight")))?);
        let linear = |part: &str, bias: bool| Linear::load(tensors, name(part), bias, vars, lora);
        let (qkv, o, mlp) = (config.qkv_bias, config.o_bias, config.mlp_bias);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            post_attention_norm: norm("post_attention_layernorm")?,
            qk_norm: if config.qk_norm {
                Some([norm("self_attn.q_norm")?, norm("self_attn.k_norm")?])
            } else {
                None
            },
            linears: [
                linear("self_attn.q_proj", qkv)?,
                linear("self_attn.k_proj", qkv)?,
                linear("self_attn.v_proj", qkv)?,
                linear("self_attn.o_proj", o)?,
                linear("mlp.gate_proj", mlp)?,
                linear("mlp.up_proj", mlp)?,
                linear("mlp.down_proj", mlp)?,
            ],
            frequencies: Frequencies::new(&config.rope, config.head_dim),
            window: config.sliding_windows[index],
            head_dim: config.head_dim,
            eps: config.rms_norm_eps,
            rope: config.rope.clone(),
        })
    }

    /// An adapter's parameter by its full name.
    pub(crate) fn parameter(&mut self, name: &str) -> Option<&mut Rows> {
        self.linears.iter_mut().find_map(|linear| linear.parameter(name))
    }

    /// `[T, D]` to `[T, D]`.
    pub(crate) fn forward(&self, x: &Rows, sequences: &[Sequence]) -> Result<Rows> {
        let [q, k, v, o, gate, up, down] = &self.linears;
        let h = normalise(x, &self.input_norm, self.eps);
        let (mut queries, mut keys, values) = (q.forward(&h)?, k.forward(&h)?, v.forward(&h)?);
        if let Some([of_queries, of_keys]) = &self.qk_norm {
            queries = normalise(&queries, of_queries, self.eps);
            keys = normalise(&keys, of_keys, self.eps);
        }
        for sequence in sequences {
            for (row, &position) in sequence.rows.clone().zip(&sequence.positions) {
                for heads in [&mut queries, &mut keys] {
                    let width = heads.width;
                    for head in heads.values[row * width..][..width].chunks_exact_mut(self.head_dim)
                    {
                        self.frequencies.turn(head, position);
                    }
                }
            }
        }
        let attended = self.attend(&queries, &keys, &values, sequences);
        let x = o.forward(&attended)?.plus(x);
        let h = normalise(&x, &self.post_attention_norm, self.eps);
        let (mut inner, up) = (gate.forward(&h)?, up.forward(&h)?);
        for (gate, up) in inner.values.iter_mut().zip(&up.values) {
            *gate *= up / (1.0 + (-*gate).exp());
        }
        Ok(down.forward(&inner)?.plus(&x))
    }

    fn attend(&self, queries: &Rows, keys: &Rows, values: &Rows, sequences: &[Sequence]) -> Rows {
        let dim = self.head_dim;
        let group = queries.width / keys.width; // query heads that share a key head
        let mut out = Rows { values: vec![0.0; queries.values.len()], width: queries.width };
        for sequence in sequences {
            let start = sequence.rows.start;
            for row in sequence.rows.clone() {
                let oldest =
                    self.window.map_or(start, |window| start.max((row + 1).saturating_sub(window)));
                for head in 0..queries.width / dim {
                    let part = head / group * dim..(head / group + 1) * dim;
                    let query = &queries.row(row)[head * dim..][..dim];
                    let scores: Vec<f64> = (oldest..=row)
                        .map(|seen| dot(query, &keys.row(seen)[part.clone()]) / (dim as f64).sqrt())
                        .collect();
                    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let weights: Vec<f64> = scores.iter().map(|s| (s - highest).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    let target = &mut out.values[row * queries.width + head * dim..][..dim];
                    for (seen, weight) in (oldest..=row).zip(weights) {
                        let value = &values.row(seen)[part.clone()];
                        target.iter_mut().zip(value).for_each(|(t, v)| *t += weight / sum * v);
                    }
                }
            }
        }
        out
    }
}

/// A fault that would explain a block that computes something else, and the block with it.
pub(crate) type Suspect = (&'static str, fn(&mut Block));

/// What is tried when a block does not compute what it should.
pub(crate) const SUSPECTS: [Suspect; 5] = [
    ("the scale of an adapter (alpha / r) multiplies its base's output, too", |block| {
        for linear in &mut block.linears {
            linear.factor = linear.adapter.as_ref().map_or(1.0, |adapter| adapter.scale);
        }
    }),
    ("the sliding window is missing", |block| block.window = None),
    ("the scaling of the rotary embedding is missing", |block| {
        let plain = RopeConfig { scaling: RopeScaling::None, ..block.rope.clone() };
        block.frequencies = Frequencies::new(&plain, block.head_dim);
    }),
    ("the biases of the linear layers are missing", |block| {
        for linear in &mut block.linears {
            linear.bias = None;
        }
    }),
    ("the normalisation of queries and keys is missing", |block| block.qk_norm = None),
];
