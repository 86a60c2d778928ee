//! Adapters as files, in the form that PEFT writes and reads.
//!
//! An adapter is a folder with `adapter_config.json` and its matrices in
//! `adapter_model.safetensors`, or, from older versions, in `adapter_model.bin`.

mod config;
mod narrowed;
mod options;
mod weights;

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};

use crate::{
    LoraConfig, LoraError, atomic,
    limited::{SETTINGS, read_limited},
    torch_file,
};

pub use config::PeftConfig;

const CONFIG: &str = "adapter_config.json";
const SAFETENSORS: &str = "adapter_model.safetensors";
const TORCH: &str = "adapter_model.bin";

/// An adapter read from a folder.
#[derive(Clone, Debug)]
pub struct PeftAdapter {
    /// `adapter_config.json`.
    pub config: PeftConfig,
    /// Its hyper-parameters.
    pub lora: LoraConfig,
    /// The matrices, f32, by name without PEFT's prefix: `<module>.lora_A.weight` `[r, in]` and
    /// `<module>.lora_B.weight` `[out, r]`. Each module has both.
    pub tensors: BTreeMap<String, Tensor>,
    /// The folder.
    pub dir: PathBuf,
}

/// Writes an adapter to a folder, which is made where it is missing: `adapter_model.safetensors`,
/// `adapter_model.bin` with the same content for tools that cannot read the first, and
/// `adapter_config.json`.
///
/// `tensors` are named as [`LoraLinear::parameters`](crate::LoraLinear::parameters) names them, and
/// stored as f32. Each file is complete before it gets its name, and the same tensors give the same
/// bytes.
///
/// # Errors
/// When a tensor is missing or does not have the shape of its configuration, or a file cannot be
/// written.
pub fn save_adapter(
    dir: &Path,
    config: &PeftConfig,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), LoraError> {
    save(dir, config, tensors, true)
}

/// [`save_adapter`] without `adapter_model.bin`.
///
/// # Errors
/// As [`save_adapter`].
pub fn save_safetensors_adapter(
    dir: &Path,
    config: &PeftConfig,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), LoraError> {
    save(dir, config, tensors, false)
}

fn save(
    dir: &Path,
    config: &PeftConfig,
    tensors: &BTreeMap<String, Tensor>,
    torch: bool,
) -> Result<(), LoraError> {
    weights::check(&config.to_lora()?, tensors, &dir.join(SAFETENSORS))?;
    let tensors = weights::to_file(tensors)?;
    let json_path = dir.join(CONFIG);
    let json =
        config.to_json().map_err(|source| LoraError::Json { path: json_path.clone(), source })?;
    std::fs::create_dir_all(dir).map_err(|source| LoraError::Io {
        action: "create",
        path: dir.to_owned(),
        source,
    })?;
    weights::write_safetensors(&dir.join(SAFETENSORS), &tensors)?;
    if torch {
        torch_file::write(&dir.join(TORCH), &tensors)?;
    }
    // Last, so that a folder with a configuration has its weights.
    atomic::write(&json_path, json.as_bytes())
}

/// Reads an adapter that PEFT or [`save_adapter`] wrote; f16 and bf16 matrices become f32.
///
/// # Errors
/// When a file is missing or damaged, the configuration asks for something that is not supported, or
/// the matrices are not those that it describes.
pub fn load_adapter(dir: &Path, device: &Device) -> Result<PeftAdapter, LoraError> {
    let config = PeftConfig::read(dir)?;
    let lora = config.to_lora().map_err(|error| error.in_file(&dir.join(CONFIG)))?;

    let path = dir.join(SAFETENSORS);
    let (path, tensors) = if path.exists() {
        let tensors = weights::read_safetensors(&path, device)?;
        (path, tensors)
    } else {
        let path = dir.join(TORCH);
        if !path.exists() {
            return Err(LoraError::NoAdapter { dir: dir.to_owned(), missing: SAFETENSORS });
        }
        let tensors = torch_file::read(&path, device)?;
        (path, tensors)
    };
    let tensors = weights::from_file(tensors)?;
    weights::check(&lora, &tensors, &path)?;
    tracing::debug!(dir = %dir.display(), tensors = tensors.len(), "adapter loaded");
    Ok(PeftAdapter { config, lora, tensors, dir: dir.to_owned() })
}

impl PeftConfig {
    /// Reads the configuration in an adapter's folder.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn read(dir: &Path) -> Result<Self, LoraError> {
        let path = dir.join(CONFIG);
        let json = read_or_missing(&path, CONFIG)?;
        serde_json::from_slice(&json).map_err(|source| LoraError::Json { path, source })
    }
}

fn read_or_missing(path: &Path, missing: &'static str) -> Result<Vec<u8>, LoraError> {
    read_limited(path, SETTINGS).map_err(|source| match source.kind() {
        ErrorKind::NotFound => {
            let dir = path.parent().unwrap_or(path).to_owned();
            LoraError::NoAdapter { dir, missing }
        }
        _ => LoraError::Io { action: "read", path: path.to_owned(), source },
    })
}
