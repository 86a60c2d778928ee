//! Which files of a repository make a model or an adapter.

use crate::source::Wanted;

/// Files that a model folder may have beside its weights.
const OPTIONAL: [&str; 5] = [
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "recommended_sft.toml",
];

const ADAPTER_OPTIONAL: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "sft_config.json",
];

/// Whole weights and their index, in the order in which a folder is read.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// What is to be fetched, in this order: `config.json` first, as it decides whether the rest is of use, and the weights
/// last, so that where they are complete everything is.
#[derive(Debug, PartialEq)]
pub(super) struct Choice {
    pub(super) files: Vec<&'static str>,
    /// Of sharded weights the index (one of `files`), which names the shards.
    pub(super) index: Option<&'static str>,
}

/// Chooses among the files that are there; otherwise says what is missing.
pub(super) fn choose(has: &dyn Fn(&str) -> bool, wanted: Wanted) -> Result<Choice, String> {
    let present = |names: &[&'static str]| names.iter().copied().filter(|name| has(name)).collect();
    if wanted == Wanted::AdapterOrModel && has("adapter_config.json") {
        let weights = ["adapter_model.safetensors", "adapter_model.bin"];
        let weights = weights.into_iter().find(|name| has(name)).ok_or(
            "it has an adapter_config.json but neither adapter_model.safetensors nor adapter_model.bin; ask its owner",
        )?;
        let mut files: Vec<_> = present(&ADAPTER_OPTIONAL);
        files.extend(["adapter_config.json", weights]);
        return Ok(Choice { files, index: None });
    }
    if !has("config.json") {
        let what = if has("adapter_config.json") {
            "it is an adapter, not a whole model; give its base model"
        } else {
            "it has no config.json; give a repository in the form of Hugging Face transformers, not GGUF or another"
        };
        return Err(what.into());
    }
    if !has("tokenizer.json") {
        return Err(
            "it has no tokenizer.json; save the model with its fast tokenizer and give that folder"
                .into(),
        );
    }
    let mut files = vec!["config.json"];
    files.extend(present(&OPTIONAL));
    files.push("tokenizer.json");
    for (whole, index) in WEIGHTS {
        if has(index) {
            files.push(index);
            return Ok(Choice { files, index: Some(index) });
        }
        if has(whole) {
            files.push(whole);
            return Ok(Choice { files, index: None });
        }
    }
    Err("it has no weights as model.safetensors or pytorch_model.bin, whole or in shards; GGUF and other forms are not \
         read: give the repository that they were made from"
        .into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(names: &[&str], wanted: Wanted) -> Result<Choice, String> {
        choose(&|name| names.contains(&name), wanted)
    }

    #[test]
    fn safetensors_before_torch_and_an_index_before_a_whole_file() {
        let common = ["config.json", "tokenizer.json", "README.md", "consolidated.pth"];
        for (weights, last, index) in [
            (&["model.safetensors", "pytorch_model.bin"][..], "model.safetensors", None),
            (&["pytorch_model.bin"], "pytorch_model.bin", None),
            (
                &["pytorch_model.bin", "model.safetensors.index.json"],
                "model.safetensors.index.json",
                Some("model.safetensors.index.json"),
            ),
        ] {
            let choice = of(&[&common, weights].concat(), Wanted::Model).unwrap();
            assert_eq!(choice.files, ["config.json", "tokenizer.json", last]);
            assert_eq!(choice.index, index);
        }
    }

    #[test]
    fn an_adapter_is_taken_where_one_may_be_given() {
        let names = ["adapter_config.json", "adapter_model.bin", "sft_config.json", "x"];
        let choice = of(&names, Wanted::AdapterOrModel).unwrap();
        assert_eq!(choice.files, ["sft_config.json", "adapter_config.json", "adapter_model.bin"]);
        assert!(of(&names, Wanted::Model).unwrap_err().contains("an adapter"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (names, word) in [
            (&["model-Q4_K_M.gguf"][..], "config.json"),
            (&["config.json", "tokenizer.json", "model.gguf"], "GGUF"),
            (&["config.json", "model.safetensors"], "tokenizer.json"),
            (&["adapter_config.json"], "adapter"),
        ] {
            assert!(of(names, Wanted::Model).unwrap_err().contains(word), "{names:?}");
        }
    }
}
