//! The GGUF file of an adapter, applied as llama.cpp applies it, does what the adapter does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
};

use candle_core::{
    DType, Device, Tensor,
    quantized::gguf_file::{Content, Value},
    safetensors,
};
use sft_lora::peft::{PeftAdapter, load_adapter};
use sft_model::{ModelConfig, ModelDir, export_gguf_lora};

/// Architecture in the golden files, llama.cpp's name of it, and whether its q and k are permuted.
const ARCHITECTURES: [(&str, &str, bool); 7] = [
    ("llama2", "llama", true),
    ("llama31", "llama", true),
    ("llama32", "llama", true),
    ("mistral", "llama", true),
    ("llama_bias", "llama", true),
    ("qwen2", "qwen2", false),
    ("qwen3", "qwen3", false),
];

const LAYERS: [(&str, &str); 7] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn config(name: &str) -> ModelConfig {
    ModelDir::open(&golden(name)).unwrap().config().clone()
}

fn adapter(name: &str) -> PeftAdapter {
    load_adapter(&golden(name).join("adapter"), &Device::Cpu).unwrap()
}

/// A GGUF file's keys, and its tensors in f64.
fn read(path: &Path) -> (BTreeMap<String, Value>, BTreeMap<String, Tensor>) {
    let mut file = Cursor::new(fs::read(path).unwrap());
    let content = Content::read(&mut file).unwrap();
    let tensors = content
        .tensor_infos
        .keys()
        .map(|name| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
            let tensor = tensor.dequantize(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
            (name.clone(), tensor)
        })
        .collect();
    (content.metadata.into_iter().collect(), tensors)
}

fn exported(
    name: &str,
    adapter: &PeftAdapter,
) -> (BTreeMap<String, Value>, BTreeMap<String, Tensor>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter.gguf");
    let written = export_gguf_lora(adapter, &config(name), &path).unwrap();
    let (keys, tensors) = read(&path);
    assert_eq!(written.matrices, tensors.len());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    (keys, tensors)
}

/// `permute` of llama.cpp's `convert_hf_to_gguf.py`.
fn permute(weight: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = weight.dims2().unwrap();
    let split = weight.reshape((heads, 2, rows / heads / 2, columns)).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

fn f64s(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Largest difference beside the largest number.
fn relative(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.dims(), other.dims());
    let (one, other) = (f64s(one), f64s(other));
    let largest = other.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    one.iter().zip(&other).fold(0.0_f64, |max, (a, b)| max.max((a - b).abs())) / largest
}

fn alpha(keys: &BTreeMap<String, Value>) -> f64 {
    f64::from(keys["adapter.lora.alpha"].to_f32().unwrap())
}

/// The update of one module, `s B A` in f64, from PEFT's files.
fn delta(adapter: &PeftAdapter, module: &str) -> Tensor {
    let matrix = |part: &str| {
        adapter.tensors[&format!("{module}.{part}.weight")].to_dtype(DType::F64).unwrap()
    };
    let product = matrix("lora_B").matmul(&matrix("lora_A")).unwrap();
    (product * adapter.lora.scale_for(module)).unwrap()
}

/// The same as llama.cpp computes it: one alpha, the rank from the shape of B.
fn llama_delta(
    keys: &BTreeMap<String, Value>,
    tensors: &BTreeMap<String, Tensor>,
    tensor: &str,
) -> Tensor {
    let (a, b) = (&tensors[&format!("{tensor}.lora_a")], &tensors[&format!("{tensor}.lora_b")]);
    let scale = alpha(keys) / b.dims()[1] as f64;
    (b.matmul(a).unwrap() * scale).unwrap()
}

#[test]
fn every_module_s_update_is_there_in_llama_cpp_s_order_and_scale() {
    for (name, architecture, permuted) in ARCHITECTURES {
        let (adapter, config) = (adapter(name), config(name));
        let (keys, tensors) = exported(name, &adapter);
        for (key, value) in [
            ("general.architecture", architecture),
            ("general.type", "adapter"),
            ("general.name", "adapter"),
            ("adapter.type", "lora"),
        ] {
            assert_eq!(keys[key].to_string().unwrap(), value, "{name}: {key}");
        }
        let mut modules = 0;
        for block in 0..config.num_hidden_layers {
            for (layer, tensor) in LAYERS {
                let module = format!("model.layers.{block}.{layer}");
                if !adapter.tensors.contains_key(&format!("{module}.lora_A.weight")) {
                    continue;
                }
                modules += 1;
                let heads = match layer {
                    "self_attn.q_proj" => Some(config.num_attention_heads),
                    "self_attn.k_proj" => Some(config.num_key_value_heads),
                    _ => None,
                };
                let expected = match heads.filter(|_| permuted) {
                    Some(heads) => permute(&delta(&adapter, &module), heads),
                    None => delta(&adapter, &module),
                };
                let found = llama_delta(&keys, &tensors, &format!("blk.{block}.{tensor}.weight"));
                let gap = relative(&found, &expected);
                assert!(gap < 2e-7, "{name}: {module} is {gap} off");
            }
        }
        assert_eq!(tensors.len(), 2 * modules, "{name}");
        assert_eq!(adapter.tensors.len(), 2 * modules, "{name}");
    }
}

#[test]
fn plain_matrices_are_copied_bit_for_bit_and_patterns_change_b_alone() {
    let exact = |name: &str, layer: &str, tensor: &str, part: [&str; 2]| {
        let adapter = adapter(name);
        let (_, tensors) = exported(name, &adapter);
        let found = f64s(&tensors[&format!("blk.1.{tensor}.weight.{}", part[1])]);
        found == f64s(&adapter.tensors[&format!("model.layers.1.{layer}.{}.weight", part[0])])
    };
    let (a, b) = (["lora_A", "lora_a"], ["lora_B", "lora_b"]);
    for name in ["llama2", "mistral", "llama_bias", "qwen3"] {
        assert!(exact(name, "self_attn.v_proj", "attn_v", a), "{name}");
        assert!(exact(name, "self_attn.v_proj", "attn_v", b), "{name}");
    }
    // llama_bias has an alpha of its own for these
    for (layer, tensor) in [("self_attn.k_proj", "attn_k"), ("mlp.down_proj", "ffn_down")] {
        assert!(exact("llama_bias", layer, tensor, a));
        assert!(!exact("llama_bias", layer, tensor, b));
    }
}

#[test]
fn one_alpha_stands_for_the_scale_of_most_modules() {
    let alpha_of = |name: &str| alpha(&exported(name, &adapter(name)).0);
    assert_eq!(alpha_of("llama2"), 8.0);
    assert_eq!(alpha_of("llama_bias"), 8.0, "what no pattern names");
    assert_eq!(alpha_of("mistral"), 16.0, "rsLoRA: 8 / sqrt(4) is 16 / 4");

    // all modules under patterns of one alpha, of different ranks
    let mut adapter = adapter("llama2");
    adapter.lora.alpha_pattern = BTreeMap::from([(".*".into(), 5.0)]);
    let (keys, _) = exported("llama2", &adapter);
    assert_eq!(alpha(&keys), 5.0);
}

/// Rotates `[T, heads * d]` at positions 0, 1, ...: rows `i` and `i + d / 2` of a head are a pair in Hugging Face's models, rows
/// `2 i` and `2 i + 1` in llama.cpp's Llama.
fn rotated(x: &Tensor, heads: usize, theta: f64, neighbours: bool) -> Vec<Vec<Vec<f64>>> {
    let rows: Vec<Vec<f64>> = x.to_vec2().unwrap();
    let d = rows[0].len() / heads;
    let turn = |position: usize, head: &[f64]| {
        let mut out = head.to_vec();
        for i in 0..d / 2 {
            let (one, two) = if neighbours { (2 * i, 2 * i + 1) } else { (i, i + d / 2) };
            let angle = position as f64 * theta.powf(-2.0 * i as f64 / d as f64);
            out[one] = head[one] * angle.cos() - head[two] * angle.sin();
            out[two] = head[one] * angle.sin() + head[two] * angle.cos();
        }
        out
    };
    let turn_all = |(position, row): (usize, &Vec<f64>)| {
        row.chunks(d).map(|head| turn(position, head)).collect()
    };
    rows.iter().enumerate().map(turn_all).collect()
}

/// Products of every query with every key, by head.
fn scores(q: &[Vec<Vec<f64>>], k: &[Vec<Vec<f64>>]) -> Vec<f64> {
    let group = q[0].len() / k[0].len();
    let mut scores = Vec::new();
    for query in q {
        for key in k {
            for (head, values) in query.iter().enumerate() {
                scores.push(values.iter().zip(&key[head / group]).map(|(a, b)| a * b).sum());
            }
        }
    }
    scores
}

/// The attention of the first block, as Hugging Face's models and as llama.cpp compute it.
#[test]
fn queries_and_keys_meet_as_they_do_without_llama_cpp() {
    for name in ["llama2", "mistral"] {
        let (adapter, config) = (adapter(name), config(name));
        let (keys, tensors) = exported(name, &adapter);
        let weights =
            safetensors::load(golden(name).join("model.safetensors"), &Device::Cpu).unwrap();
        let numbers = |i: usize| ((i * 7919 + 13) % 1000) as f64 / 500.0 - 1.0;
        let x: Vec<f64> = (0..6 * config.hidden_size).map(numbers).collect();
        let x = Tensor::from_vec(x, (6, config.hidden_size), &Device::Cpu).unwrap();
        let theta = config.rope.theta;

        let product = |weight: &Tensor| x.matmul(&weight.t().unwrap()).unwrap();
        let mut sides = [Vec::new(), Vec::new(), Vec::new()];
        for (layer, tensor, heads) in [
            ("q_proj", "attn_q", config.num_attention_heads),
            ("k_proj", "attn_k", config.num_key_value_heads),
        ] {
            let module = format!("model.layers.0.self_attn.{layer}");
            let base = weights[&format!("{module}.weight")].to_dtype(DType::F64).unwrap();
            let delta = delta(&adapter, &module);
            let own = product(&(&base + &delta).unwrap());
            sides[0].push(rotated(&own, heads, theta, false));
            let update = llama_delta(&keys, &tensors, &format!("blk.0.{tensor}.weight"));
            let theirs = (product(&permute(&base, heads)) + product(&update)).unwrap();
            sides[1].push(rotated(&theirs, heads, theta, true));
            let wrong = (product(&permute(&base, heads)) + product(&delta)).unwrap();
            sides[2].push(rotated(&wrong, heads, theta, true));
        }
        let [own, theirs, wrong] = sides.map(|qk| scores(&qk[0], &qk[1]));
        let gap = |other: &[f64]| {
            own.iter().zip(other).fold(0.0_f64, |max, (a, b)| max.max((a - b).abs()))
        };
        assert!(gap(&theirs) < 1e-5, "{name}: {}", gap(&theirs));
        assert!(gap(&wrong) > 0.1, "{name}: the order of B's rows does not matter");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("adapter.gguf");
    let refused = |adapter: &PeftAdapter, base: &ModelConfig, words: &[&str]| {
        let error = export_gguf_lora(adapter, base, &out).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{word} is not in: {error}");
        }
    };
    let (llama, other) = (adapter("llama2"), adapter("mistral"));
    let base = config("llama2");
    refused(&llama, &ModelConfig { num_hidden_layers: 1, ..base.clone() }, &["model.layers.1"]);
    refused(&other, &base, &["self_attn", "is not [", "base"]);
    refused(&llama, &ModelConfig { model_type: "gpt2".into(), ..base.clone() }, &["gpt2"]);
    let name = "model.layers.1.mlp.down_proj.lora_A.weight";
    let mut without = adapter("llama2");
    without.tensors.retain(|tensor, _| !tensor.starts_with("model.layers.1.mlp.down_proj"));
    refused(&without, &base, &["targets `model.layers.1.mlp.down_proj`", "no matrices"]);
    let mut broken = adapter("llama2");
    let nan = (&broken.tensors[name] * f64::NAN).unwrap();
    broken.tensors.insert(name.to_owned(), nan);
    refused(&broken, &base, &[name, "not finite"]);
    let mut loud = adapter("llama2");
    loud.lora.lora_alpha = 1e300;
    refused(&loud, &base, &["lora_alpha"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);

    fs::write(&out, b"somebody's").unwrap();
    refused(&llama, &base, &["adapter.gguf", "exists already"]);
    assert_eq!(fs::read(&out).unwrap(), b"somebody's");
    let nowhere = dir.path().join("none/adapter.gguf");
    let error = export_gguf_lora(&llama, &base, &nowhere).unwrap_err().to_string();
    assert!(error.contains("none/adapter.gguf") && error.contains("cannot write"), "{error}");
}
