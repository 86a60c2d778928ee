//! Writing a model: an adapter's merged one, and the folder that every written model is.

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::Device;
use serde_json::Value;

use crate::{
    Decoder, ModelDir, ModelError, Result, projection::Projection, save_config::write_configs,
    shards::write_shards, weights::WeightFiles,
};

/// Bytes of weights in one file, at most (unless one tensor is larger).
pub(crate) const SHARD_BYTES: usize = 2_000_000_000;

/// Files of the tokenizer and the template that go along unchanged.
const TEXT_FILES: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "sft_config.json",
    "recommended_sft.toml",
];

/// Writes a merged model as a Hugging Face folder: what `source` holds, with the adapted layers
/// replaced by `decoder`'s, each tensor in the type it has in `source`, bf16 where it is quantised. Tokenizer and template come
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
    let saved = Saved { adapter, eos_id, quantization: None };
    write_folder(source, &saved, out, |partial| {
        write_weights(decoder, &source.weights()?, partial, shard_bytes)
    })
}

/// What a written model has that its source has not.
pub(crate) struct Saved<'a> {
    /// Tokenizer and template are those of this folder, where it has them.
    pub(crate) adapter: Option<&'a Path>,
    /// One more id to end at.
    pub(crate) eos_id: Option<u32>,
    /// `quantization_config`.
    pub(crate) quantization: Option<Value>,
}

/// Writes a model folder whose weight files `weights` writes; it appears when it is complete.
pub(crate) fn write_folder(
    source: &ModelDir,
    saved: &Saved<'_>,
    out: &Path,
    weights: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
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
    weights(&partial)?;
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
    write_configs(source, saved.eos_id, saved.quantization.as_ref(), &partial)?;
    let folders: Vec<&Path> = saved.adapter.into_iter().chain([source.path()]).collect();
    for name in TEXT_FILES {
        copy(name, &folders)?;
    }
    if out.exists() {
        fs::remove_dir(out).map_err(io(out, "replace this empty folder"))?;
    }
    fs::rename(&partial, out).map_err(io(out, "create this folder"))
}

/// Writes the tensors of the source, with the merged ones in their places.
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
    let names: Vec<(&str, usize)> = weights
        .names()
        .map(|name| Ok((name, weights.stored_bytes(name)?)))
        .collect::<Result<_>>()?;
    write_shards(&names, dir, shard_bytes, |name| {
        let tensor = match merged.get(name) {
            Some(projection) => {
                let weight = projection.weight().to_tensor()?;
                weight.to_device(&Device::Cpu)?.to_dtype(weights.stored_dtype(name)?)?
            }
            None => weights.stored(name)?,
        };
        Ok(vec![(name.to_owned(), tensor)])
    })
}

#[cfg(test)]
#[path = "save_tests.rs"]
mod tests;
