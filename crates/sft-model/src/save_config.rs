//! The configuration of a merged model: its source's, with the id that the adapter learnt to end at.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{ModelDir, ModelError, Result, tokens::read_json};

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";

/// Writes `config.json` and `generation_config.json` of `source` to `out`, with `eos_id` among their
/// `eos_token_id`: other tools stop at no id that these files do not name. A file that names it is
/// copied byte for byte.
pub(crate) fn write_configs(source: &ModelDir, eos_id: Option<u32>, out: &Path) -> Result<()> {
    let ids = &source.config().eos_token_ids;
    write(source, CONFIG, ids, eos_id, out)?;
    write(source, GENERATION, &source.configured_stop_ids(), eos_id, out)
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
    let text = format!("{:#}\n", Value::Object(config));
    fs::write(&to, text).map_err(|error| ModelError::io(&to, "write this file", error))
}

/// What transformers takes from `config.json` where there is no `generation_config.json`.
fn token_ids(source: &ModelDir) -> Result<Map<String, Value>> {
    let mut config: Map<String, Value> = read_json(&source.path().join(CONFIG))?;
    config.retain(|key, id| {
        ["bos_token_id", "pad_token_id"].contains(&key.as_str()) && !id.is_null()
    });
    Ok(config)
}
