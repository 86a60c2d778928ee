//! Every reader of files from elsewhere, as a function of bytes: for the fuzz targets here, and for `tests/mutations.rs`.
//!
//! A reader may refuse its input; it must not panic, abort, or take memory without end.

use std::{fs, path::Path};

use candle_core::Device;
use sft::{dataset, eval, lora, model};

/// A reader that is given a folder of its own and the bytes of its file.
pub(crate) type Parser = fn(&Path, &[u8]);

/// All of them by name.
pub(crate) const PARSERS: [(&str, Parser); 10] = [
    ("safetensors", safetensors),
    ("torch", torch),
    ("config", config),
    ("index", index),
    ("adapter", adapter),
    ("csv", csv),
    ("template", template),
    ("sft_config", sft_config),
    ("findings", findings),
    ("token_ids", token_ids),
];

fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    // A disk that is full is not the reader's fault.
    let _ = fs::write(&path, bytes);
    path
}

fn safetensors(_: &Path, bytes: &[u8]) {
    let _ = lora::open_safetensors(bytes);
}

fn torch(folder: &Path, bytes: &[u8]) {
    let _ = lora::torch_file::read(&put(folder, "weights.bin", bytes), &Device::Cpu);
}

fn config(folder: &Path, bytes: &[u8]) {
    let _ = model::ModelConfig::read(&put(folder, "config.json", bytes));
}

/// A model's folder is none without it.
const CONFIG: &str = include_str!("../fixtures/golden/llama2/config.json");

/// A folder whose index names its shards.
fn index(folder: &Path, bytes: &[u8]) {
    put(folder, "config.json", CONFIG.as_bytes());
    put(folder, "model.safetensors.index.json", bytes);
    if let Ok(folder) = model::ModelDir::open(folder) {
        let _ = folder.weight_shape(candle_core::DType::F32);
    }
}

fn adapter(folder: &Path, bytes: &[u8]) {
    put(folder, "adapter_config.json", bytes);
    if let Ok(config) = lora::peft::PeftConfig::read(folder)
        && let Ok(config) = config.to_lora()
    {
        let _ = config.targets("model.layers.0.self_attn.q_proj", false);
    }
}

fn csv(folder: &Path, bytes: &[u8]) {
    let path = put(folder, "rows.csv", bytes);
    if let Ok(rows) = dataset::Dataset::read_csv(&path) {
        let _ = rows.factual_records();
    }
    let _ = dataset::read_notes(&path);
}

fn template(_: &Path, bytes: &[u8]) {
    if let Ok(template) = dataset::PromptTemplate::new(String::from_utf8_lossy(bytes)) {
        let _ = template.render("a note");
    }
}

fn sft_config(folder: &Path, bytes: &[u8]) {
    put(folder, dataset::SftConfig::FILE_NAME, bytes);
    if let Ok(config) = dataset::SftConfig::load(folder) {
        let _ = config.template();
    }
}

fn findings(folder: &Path, bytes: &[u8]) {
    let _ = eval::findings::read_jsonl(&put(folder, "findings.jsonl", bytes));
}

fn token_ids(folder: &Path, bytes: &[u8]) {
    put(folder, "config.json", CONFIG.as_bytes());
    // generation_config.json and tokenizer_config.json are read through the folder of a model.
    put(folder, "generation_config.json", bytes);
    put(folder, "tokenizer_config.json", bytes);
    if let Ok(folder) = model::ModelDir::open(folder) {
        let _ = folder.target_eos();
        let _ = folder.stop_ids();
    }
}
