//! `config.json`, in the keys of old and new transformers versions.

use std::path::Path;

use serde::{Deserialize, Deserializer};
use sft_lora::limited::{SETTINGS, read_limited};

use crate::{ModelError, Result, quantised::stored_as, runtime::Quantize};

/// The architectures that [`crate::Decoder`] computes: one decoder, and what each of them sets in it.
const SUPPORTED: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];

/// `sliding_window` of a config that does not name it (transformers' default).
const DEFAULT_WINDOW: usize = 4096;

/// Of a Qwen, the first block that the window binds, where the config does not name it
/// (transformers' default).
const DEFAULT_MAX_WINDOW_LAYERS: usize = 28;

/// `head_dim` of a Qwen3 that does not name it (transformers' default).
const QWEN3_HEAD_DIM: usize = 128;

/// More blocks than any model has: what a damaged file asks for.
const MAX_LAYERS: usize = 10_000;

/// As many features, heads or ids, likewise.
const MAX_WIDTH: usize = 1 << 24;

/// The shape of a decoder.
#[expect(clippy::struct_excessive_bools, reason = "they are flags of config.json")]
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// `llama`, `mistral`, `qwen2` (also Qwen2.5) or `qwen3`.
    pub model_type: String,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key/value heads; a divisor of the query heads.
    pub num_key_value_heads: usize,
    /// Width of a head; need not be `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Positions that the model was made for.
    pub max_position_embeddings: usize,
    /// Epsilon of the normalisations.
    pub rms_norm_eps: f64,
    /// Rotary embedding.
    pub rope: RopeConfig,
    /// Of each block: with `W`, a token sees itself and the `W - 1` tokens before it.
    pub sliding_windows: Vec<Option<usize>>,
    /// Biases on q, k and v.
    pub qkv_bias: bool,
    /// A bias on o.
    pub o_bias: bool,
    /// A normalisation of each query and key head before it is rotated.
    pub qk_norm: bool,
    /// Biases on gate, up and down.
    pub mlp_bias: bool,
    /// The head is the embedding.
    pub tie_word_embeddings: bool,
    /// Beginning-of-sequence id.
    pub bos_token_id: Option<u32>,
    /// End-of-sequence ids.
    pub eos_token_ids: Vec<u32>,
    /// How the matrices of the blocks are stored, if in few bits.
    pub quantization: Option<Quantize>,
}

/// Rotary frequencies: `theta^(-2i / head_dim)`, possibly scaled.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched for longer texts.
    pub scaling: RopeScaling,
}

/// Ways of stretching rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// As they are.
    None,
    /// All divided by one factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1's: long wavelengths divided, short ones kept, smooth between.
    Llama3 {
        /// Divisor of the long wavelengths.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions of the original model.
        original_max_position_embeddings: f64,
    },
}

#[expect(clippy::struct_excessive_bools, reason = "they are flags of config.json")]
/// The file's own form. Numbers may be null or missing where a default exists.
#[derive(Deserialize)]
struct Raw {
    model_type: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    #[serde(default)]
    sliding_window: Window,
    #[serde(default)]
    use_sliding_window: bool,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    hidden_act: Option<String>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<TokenIds>,
    quantization_config: Option<serde_json::Value>,
    transformers_version: Option<String>,
}

/// `rope_scaling` of old files, `rope_parameters` of new ones.
#[derive(Deserialize)]
struct RawRope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    partial_rotary_factor: Option<f64>,
}

/// One id or several.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl From<TokenIds> for Vec<u32> {
    fn from(ids: TokenIds) -> Self {
        match ids {
            TokenIds::One(id) => vec![id],
            TokenIds::Many(ids) => ids,
        }
    }
}

/// `null` is a value of its own here: it says that there is no window.
#[derive(Clone, Copy, Default)]
enum Window {
    #[default]
    Missing,
    Null,
    Tokens(usize),
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Ok(Option::deserialize(d)?.map_or(Self::Null, Self::Tokens))
    }
}

impl ModelConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When the file is missing or broken, or describes a model that [`crate::Decoder`] does not
    /// compute; the message lists what it does.
    pub fn read(path: &Path) -> Result<Self> {
        let text = read_limited(path, SETTINGS)
            .map_err(|source| ModelError::io(path, "read this file", source))?;
        let json = |source| ModelError::Json { path: path.into(), source };
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(json)?;
        let refuse = |problem: String| ModelError::Config { path: path.into(), problem };
        // Before the other keys, which another architecture may not have at all.
        match value.get("model_type").and_then(serde_json::Value::as_str) {
            Some(model_type) if SUPPORTED.contains(&model_type) => {}
            found => {
                return Err(refuse(format!(
                    "model_type {} is not supported; models of these types are: {}",
                    found.map_or_else(|| "(missing)".into(), |found| format!("`{found:.60}`")),
                    SUPPORTED.join(", ")
                )));
            }
        }
        let raw: Raw = serde_json::from_value(value).map_err(json)?;
        raw.resolve().map_err(refuse)
    }
}

impl Raw {
    fn resolve(self) -> std::result::Result<ModelConfig, String> {
        let model_type = self.model_type.clone().unwrap_or_default();
        let quantization = self.quantization_config.as_ref().map(stored_as).transpose()?;
        if let Some(act) = self.hidden_act.as_deref().filter(|&act| act != "silu") {
            return Err(format!("hidden_act `{act}` is not supported; only silu is"));
        }
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        let sizes = [self.hidden_size, self.intermediate_size, heads, kv_heads, self.vocab_size];
        if self.num_hidden_layers > MAX_LAYERS {
            return Err(format!("num_hidden_layers {} is no model's", self.num_hidden_layers));
        }
        if self.max_position_embeddings == 0 || sizes.iter().any(|&size| size > MAX_WIDTH) {
            return Err(format!(
                "max_position_embeddings {}, hidden_size {}, intermediate_size {}, vocab_size {}, {heads} heads: no \
                 model has such sizes",
                self.max_position_embeddings,
                self.hidden_size,
                self.intermediate_size,
                self.vocab_size
            ));
        }
        if !(self.rms_norm_eps >= 0.0 && self.rms_norm_eps.is_finite()) {
            return Err(format!("rms_norm_eps {} is not a small number", self.rms_norm_eps));
        }
        if sizes.contains(&0) || !heads.is_multiple_of(kv_heads) {
            return Err(format!(
                "{heads} attention heads, {kv_heads} key/value heads, hidden_size {}, \
                 intermediate_size {}, vocab_size {}: sizes must be positive, and the key/value \
                 heads must divide the heads",
                self.hidden_size, self.intermediate_size, self.vocab_size
            ));
        }
        let head_dim = self.head_dim.unwrap_or_else(|| match model_type.as_str() {
            "qwen3" => QWEN3_HEAD_DIM,
            _ => self.hidden_size / heads,
        });
        if head_dim == 0 || !head_dim.is_multiple_of(2) || head_dim > MAX_WIDTH {
            return Err(format!("head_dim {head_dim} must be even and positive"));
        }
        let rope = self.rope()?;
        let sliding_windows = self.sliding_windows(&model_type)?;
        // Which flags an architecture has, and what it does without one, as in transformers.
        let (qkv_bias, o_bias, mlp_bias) = match model_type.as_str() {
            "llama" => (self.attention_bias, self.attention_bias, self.mlp_bias),
            "qwen2" => (true, false, false),
            "qwen3" => (self.attention_bias, self.attention_bias, false),
            _ => (false, false, false),
        };
        Ok(ModelConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            vocab_size: self.vocab_size,
            max_position_embeddings: self.max_position_embeddings,
            rms_norm_eps: self.rms_norm_eps,
            rope,
            sliding_windows,
            qkv_bias,
            o_bias,
            qk_norm: model_type == "qwen3",
            mlp_bias,
            tie_word_embeddings: self.tie_word_embeddings,
            bos_token_id: self.bos_token_id,
            eos_token_ids: self.eos_token_id.map(Vec::from).unwrap_or_default(),
            quantization,
            model_type,
        })
    }

    /// The window of each block. A Llama has none; all of a Mistral's blocks have it; a Qwen's those
    /// that `layer_types`, else `max_window_layers` names, and only with `use_sliding_window`.
    fn sliding_windows(&self, model_type: &str) -> std::result::Result<Vec<Option<usize>>, String> {
        let blocks = self.num_hidden_layers;
        let window = match self.sliding_window {
            Window::Missing => Some(DEFAULT_WINDOW),
            Window::Null => None,
            Window::Tokens(window) => Some(window),
        };
        let qwen = matches!(model_type, "qwen2" | "qwen3");
        let window =
            window.filter(|_| model_type == "mistral" || (qwen && self.use_sliding_window));
        if window == Some(0) {
            return Err("sliding_window 0 leaves nothing to see; use null for none".into());
        }
        let bound = |block: usize, kind: Option<&str>| match kind {
            Some("full_attention") => Ok(None),
            Some("sliding_attention") => Ok(window),
            Some(other) => Err(format!(
                "layer_types has `{other}`; full_attention and sliding_attention are supported"
            )),
            None if qwen && block < self.max_window_layers.unwrap_or(DEFAULT_MAX_WINDOW_LAYERS) => {
                Ok(None)
            }
            None => Ok(window),
        };
        match self.layer_types.as_ref().filter(|_| qwen) {
            Some(kinds) if kinds.len() != blocks => Err(format!(
                "layer_types names {} blocks where num_hidden_layers has {blocks}",
                kinds.len()
            )),
            Some(kinds) => kinds.iter().map(|kind| bound(0, Some(kind))).collect(),
            None => (0..blocks).map(|block| bound(block, None)).collect(),
        }
    }

    /// transformers gave Llama the key in version 4.33.0; until then its code had the number in it.
    /// Llama 2's own files are that old.
    fn theta_before_it_was_a_key(&self) -> Option<f64> {
        let version = self
            .transformers_version
            .as_deref()
            .filter(|_| self.model_type.as_deref() == Some("llama"))?;
        let mut parts = version.split('.').map(str::parse::<u32>);
        let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
        ((major, minor) < (4, 33)).then(|| {
            tracing::warn!(
                "config.json has no rope_theta; it is of transformers {version}, in which every \
                 Llama had 10000"
            );
            10000.0
        })
    }

    fn rope(&self) -> std::result::Result<RopeConfig, String> {
        let raw = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = raw.and_then(|raw| raw.rope_theta).or(self.rope_theta);
        let theta = theta.or_else(|| self.theta_before_it_was_a_key()).ok_or(
            "no rope_theta, neither at the top level nor under rope_parameters; add the model's \
             own value (10000.0 for Llama 2)",
        )?;
        if !(theta > 0.0 && theta.is_finite()) {
            return Err(format!("rope_theta {theta} must be positive"));
        }
        let Some(raw) = raw else { return Ok(RopeConfig { theta, scaling: RopeScaling::None }) };
        if raw.partial_rotary_factor.is_some_and(|factor| factor != 1.0) {
            return Err("partial_rotary_factor is not supported".into());
        }
        let need = |value: Option<f64>, name: &str| match value {
            Some(value) if value > 0.0 && value.is_finite() => Ok(value),
            Some(value) => Err(format!("rope scaling with `{name}` {value}; it must be positive")),
            None => Err(format!("rope scaling without `{name}`")),
        };
        let scaling = match raw.rope_type.as_deref().unwrap_or("default") {
            "default" => RopeScaling::None,
            "linear" => RopeScaling::Linear { factor: need(raw.factor, "factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: need(raw.factor, "factor")?,
                low_freq_factor: need(raw.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: need(raw.high_freq_factor, "high_freq_factor")?,
                original_max_position_embeddings: need(
                    raw.original_max_position_embeddings,
                    "original_max_position_embeddings",
                )?,
            },
            other => {
                return Err(format!(
                    "rope_type `{other}` is not supported; default, linear and llama3 are"
                ));
            }
        };
        Ok(RopeConfig { theta, scaling })
    }
}
