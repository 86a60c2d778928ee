//! Weight files of a limited size.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use safetensors::View;
use serde_json::json;

use crate::{ModelError, Result};

/// Writes what `make` gives for each of the names, beside whose sizes in bytes they stand: one file
/// at a time in memory, of at most `shard_bytes` unless one tensor is larger, and the files' index if
/// there are several.
pub(crate) fn write_shards<V: View>(
    names: &[(&str, usize)],
    dir: &Path,
    shard_bytes: usize,
    mut make: impl FnMut(&str) -> Result<Vec<(String, V)>>,
) -> Result<()> {
    let shards = shards(names, shard_bytes);
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
            tensors.extend(make(name)?);
        }
        for (name, tensor) in &tensors {
            total_size += tensor.data_len();
            weight_map.insert(name.clone(), file.clone());
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
fn shards<'a>(names: &[(&'a str, usize)], shard_bytes: usize) -> Vec<Vec<&'a str>> {
    let mut shards = vec![Vec::new()];
    let mut size = 0;
    for &(name, len) in names {
        if size > 0 && len > shard_bytes.saturating_sub(size) {
            shards.push(Vec::new());
            size = 0;
        }
        size = size.saturating_add(len);
        if let Some(shard) = shards.last_mut() {
            shard.push(name);
        }
    }
    shards
}
