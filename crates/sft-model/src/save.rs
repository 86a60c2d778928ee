//! Writing a merged model.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use candle_core::{Device, Tensor};
use serde_json::json;

use crate::{
    Decoder, ModelDir, ModelError, Result, projection::Projection, save_config::write_configs,
    weights::WeightFiles,
};

/// Bytes of weights in one file, at most (unless one tensor is larger).
const SHARD_BYTES: usize = 2_000_000_000;

/// Files of the tokenizer and the template that go along unchanged.
const TEXT_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "sft_config.json",
];

/// Writes a merged model as a Hugging Face folder: what `source` holds, with the adapted layers
/// replaced by `decoder`'s, each tensor in the type it has in `source`. Tokenizer and template come
/// from `adapter`, the adapter's folder, where it has them. `eos_id`, where the adapter learnt to end,
/// is added to the `eos_token_id` of the configuration.
///
/// `out` must not exist, or be an empty folder; it appears only when it is complete.
///
/// # Errors
/// When the decoder's adapters are not merged, or the folder cannot be written.
pub fn save_merged(
    decoder: &Decoder,
    source: &ModelDir,
    adapter: Option<&Path>,
    eos_id: Option<u32>,
    out: &Path,
) -> Result<()> {
    save_in_shards(decoder, source, adapter, eos_id, out, SHARD_BYTES)
}

/// [`save_merged`] with files of at most `shard_bytes` of weights.
fn save_in_shards(
    decoder: &Decoder,
    source: &ModelDir,
    adapter: Option<&Path>,
    eos_id: Option<u32>,
    out: &Path,
    shard_bytes: usize,
) -> Result<()> {
    if decoder.projections().filter_map(Projection::lora).any(|layer| !layer.is_merged()) {
        return Err(ModelError::State("merge the adapter before saving the merged model"));
    }
    let occupied = out.is_file() || fs::read_dir(out).is_ok_and(|mut dir| dir.next().is_some());
    if occupied {
        return Err(ModelError::NotAModel {
            path: out.into(),
            reason: "already exists; give a folder that does not exist yet".into(),
        });
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let partial = out.with_file_name(format!(".sft-tmp-{name}")); // nobody else's name
    let io = |path: &Path, action| {
        let path = path.to_owned();
        move |source| ModelError::Io { path, action, source }
    };
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io(&partial, "remove this left-over folder"))?;
    }
    fs::create_dir_all(&partial).map_err(io(&partial, "create this folder"))?;
    write_weights(decoder, &source.weights()?, &partial, shard_bytes)?;
    let copy = |name: &str, folders: &[&Path]| match folders
        .iter()
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
    {
        Some(from) => {
            fs::copy(&from, partial.join(name)).map(drop).map_err(io(&from, "copy this file"))
        }
        None => Ok(()),
    };
    write_configs(source, eos_id, &partial)?;
    let folders: Vec<&Path> = adapter.into_iter().chain([source.path()]).collect();
    for name in TEXT_FILES {
        copy(name, &folders)?;
    }
    if out.exists() {
        fs::remove_dir(out).map_err(io(out, "replace this empty folder"))?;
    }
    fs::rename(&partial, out).map_err(io(out, "create this folder"))
}

/// Writes the shards, one at a time in memory, and their index if there are several.
fn write_weights(
    decoder: &Decoder,
    weights: &WeightFiles,
    dir: &Path,
    shard_bytes: usize,
) -> Result<()> {
    let merged: BTreeMap<String, &Projection> = decoder
        .projections()
        .filter(|projection| projection.lora().is_some())
        .map(|projection| (format!("{}.weight", projection.module()), projection))
        .collect();
    let names: Vec<&str> = weights.names().collect();
    let shards = shards(&names, weights, shard_bytes)?;
    let mut weight_map = BTreeMap::new();
    let mut total_size = 0;
    for (i, shard) in shards.iter().enumerate() {
        let file = if shards.len() == 1 {
            "model.safetensors".to_owned()
        } else {
            format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len())
        };
        let mut tensors = Vec::with_capacity(shard.len());
        for &name in shard {
            let stored = weights.stored(name)?;
            let tensor = match merged.get(name) {
                Some(projection) => {
                    let weight = projection.weight().to_tensor()?;
                    weight.to_device(&Device::Cpu)?.to_dtype(stored.dtype())?
                }
                None => stored,
            };
            total_size += bytes(&tensor);
            weight_map.insert(name, file.clone());
            tensors.push((name, tensor));
        }
        let path = dir.join(&file);
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(tensors, Some(metadata), &path).map_err(|error| {
            ModelError::Weights {
                path: path.clone(),
                problem: format!("cannot write this file ({error}); is the disk full?"),
            }
        })?;
    }
    if shards.len() > 1 {
        let path = dir.join("model.safetensors.index.json");
        let index = json!({ "metadata": { "total_size": total_size }, "weight_map": weight_map });
        fs::write(&path, format!("{index:#}\n"))
            .map_err(|source| ModelError::io(path, "write this file", source))?;
    }
    Ok(())
}

/// Names in order, cut where a file would grow beyond `shard_bytes`.
fn shards<'a>(
    names: &[&'a str],
    weights: &WeightFiles,
    shard_bytes: usize,
) -> Result<Vec<Vec<&'a str>>> {
    let mut shards = vec![Vec::new()];
    let mut size = 0;
    for &name in names {
        let len = weights.stored_bytes(name)?;
        if size > 0 && size + len > shard_bytes {
            shards.push(Vec::new());
            size = 0;
        }
        size += len;
        if let Some(shard) = shards.last_mut() {
            shard.push(name);
        }
    }
    Ok(shards)
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
