//! The files of an adapter: those of the final model, and a part of each checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sft_dataset::{
    SftConfig,
    limited::{TOKENIZER, read_limited},
};

use crate::TrainError;
use crate::files::Context;

/// Where a run writes, and what it writes beside what it computes.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// Directory of the run.
    pub output_dir: PathBuf,
    /// The base model's tokenizer.json, copied; with it a chat_template.jinja that lies beside it.
    pub tokenizer_json: PathBuf,
    /// Its tokenizer_config.json, copied; without one a minimal one is written.
    pub tokenizer_config: Option<PathBuf>,
    /// The base model as the user named it, for adapter_config.json.
    pub base_model_name: String,
    /// Its branch, tag or commit on the hub, if one was given.
    pub base_model_revision: Option<String>,
    /// What inference needs to build the training prompt again.
    pub sft_config: SftConfig,
    /// The resolved settings, written as run_config.toml.
    pub run_config_toml: String,
}

/// Tokenizer and prompt as they were when the run began: what lies in the base's folder later changes nothing.
#[derive(Clone, Debug)]
pub(crate) struct Artifacts {
    /// Name and content of each file.
    files: Vec<(&'static str, Vec<u8>)>,
    sft_config: SftConfig,
}

impl RunFiles {
    /// Reads what is copied beside an adapter, before the training rather than after it.
    pub(crate) fn read(&self) -> Result<Artifacts, TrainError> {
        let read = |path: &Path| read_limited(path, TOKENIZER).context("read", path);
        let tokenizer = read(&self.tokenizer_json)?;
        let config = match &self.tokenizer_config {
            Some(path) => read(path)?,
            None => self.minimal_tokenizer_config(&tokenizer).into_bytes(),
        };
        let mut files = vec![("tokenizer.json", tokenizer), ("tokenizer_config.json", config)];
        let template = self.tokenizer_json.with_file_name("chat_template.jinja");
        if template.is_file() {
            files.push(("chat_template.jinja", read(&template)?));
        }
        Ok(Artifacts { files, sft_config: self.sft_config.clone() })
    }

    /// A tokenizer_config.json that loads in transformers, with the text of the EOS id.
    fn minimal_tokenizer_config(&self, tokenizer_json: &[u8]) -> String {
        let mut config =
            Map::from_iter([("tokenizer_class".into(), json!("PreTrainedTokenizerFast"))]);
        if let Some(eos) = token_text(tokenizer_json, self.sft_config.eos_token_id) {
            config.insert("eos_token".into(), eos.into());
        }
        format!("{:#}\n", Value::Object(config))
    }
}

impl Artifacts {
    /// Writes tokenizer and prompt to `dir`, where an adapter is.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), TrainError> {
        for (name, content) in &self.files {
            let path = dir.join(name);
            fs::write(&path, content).context("write", &path)?;
        }
        self.sft_config.save(dir)?;
        Ok(())
    }
}

/// The text of a token in a tokenizer.json: an added token, or one of the vocabulary.
fn token_text(tokenizer_json: &[u8], id: u32) -> Option<String> {
    let tokenizer: Value = serde_json::from_slice(tokenizer_json).ok()?;
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let mut added =
        added.filter(|token| token["id"] == id).filter_map(|token| token["content"].as_str());
    let mut vocabulary = tokenizer["model"]["vocab"].as_object().into_iter().flatten();
    let text =
        added.next().or_else(|| Some(vocabulary.find(|(_, value)| **value == id)?.0.as_str()))?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_text_of_a_token() {
        let json = br#"{"added_tokens": [{"id": 2, "content": "</s>"}], "model": {"vocab": {"a": 0, "<eos>": 7}}}"#;
        assert_eq!(token_text(json, 2).as_deref(), Some("</s>"));
        assert_eq!(token_text(json, 7).as_deref(), Some("<eos>"));
        assert_eq!(token_text(json, 3), None);
        assert_eq!(token_text(b"{}", 3), None);
        assert_eq!(token_text(b"not json", 3), None);
    }
}
