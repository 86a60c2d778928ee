//! The files of an adapter: those of the final model, and a part of each checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sft_dataset::SftConfig;

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

impl RunFiles {
    /// Finds missing files before the training rather than after it.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        for path in std::iter::once(&self.tokenizer_json).chain(&self.tokenizer_config) {
            fs::metadata(path).context("find", path)?;
        }
        Ok(())
    }

    /// Writes tokenizer and prompt to `dir`, where an adapter is.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), TrainError> {
        let tokenizer = dir.join("tokenizer.json");
        fs::copy(&self.tokenizer_json, &tokenizer).context("copy the tokenizer to", &tokenizer)?;
        let (from, to) = [&self.tokenizer_json, &tokenizer]
            .map(|path| path.with_file_name("chat_template.jinja"))
            .into();
        if from.is_file() {
            fs::copy(&from, &to).context("copy the chat template to", &to)?;
        }
        let config = dir.join("tokenizer_config.json");
        match &self.tokenizer_config {
            Some(source) => fs::copy(source, &config).map(drop),
            None => fs::write(&config, self.minimal_tokenizer_config()?),
        }
        .context("write", &config)?;
        self.sft_config.save(dir)?;
        Ok(())
    }

    /// A tokenizer_config.json that loads in transformers, with the text of the EOS id.
    fn minimal_tokenizer_config(&self) -> Result<String, TrainError> {
        let text =
            fs::read_to_string(&self.tokenizer_json).context("read", &self.tokenizer_json)?;
        let mut config =
            Map::from_iter([("tokenizer_class".into(), json!("PreTrainedTokenizerFast"))]);
        if let Some(eos) = token_text(&text, self.sft_config.eos_token_id) {
            config.insert("eos_token".into(), eos.into());
        }
        Ok(format!("{:#}\n", Value::Object(config)))
    }
}

/// The text of a token in a tokenizer.json: an added token, or one of the vocabulary.
fn token_text(tokenizer_json: &str, id: u32) -> Option<String> {
    let tokenizer: Value = serde_json::from_str(tokenizer_json).ok()?;
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
        let json = r#"{"added_tokens": [{"id": 2, "content": "</s>"}], "model": {"vocab": {"a": 0, "<eos>": 7}}}"#;
        assert_eq!(token_text(json, 2).as_deref(), Some("</s>"));
        assert_eq!(token_text(json, 7).as_deref(), Some("<eos>"));
        assert_eq!(token_text(json, 3), None);
        assert_eq!(token_text("{}", 3), None);
        assert_eq!(token_text("not json", 3), None);
    }
}
