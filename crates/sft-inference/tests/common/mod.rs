//! A tiny model with random weights, as a Hugging Face folder: two layers, grouped heads, a
//! vocabulary of single characters and a few words.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use serde_json::{Map, Value, json};
use sft_dataset::{PromptTemplate, SftConfig};
use sft_lora::peft::{PeftConfig, save_adapter};
use sft_lora::{LoraConfig, TargetModules};
use sft_model::{Decoder, ModelDir};

pub const HIDDEN: usize = 32;
pub const INTERMEDIATE: usize = 48;
pub const KV_SIZE: usize = 16; // two key/value heads of four
pub const LAYERS: usize = 2;
pub const EOS: u32 = 2;
pub const MAX_POSITIONS: usize = 160;
pub const TEMPLATE: &str = "Note: {clinical_note}\nSummary:\n";

/// Uniform numbers in [-1, 1) of a seed.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn matrix(seed: u64, rows: usize, columns: usize, scale: f32) -> Tensor {
    let values = random(seed, rows * columns).into_iter().map(|x| x * scale).collect();
    Tensor::from_vec::<_, f32>(values, (rows, columns), &Device::Cpu).unwrap()
}

/// Tokens in the order of their ids.
pub fn vocabulary() -> Vec<String> {
    let mut tokens: Vec<String> =
        ["<unk>", "<s>", "</s>", "<|end|>", "▁", "\n", "é"].map(str::to_owned).into();
    tokens.extend(('!'..='~').map(String::from));
    tokens.extend(["▁fever", "▁cough", "▁the", "▁patient", "ed"].map(str::to_owned));
    tokens
}

pub fn write_tokenizer(folder: &Path) {
    let vocab: Map<String, Value> =
        vocabulary().into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    let added: Vec<Value> = vocabulary()[..4]
        .iter()
        .enumerate()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>",
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    write_json(&folder.join("tokenizer.json"), &tokenizer);
}

pub fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).unwrap();
}

/// The tensors of a model by their Hugging Face names.
pub fn weights(seed: u64) -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    let mut add = |name: &str, rows: usize, columns: usize, scale: f32| {
        let seed = seed * 1000 + tensors.len() as u64;
        tensors.insert(name.to_owned(), matrix(seed, rows, columns, scale));
    };
    let vocab = vocabulary().len();
    add("model.embed_tokens.weight", vocab, HIDDEN, 1.0);
    add("lm_head.weight", vocab, HIDDEN, 0.5);
    for layer in 0..LAYERS {
        for (module, rows, columns) in [
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KV_SIZE, HIDDEN),
            ("self_attn.v_proj", KV_SIZE, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INTERMEDIATE, HIDDEN),
            ("mlp.up_proj", INTERMEDIATE, HIDDEN),
            ("mlp.down_proj", HIDDEN, INTERMEDIATE),
        ] {
            add(&format!("model.layers.{layer}.{module}.weight"), rows, columns, 0.3);
        }
    }
    let mut norms = vec!["model.norm.weight".to_owned()];
    for layer in 0..LAYERS {
        norms.push(format!("model.layers.{layer}.input_layernorm.weight"));
        norms.push(format!("model.layers.{layer}.post_attention_layernorm.weight"));
    }
    for (index, name) in norms.into_iter().enumerate() {
        let norm = (matrix(seed + 77 + index as u64, 1, HIDDEN, 0.2) + 1.0).unwrap();
        tensors.insert(name, norm.flatten_all().unwrap());
    }
    tensors
}

pub fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": vocabulary().len(),
        "max_position_embeddings": MAX_POSITIONS, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": EOS,
        "torch_dtype": "float32", "attention_bias": false, "mlp_bias": false,
    })
}

/// A complete model folder.
pub fn write_model(folder: &Path, seed: u64) {
    fs::create_dir_all(folder).unwrap();
    write_json(&folder.join("config.json"), &config());
    candle_core::safetensors::save(&weights(seed), folder.join("model.safetensors")).unwrap();
    write_tokenizer(folder);
}

/// An adapter folder over `base` whose B is not zero, with tokenizer and template.
pub fn write_adapter(folder: &Path, base: &Path, named_base: &str) {
    let lora = LoraConfig {
        r: 3,
        lora_alpha: 7.0,
        lora_dropout: 0.1,
        target_modules: TargetModules::AllLinear,
        ..LoraConfig::default()
    };
    let mut decoder =
        Decoder::load(&ModelDir::open(base).unwrap(), DType::F32, &Device::Cpu).unwrap();
    decoder.add_lora(&lora, 5).unwrap();
    let tensors: BTreeMap<String, Tensor> = decoder
        .lora_parameters()
        .into_iter()
        .enumerate()
        .map(|(index, (name, var)): (usize, (String, Var))| {
            let (rows, columns) = var.dims2().unwrap();
            (name, matrix(900 + index as u64, rows, columns, 0.4))
        })
        .collect();
    let config = PeftConfig::from_lora(&lora, named_base, None, &decoder.adapted_leaf_names());
    save_adapter(folder, &config, &tensors).unwrap();
    write_tokenizer(folder);
    let saved = SftConfig {
        prompt_template: PromptTemplate::new(TEMPLATE).unwrap().text().to_owned(),
        summary_lead: String::new(),
        max_length: 128,
        eos_token_id: EOS,
        base_model: named_base.to_owned(),
        sft_version: "0.1.0".to_owned(),
    };
    saved.save(folder).unwrap();
}
