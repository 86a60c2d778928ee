//! `adapter_config.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{narrowed::narrowed, options::unsupported};
use crate::{LoraConfig, LoraError, TargetModules};

/// `adapter_config.json`, as PEFT's `LoraConfig.save_pretrained` writes it.
///
/// The options that plain LoRA has are fields; whatever else a file holds is kept in `other`, and
/// [`to_lora`](Self::to_lora) refuses what would change the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeftConfig {
    /// `LORA` for every file that this crate can use.
    pub peft_type: String,
    /// `CAUSAL_LM` in files that this crate writes.
    #[serde(default)]
    pub task_type: Option<String>,
    /// The base model: a hub id, or a directory as it was given.
    #[serde(default)]
    pub base_model_name_or_path: Option<String>,
    /// The base model's revision on the hub.
    #[serde(default)]
    pub revision: Option<String>,
    /// Rank. PEFT's default where a file does not say.
    #[serde(default = "eight")]
    pub r: usize,
    /// Numerator of the scale; an integer in the file when it is integral.
    #[serde(default = "eight_point", serialize_with = "as_python_number")]
    pub lora_alpha: f64,
    /// Dropout on the adapter's input.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Which modules have an adapter.
    #[serde(default)]
    pub target_modules: Option<TargetModules>,
    /// Scale by `lora_alpha / sqrt(r)`.
    #[serde(default)]
    pub use_rslora: bool,
    /// Ranks of single modules.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of single modules.
    #[serde(default, deserialize_with = "null_is_empty", serialize_with = "as_python_numbers")]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// Every other key.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl PeftConfig {
    /// The file's content for an adapter of this crate, with exactly the keys that every PEFT since
    /// 0.10 accepts.
    ///
    /// `target_names` stands for `all-linear`, as PEFT writes the names it found: the leaf names of
    /// the adapted modules (`q_proj`, ...). The other forms are written as they are.
    pub fn from_lora(
        config: &LoraConfig,
        base_model_name_or_path: &str,
        revision: Option<&str>,
        target_names: &[String],
    ) -> Self {
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            TargetModules::List(names)
        };
        let other = [
            ("auto_mapping", Value::Null),
            ("bias", json!("none")),
            ("fan_in_fan_out", json!(false)),
            ("inference_mode", json!(true)),
            ("init_lora_weights", json!(true)),
            ("layer_replication", Value::Null),
            ("layers_pattern", Value::Null),
            ("layers_to_transform", Value::Null),
            ("loftq_config", json!({})),
            ("megatron_config", Value::Null),
            ("megatron_core", json!("megatron.core")),
            ("modules_to_save", Value::Null),
            ("use_dora", json!(false)),
        ];
        Self {
            peft_type: "LORA".to_owned(),
            task_type: Some("CAUSAL_LM".to_owned()),
            base_model_name_or_path: Some(base_model_name_or_path.to_owned()),
            revision: revision.map(str::to_owned),
            r: config.r,
            lora_alpha: config.lora_alpha,
            lora_dropout: config.lora_dropout,
            target_modules: Some(match &config.target_modules {
                TargetModules::AllLinear => sorted(target_names),
                TargetModules::List(names) => sorted(names),
                TargetModules::Regex(pattern) => TargetModules::Regex(pattern.clone()),
            }),
            use_rslora: config.use_rslora,
            rank_pattern: config.rank_pattern.clone(),
            alpha_pattern: config.alpha_pattern.clone(),
            other: other.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    /// The hyper-parameters, for files of PEFT 0.10 to 0.21 and whatever later ones add that is at
    /// rest (null, false or empty).
    ///
    /// # Errors
    /// [`LoraError::Unsupported`] naming every option that would change the result and is not
    /// implemented here; [`LoraError::Config`] for values that are out of range.
    pub fn to_lora(&self) -> Result<LoraConfig, LoraError> {
        let mut options = Vec::new();
        if self.peft_type != "LORA" {
            options.push(format!("peft_type is {:?}, but only LORA is supported", self.peft_type));
        }
        if self.target_modules.is_none() {
            options.push(
                "target_modules is null; write the names of the adapted modules there".to_owned(),
            );
        }
        options.extend(self.other.iter().filter_map(|(key, value)| unsupported(key, value)));
        let targets = self.target_modules.clone().map(|targets| narrowed(targets, &self.other));
        let target_modules = match targets {
            Some(Ok(targets)) if options.is_empty() => targets,
            targets => {
                options.extend(targets.and_then(Result::err).unwrap_or_default());
                return Err(LoraError::Unsupported { options });
            }
        };
        let config = LoraConfig {
            r: self.r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules,
            use_rslora: self.use_rslora,
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: self.alpha_pattern.clone(),
        };
        config.validate()?;
        Ok(config)
    }

    /// The file's text: keys sorted, two spaces, as Python's `json.dumps(indent=2, sort_keys=True)`.
    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        // Through a sorted map, whatever order the fields have here.
        let keys: BTreeMap<String, Value> = serde_json::from_value(serde_json::to_value(self)?)?;
        serde_json::to_string_pretty(&keys)
    }
}

fn eight() -> usize {
    8
}

fn eight_point() -> f64 {
    8.0
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// PEFT declares alpha as an integer; old readers and diffs expect `32`, not `32.0`.
fn python_number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if value.fract() == 0.0 && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn as_python_number<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    python_number(*value).serialize(serializer)
}

fn as_python_numbers<S: serde::Serializer>(
    values: &BTreeMap<String, f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, &value)| (key, python_number(value))))
}
