//! `sft_config.json`: what inference needs to build the training prompt again.

use crate::limited::{SETTINGS, read_limited};
use crate::{DatasetError, PromptTemplate};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// The prompt side of a run, saved beside its adapter.
///
/// Keys of newer versions are ignored when an older one reads the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SftConfig {
    /// The template, byte for byte.
    pub prompt_template: String,
    /// See [`PromptTemplate::with_lead`]; mostly empty, and then not in the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary_lead: String,
    /// The limit on a training example's tokens, BOS and EOS included.
    pub max_length: usize,
    /// The id that ends a summary.
    pub eos_token_id: u32,
    /// The base model as it was given: hub id, directory or `embedded`.
    pub base_model: String,
    /// The version that wrote the file.
    pub sft_version: String,
}

impl SftConfig {
    /// The file's name inside an adapter's folder.
    pub const FILE_NAME: &str = "sft_config.json";

    /// The template as it was in training.
    ///
    /// # Errors
    /// As [`PromptTemplate::new`].
    pub fn template(&self) -> Result<PromptTemplate, DatasetError> {
        Ok(PromptTemplate::new(self.prompt_template.as_str())?.with_lead(&self.summary_lead))
    }

    /// Reads `sft_config.json` from a folder.
    ///
    /// # Errors
    /// If the file cannot be read, or is not JSON with these keys.
    pub fn load(dir: &Path) -> Result<Self, DatasetError> {
        let path = dir.join(Self::FILE_NAME);
        let bytes = read_limited(&path, SETTINGS)
            .map_err(|source| DatasetError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| DatasetError::Config { path, source })
    }

    /// Writes `sft_config.json` into an existing folder. A reader sees the old file or the new one,
    /// never a part: the bytes go to a sibling file that is then renamed.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn save(&self, dir: &Path) -> Result<(), DatasetError> {
        let path = dir.join(Self::FILE_NAME);
        let sibling = dir.join(format!("{}.tmp", Self::FILE_NAME));
        let mut json = serde_json::to_vec_pretty(self)
            .map_err(|source| DatasetError::Config { path: path.clone(), source })?;
        json.push(b'\n');
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&sibling)?;
            file.write_all(&json)?;
            file.sync_all()?;
            std::fs::rename(&sibling, &path)
        };
        write().map_err(|source| {
            // Nothing of a failed attempt is left behind; if even that fails, the cause matters more.
            let _ = std::fs::remove_file(&sibling);
            DatasetError::Write { path, source }
        })
    }
}
