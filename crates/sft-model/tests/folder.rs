//! Model folders: what is read, and what is refused with which words.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use sft_fixtures::{EOS, LlamaShape};
use sft_lora::torch_file;
use sft_model::{Decoder, ModelDir, Packed, RopeScaling};

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    LlamaShape::default().write(dir.path(), 3).unwrap();
    dir
}

/// The folder with some keys of its config.json set, or removed by null.
fn edited(keys: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = folder();
    edit(dir.path(), keys);
    dir
}

fn edit(dir: &Path, keys: &[(&str, Value)]) {
    let path = dir.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in keys {
        if *value == json!("REMOVE") {
            config.as_object_mut().unwrap().remove(*key);
        } else {
            config[*key] = value.clone();
        }
    }
    fs::write(path, config.to_string()).unwrap();
}

fn load(dir: &Path) -> sft_model::Result<Decoder> {
    Decoder::load(&ModelDir::open(dir)?, DType::F32, &Device::Cpu)
}

/// The message of the error and of its sources.
fn refusal(dir: &Path) -> String {
    let Err(error) = load(dir) else { panic!("{} was accepted", dir.display()) };
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn logits(dir: &Path) -> Vec<f32> {
    let input = Packed {
        ids: &[257, 5, 80, 7],
        positions: &[0, 1, 2, 3],
        cu_seqlens: &[0, 4],
        example: &[0],
    };
    load(dir).unwrap().logits(&input, None).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn configurations_that_cannot_be_computed_are_refused() {
    for (keys, words) in [
        (vec![("model_type", json!("gpt2"))], vec!["`gpt2`", "llama, mistral, qwen2, qwen3"]),
        (vec![("model_type", json!("REMOVE"))], vec!["missing", "llama, mistral"]),
        (vec![("rope_theta", json!("REMOVE"))], vec!["rope_theta", "10000.0 for Llama 2"]),
        (vec![("rope_scaling", json!({"type": "yarn", "factor": 2.0}))], vec!["yarn", "llama3"]),
        (vec![("rope_scaling", json!({"rope_type": "linear"}))], vec!["`factor`"]),
        (vec![("hidden_act", json!("gelu"))], vec!["gelu", "silu"]),
        (vec![("num_key_value_heads", json!(3))], vec!["4 attention heads", "3 key/value"]),
        (vec![("head_dim", json!(5))], vec!["head_dim 5"]),
        (vec![("head_dim", json!(1u64 << 62))], vec!["head_dim", "even and positive"]),
        (vec![("num_attention_heads", json!(1u64 << 62))], vec!["no", "such sizes"]),
        (vec![("max_position_embeddings", json!(0))], vec!["max_position_embeddings 0"]),
        (vec![("num_hidden_layers", json!(1u64 << 40))], vec!["num_hidden_layers 1099511627776"]),
        (vec![("rms_norm_eps", json!(-1.0))], vec!["rms_norm_eps -1"]),
        (vec![("rope_theta", json!(0.0))], vec!["rope_theta 0", "positive"]),
        (
            vec![("rope_scaling", json!({"rope_type": "linear", "factor": 0.0}))],
            vec!["`factor` 0", "positive"],
        ),
        (vec![("quantization_config", json!({"bits": 4}))], vec!["quantised"]),
        (vec![("hidden_size", json!("REMOVE"))], vec!["hidden_size", "fetch"]),
        (vec![("intermediate_size", json!(25))], vec!["gate_proj", "[24, 16]", "[25, 16]"]),
        (vec![("num_hidden_layers", json!(3))], vec!["model.layers.2", "do not belong"]),
    ] {
        let dir = edited(&keys);
        let text = refusal(dir.path());
        for word in words {
            assert!(text.contains(word), "{keys:?}: {word} is not in: {text}");
        }
        assert!(text.contains(&dir.path().display().to_string()), "no path in: {text}");
    }
}

/// A bias or a normalisation that config.json does not speak of must not be left out silently.
#[test]
fn parameters_of_a_block_that_nobody_reads_are_refused() {
    let dir = folder();
    let path = dir.path().join("model.safetensors");
    let whole = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let with = |name: &str| {
        let mut tensors = whole.clone();
        tensors.insert(name.to_owned(), Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap());
        candle_core::safetensors::save(&tensors, &path).unwrap();
    };
    for name in ["self_attn.q_proj.bias", "self_attn.q_norm.weight"] {
        with(&format!("model.layers.1.{name}"));
        let text = refusal(dir.path());
        assert!(text.contains(name) && text.contains("model_type"), "{text}");
    }
    // What is no parameter of a block that runs may lie there.
    for name in ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.7.x", "lm_head.bias"]
    {
        with(name);
        load(dir.path()).unwrap();
    }
}

#[test]
fn folders_that_are_no_models_are_refused() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    assert!(refusal(&path("absent")).contains("no such folder"));
    assert!(refusal(&path("config.json")).contains("not a folder"));

    let adapter = tempfile::tempdir().unwrap();
    fs::write(adapter.path().join("adapter_config.json"), "{}").unwrap();
    assert!(refusal(adapter.path()).contains("give its base model"));

    fs::write(path("config.json"), "{ \"model_type\": ").unwrap();
    assert!(refusal(dir.path()).contains("not valid JSON"));
}

#[test]
fn broken_weights_are_refused() {
    let dir = folder();
    let weights = dir.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    for length in [0, 4, 100, bytes.len() - 1] {
        fs::write(&weights, &bytes[..length]).unwrap();
        let text = refusal(dir.path());
        assert!(
            text.contains("model.safetensors") && text.contains("fetch it again"),
            "{length}: {text}"
        );
    }
    fs::remove_file(&weights).unwrap();
    assert!(refusal(dir.path()).contains("no weights here"));
    fs::write(dir.path().join("pytorch_model.bin"), b"PK nothing").unwrap();
    let text = refusal(dir.path());
    assert!(
        text.contains("pytorch_model.bin") && text.contains("not a readable PyTorch file"),
        "{text}"
    );
}

#[test]
fn shards_and_pickles_give_the_same_model() {
    let dir = folder();
    let whole = logits(dir.path());
    let path = dir.path().join("model.safetensors");
    let tensors: BTreeMap<String, Tensor> =
        candle_core::safetensors::load(&path, &Device::Cpu).unwrap().into_iter().collect();
    fs::remove_file(&path).unwrap();

    // two shards and their index
    let mut weight_map = BTreeMap::new();
    for (i, shard) in
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].iter().enumerate()
    {
        let part: std::collections::HashMap<String, Tensor> =
            tensors.clone().into_iter().skip(i).step_by(2).collect();
        candle_core::safetensors::save(&part, dir.path().join(shard)).unwrap();
        weight_map.extend(part.into_keys().map(|name| (name, *shard)));
    }
    let index = json!({ "metadata": {}, "weight_map": weight_map });
    fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    assert_eq!(logits(dir.path()), whole);

    fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap();
    let text = refusal(dir.path());
    assert!(
        text.contains("model-00002-of-00002.safetensors") && text.contains("missing"),
        "{text}"
    );
    fs::remove_file(dir.path().join("model.safetensors.index.json")).unwrap();
    fs::remove_file(dir.path().join("model-00001-of-00002.safetensors")).unwrap();

    torch_file::write(&dir.path().join("pytorch_model.bin"), &tensors).unwrap();
    assert_eq!(logits(dir.path()), whole);
}

#[test]
fn old_and_new_rope_keys_say_the_same() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let old = edited(&[("rope_scaling", scaling.clone())]);
    let mut parameters = scaling;
    parameters["rope_theta"] = json!(10000.0);
    let new = edited(&[("rope_theta", json!("REMOVE")), ("rope_parameters", parameters)]);
    let config = |dir: &tempfile::TempDir| ModelDir::open(dir.path()).unwrap().config().clone();
    assert_eq!(config(&old), config(&new));
    assert!(matches!(config(&new).rope.scaling, RopeScaling::Llama3 { factor: 8.0, .. }));
    assert_ne!(logits(old.path()), logits(folder().path()));
}

#[test]
fn theta_is_known_without_a_key_only_for_files_older_than_the_key() {
    let theta = |version: &str, model_type: &str| {
        let dir = edited(&[
            ("rope_theta", json!("REMOVE")),
            ("model_type", json!(model_type)),
            ("transformers_version", json!(version)),
        ]);
        ModelDir::open(dir.path()).map(|dir| dir.config().rope.theta).ok()
    };
    assert_eq!(theta("4.31.0.dev0", "llama"), Some(10000.0));
    assert_eq!(theta("4.33.0", "llama"), None);
    assert_eq!(theta("5.2.0", "llama"), None);
    assert_eq!(theta("unknown", "llama"), None);
    assert_eq!(theta("4.31.0", "mistral"), None);
}

#[test]
fn linear_scaling_divides_every_angle() {
    // One token at position 4 under factor 4 sees the angles of position 1.
    let scaled = edited(&[("rope_scaling", json!({"type": "linear", "factor": 4.0}))]);
    let plain = folder();
    let at = |dir: &Path, positions: &[u32]| -> Vec<f32> {
        let input = Packed { ids: &[257, 5], positions, cu_seqlens: &[0, 2], example: &[0] };
        load(dir).unwrap().logits(&input, None).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(at(scaled.path(), &[0, 4]), at(plain.path(), &[0, 1]));
    assert_ne!(at(scaled.path(), &[0, 4]), at(plain.path(), &[0, 4]));
}

#[test]
fn a_tied_model_ignores_a_stray_head() {
    let dir = edited(&[("tie_word_embeddings", json!(true))]);
    let tied = logits(dir.path());
    let path = dir.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    assert!(tensors.remove("lm_head.weight").is_some());
    candle_core::safetensors::save(&tensors, &path).unwrap();
    assert_eq!(logits(dir.path()), tied);
}

fn windows(keys: &[(&str, Value)]) -> Vec<Option<usize>> {
    let dir = edited(keys);
    ModelDir::open(dir.path()).unwrap().config().sliding_windows.clone()
}

#[test]
fn a_missing_window_is_mistrals_default_and_null_is_none() {
    let mistral = ("model_type", json!("mistral"));
    assert_eq!(windows(std::slice::from_ref(&mistral)), [Some(4096); 2]);
    assert_eq!(windows(&[mistral.clone(), ("sliding_window", Value::Null)]), [None; 2]);
    assert_eq!(windows(&[mistral, ("sliding_window", json!(7))]), [Some(7); 2]);
    assert_eq!(windows(&[("sliding_window", json!(7))]), [None; 2]); // a Llama has none
}

#[test]
fn a_qwens_window_binds_the_blocks_that_its_config_names() {
    let with = |keys: &[(&'static str, Value)]| {
        let qwen = [("model_type", json!("qwen2")), ("sliding_window", json!(7))];
        windows(&[&qwen[..], keys].concat())
    };
    let used = ("use_sliding_window", json!(true));
    // The files of Qwen2.5 name a window and do not use it.
    assert_eq!(with(&[("max_window_layers", json!(0))]), [None; 2]);
    assert_eq!(with(std::slice::from_ref(&used)), [None; 2]); // from block 28 on
    assert_eq!(with(&[used.clone(), ("max_window_layers", json!(1))]), [None, Some(7)]);
    let kinds = json!(["sliding_attention", "full_attention"]);
    assert_eq!(with(&[used.clone(), ("layer_types", kinds)]), [Some(7), None]);

    for (kinds, word) in [
        (json!(["full_attention"]), "1 blocks"),
        (json!(["full_attention", "linear_attention"]), "`linear_attention`"),
    ] {
        let dir = edited(&[("model_type", json!("qwen3")), ("layer_types", kinds)]);
        let text = refusal(dir.path());
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn eos_comes_from_the_first_file_that_names_one() {
    let dir = folder();
    let write =
        |name: &str, value: Value| fs::write(dir.path().join(name), value.to_string()).unwrap();
    let open = || ModelDir::open(dir.path()).unwrap();
    assert_eq!((open().target_eos().unwrap(), open().stop_ids()), (EOS, vec![EOS]));

    write("generation_config.json", json!({ "eos_token_id": [9, 4] }));
    write("tokenizer_config.json", json!({ "eos_token": { "content": "</s>" } }));
    assert_eq!((open().target_eos().unwrap(), open().stop_ids()), (EOS, vec![4, 9, EOS]));

    write("tokenizer_config.json", json!({}));
    assert_eq!((open().target_eos().unwrap(), open().stop_ids()), (9, vec![4, 9]));

    write("tokenizer_config.json", json!({ "eos_token": "<|end|>" }));
    assert!(open().target_eos().unwrap_err().to_string().contains("<|end|>"));

    fs::remove_file(dir.path().join("tokenizer_config.json")).unwrap();
    fs::remove_file(dir.path().join("generation_config.json")).unwrap();
    edit(dir.path(), &[("eos_token_id", json!([11, 12]))]);
    assert_eq!((open().target_eos().unwrap(), open().stop_ids()), (11, vec![11, 12]));
    edit(dir.path(), &[("eos_token_id", Value::Null)]);
    assert!(open().target_eos().unwrap_err().to_string().contains("eos_token_id"));
    assert!(open().stop_ids().is_empty());
}
