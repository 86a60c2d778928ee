//! The few facts about tokens that stand in a model folder's JSON files.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use sft_lora::limited::{SETTINGS, read_limited};

use crate::{ModelError, Result, config::TokenIds};

/// The part of `generation_config.json` that matters here.
#[derive(Clone, Deserialize)]
pub(crate) struct GenerationConfig {
    eos_token_id: Option<TokenIds>,
}

impl std::fmt::Debug for GenerationConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GenerationConfig").field("eos", &self.eos_token_ids()).finish()
    }
}

impl GenerationConfig {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        read_json(path)
    }

    pub(crate) fn eos_token_ids(&self) -> Option<Vec<u32>> {
        self.eos_token_id.clone().map(Vec::from)
    }
}

/// A token in `tokenizer_config.json`: its text, or an object with the text.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenText {
    Text(String),
    Object { content: String },
}

#[derive(Deserialize)]
struct TokenizerConfig {
    eos_token: Option<TokenText>,
}

/// `eos_token` of a `tokenizer_config.json`.
pub(crate) fn eos_token(path: &Path) -> Result<Option<String>> {
    let config: TokenizerConfig = read_json(path)?;
    Ok(config.eos_token.map(|token| match token {
        TokenText::Text(text) | TokenText::Object { content: text } => text,
    }))
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

/// The first part of a `tokenizer.json` in which a token may stand.
#[derive(Deserialize)]
struct AddedTokens {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
}

/// The other: `vocab` has ids by token, or something else in a model of another kind than BPE.
#[derive(Deserialize)]
struct Vocabulary {
    #[serde(default)]
    model: serde_json::Value,
}

/// The id of a token in a `tokenizer.json`.
pub(crate) fn id_of(path: &Path, token: &str) -> Result<u32> {
    let added: AddedTokens = read_json(path)?;
    if let Some(added) = added.added_tokens.iter().find(|added| added.content == token) {
        return Ok(added.id);
    }
    let vocabulary: Vocabulary = read_json(path)?;
    let id = vocabulary.model.get("vocab").and_then(|vocab| vocab.get(token)?.as_u64());
    id.and_then(|id| u32::try_from(id).ok()).ok_or_else(|| ModelError::Config {
        path: path.into(),
        problem: format!(
            "the tokenizer does not know `{token}`, the eos_token of tokenizer_config.json"
        ),
    })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_limited(path, SETTINGS)
        .map_err(|source| ModelError::io(path, "read this file", source))?;
    serde_json::from_slice(&text).map_err(|source| ModelError::Json { path: path.into(), source })
}
