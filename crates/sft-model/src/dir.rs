//! A model folder in Hugging Face's layout.

use std::{
    fs,
    path::{Path, PathBuf},
};

use candle_core::DType;

use crate::{
    ModelConfig, ModelError, Result,
    memory::WeightShape,
    tokens::{self, GenerationConfig},
    weights::WeightFiles,
};

/// A local model folder: `config.json`, weights, a tokenizer.
#[derive(Clone, Debug)]
pub struct ModelDir {
    path: PathBuf,
    config: ModelConfig,
    generation: Option<GenerationConfig>,
}

impl ModelDir {
    /// Opens a folder and reads its configuration; weights are not touched.
    ///
    /// # Errors
    /// When it is not a model folder, or holds a model that is not supported.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse =
            |reason: &str| ModelError::NotAModel { path: path.into(), reason: reason.into() };
        if !path.exists() {
            return Err(refuse("no such folder; give the path of a local model folder"));
        }
        let config = path.join("config.json");
        if !config.is_file() {
            return Err(refuse(if path.is_file() {
                "a file, not a folder; give the model folder that holds config.json"
            } else if path.join("adapter_config.json").is_file() {
                "an adapter, not a whole model (it has no config.json); give its base model"
            } else {
                "no config.json here; give the folder of a whole model"
            }));
        }
        let generation = path.join("generation_config.json");
        Ok(Self {
            path: path.into(),
            config: ModelConfig::read(&config)?,
            generation: if generation.is_file() {
                Some(GenerationConfig::read(&generation)?)
            } else {
                None
            },
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer file.
    ///
    /// # Errors
    /// When the folder has none.
    pub fn tokenizer_json(&self) -> Result<PathBuf> {
        let path = self.path.join("tokenizer.json");
        if path.is_file() {
            return Ok(path);
        }
        Err(ModelError::NotAModel {
            path: self.path.clone(),
            reason: "no tokenizer.json here; save the model's fast tokenizer into this folder"
                .into(),
        })
    }

    /// The tokenizer's settings, where the folder has them.
    pub fn tokenizer_config(&self) -> Option<PathBuf> {
        Some(self.path.join("tokenizer_config.json")).filter(|path| path.is_file())
    }

    /// The id that ends a summary in training: `eos_token` of `tokenizer_config.json`, else the first
    /// end-of-sequence id of `generation_config.json`, else that of `config.json`.
    ///
    /// # Errors
    /// When no file names one, or the tokenizer does not know it.
    pub fn target_eos(&self) -> Result<u32> {
        if let Some(path) = self.tokenizer_config()
            && let Some(token) = tokens::eos_token(&path)?
        {
            return tokens::id_of(&self.tokenizer_json()?, &token);
        }
        self.configured_stop_ids().first().copied().ok_or_else(|| ModelError::NotAModel {
            path: self.path.clone(),
            reason: "no file names an end-of-sequence token; add `eos_token_id` to config.json"
                .into(),
        })
    }

    /// Every id at which generation stops, in rising order; none where no file names one, as
    /// [`ModelDir::target_eos`] then says.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut ids = self.configured_stop_ids();
        ids.extend(self.target_eos().ok());
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub(crate) fn configured_stop_ids(&self) -> Vec<u32> {
        let generation = self.generation.as_ref().and_then(GenerationConfig::eos_token_ids);
        generation.unwrap_or_else(|| self.config.eos_token_ids.clone())
    }

    /// Size and kind of the weight files, for a model that computes in `dtype`; none is read.
    ///
    /// # Errors
    /// When there is none, or an index of them is broken.
    pub fn weight_shape(&self, dtype: DType) -> Result<WeightShape> {
        let quantize = self.config.quantization;
        let stored = quantize.is_some();
        let mut shape =
            WeightShape { dtype, file_bytes: 0, can_map: true, quantize, stored_quantised: stored };
        for path in WeightFiles::paths(&self.path)? {
            let file = fs::metadata(&path).map_err(|source| {
                ModelError::io(&path, "look at the length of this file", source)
            })?;
            shape.file_bytes += file.len();
            shape.can_map &= path.extension().is_some_and(|extension| extension == "safetensors");
        }
        Ok(shape)
    }

    pub(crate) fn weights(&self) -> Result<WeightFiles> {
        WeightFiles::open(&self.path, self.config.quantization)
    }
}
