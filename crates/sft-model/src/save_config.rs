//! The configuration of a written model: its source's, with the id that an adapter learnt to end at, and how
//! its matrices are quantised.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{ModelDir, ModelError, Result, tokens::read_json};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const QUANTIZATION: &str = "quantization_config";

/// Writes `config.json` and `generation_config.json` of `source` to `out`, with `eos_id` among their
/// `eos_token_id`: other tools stop at no id that these files do not name. `quantization` is what
/// `config.json` says about the matrices; without it they are dense. A file in which nothing changes
/// is copied byte for byte.
pub(crate) fn write_configs(
    source: &ModelDir,
    eos_id: Option<u32>,
    quantization: Option<&Value>,
    out: &Path,
) -> Result<()> {
    let ids = &source.config().eos_token_ids;
    write(source, CONFIG, ids, eos_id, out)?;
    write(source, GENERATION, &source.configured_stop_ids(), eos_id, out)?;
    if quantization.is_none() && source.config().quantization.is_none() {
        return Ok(());
    }
    let path = out.join(CONFIG);
    let mut config: Map<String, Value> = read_json(&path)?;
    config.remove(QUANTIZATION);
    if let Some(settings) = quantization {
        config.insert(QUANTIZATION.into(), settings.clone());
        // What is dense is bf16.
        let key = if config.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        config.insert(key.into(), json!("bfloat16"));
    }
    replace(&path, config)
}

fn write(
    source: &ModelDir,
    name: &str,
    known: &[u32],
    eos_id: Option<u32>,
    out: &Path,
) -> Result<()> {
    let (from, to) = (source.path().join(name), out.join(name));
    let Some(eos_id) = eos_id.filter(|id| !known.contains(id)) else {
        if from.is_file() {
            fs::copy(&from, to).map_err(|error| ModelError::io(&from, "copy this file", error))?;
        }
        return Ok(());
    };
    let mut config: Map<String, Value> =
        if from.is_file() { read_json(&from)? } else { token_ids(source)? };
    let ids = if known.is_empty() { json!(eos_id) } else { json!([known, &[eos_id]].concat()) };
    config.insert("eos_token_id".into(), ids);
    replace(&to, config)
}

fn replace(path: &Path, config: Map<String, Value>) -> Result<()> {
    let text = format!("{:#}\n", Value::Object(config));
    fs::write(path, text).map_err(|error| ModelError::io(path, "write this file", error))
}

/// What transformers takes from `config.json` where there is no `generation_config.json`.
fn token_ids(source: &ModelDir) -> Result<Map<String, Value>> {
    let mut config: Map<String, Value> = read_json(&source.path().join(CONFIG))?;
    config.retain(|key, id| {
        ["bos_token_id", "pad_token_id"].contains(&key.as_str()) && !id.is_null()
    });
    Ok(config)
}
