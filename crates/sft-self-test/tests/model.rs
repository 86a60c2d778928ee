//! The checks of the numbers: they pass on every architecture, and name each planted fault.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use serde_json::{Value, json};
use sft_dataset::Example;
use sft_lora::{LoraConfig, peft::load_adapter};
use sft_model::{Decoder, Fault, ModelDir};
use sft_self_test::{Check, CheckResult, SelfTestError, Subject, check_model};

const ARCHITECTURES: [&str; 7] =
    ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"];

/// In their order.
const ALL: [Check; 6] = [
    Check::FreshAdapter,
    Check::Gradients,
    Check::LossFalls,
    Check::Reference,
    Check::FiniteDifferences,
    Check::Merged,
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

/// The sequences of a golden batch.
fn examples(name: &str) -> Vec<Example> {
    let tensors = safetensors::load(golden(name).join("golden.safetensors"), &Device::Cpu).unwrap();
    let integers = |key: &str| tensors[key].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    let (ids, borders, first) = (integers("ids"), integers("cu_seqlens"), integers("first_target"));
    let rows = borders.windows(2).zip(first).zip(0..);
    rows.map(|((span, first), index)| Example {
        ids: ids[span[0] as usize..span[1] as usize].to_vec(),
        first_target: first as usize,
        index,
        line: index + 2,
    })
    .collect()
}

fn base(folder: &Path) -> Decoder {
    Decoder::load(&ModelDir::open(folder).unwrap(), DType::F32, &Device::Cpu).unwrap()
}

/// Alpha is three times r, so that a scale that is forgotten or misplaced shows.
fn adapted(mut decoder: Decoder, targets: &str) -> Decoder {
    let config = LoraConfig {
        r: 4,
        lora_alpha: 12.0,
        target_modules: targets.parse().unwrap(),
        ..LoraConfig::default()
    };
    decoder.add_lora(&config, 42).unwrap();
    decoder
}

fn fresh(name: &str) -> Decoder {
    adapted(base(&golden(name)), "all-linear")
}

/// Every result, for a decoder that should be that of a golden folder.
fn check(name: &str, decoder: &mut Decoder) -> Vec<CheckResult> {
    check_with(name, decoder, true, 1e-3)
}

fn check_with(name: &str, decoder: &mut Decoder, fresh: bool, rate: f64) -> Vec<CheckResult> {
    let (folder, examples) = (ModelDir::open(&golden(name)).unwrap(), examples(name));
    let mut heard = Vec::new();
    let subject =
        Subject { decoder, folder: &folder, examples: &examples, fresh, learning_rate: rate };
    let results = check_model(subject, &mut |result| heard.push(result.clone())).unwrap();
    assert_eq!(heard, results);
    let checks: Vec<Check> = results.iter().map(|result| result.check).collect();
    assert_eq!(checks, ALL);
    results
}

fn assert_passed(what: &str, results: &[CheckResult]) {
    for result in results {
        assert!(result.passed, "{what}: {result}");
        assert!(result.to_string().starts_with("ok   "), "{result}");
    }
}

/// Exactly these checks failed; the first says this.
#[track_caller]
fn assert_failed(what: &str, results: &[CheckResult], checks: &[Check], cause: &str) {
    let failed: Vec<&CheckResult> = results.iter().filter(|result| !result.passed).collect();
    let names: Vec<Check> = failed.iter().map(|result| result.check).collect();
    assert_eq!(names, checks, "{what}: {failed:#?}");
    assert!(failed.iter().any(|result| result.detail.contains(cause)), "{what}: {failed:#?}");
    for result in failed {
        assert!(result.to_string().starts_with("FAIL "), "{result}");
        assert!(!result.to_string().contains('\n'), "{result}");
    }
}

fn parameters(decoder: &Decoder) -> Vec<Vec<f32>> {
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    decoder.lora_parameters().values().map(|var| values(var)).collect()
}

#[test]
fn every_architecture_passes_and_is_left_as_it_was() {
    for name in ARCHITECTURES {
        let mut decoder = fresh(name);
        let before = parameters(&decoder);
        assert_passed(name, &check(name, &mut decoder));
        assert_eq!(parameters(&decoder), before, "{name}");
    }
}

#[test]
fn a_loaded_adapter_passes() {
    for name in ARCHITECTURES {
        let mut decoder = base(&golden(name));
        let adapter = load_adapter(&golden(name).join("adapter"), &Device::Cpu).unwrap();
        decoder.load_lora(&adapter).unwrap();
        let before = parameters(&decoder);
        assert_passed(name, &check_with(name, &mut decoder, false, 1e-3));
        assert_eq!(parameters(&decoder), before, "{name}");
    }
}

#[test]
fn adapters_on_some_layers_pass() {
    for targets in ["v_proj", "q_proj,down_proj", r"model\.layers\.1\..*_proj"] {
        let mut decoder = adapted(base(&golden("qwen3")), targets);
        assert_passed(targets, &check("qwen3", &mut decoder));
    }
}

#[test]
fn a_cut_rotary_embedding_is_named() {
    for name in ARCHITECTURES {
        let mut decoder = fresh(name);
        decoder.plant_fault(Fault::DetachRope);
        let results = check(name, &mut decoder);
        let checks = [Check::Gradients, Check::FiniteDifferences];
        assert_failed(name, &results, &checks, "the rotary embedding: it cuts the gradient");
        assert!(results[1].detail.contains("4 of 14 modules (k_proj, q_proj"), "{}", results[1]);
    }
}

/// Every adapter has its gradient, but that of the block's input lacks a part.
#[test]
fn a_cut_rotary_embedding_without_adapters_on_it_is_found() {
    let mut decoder = adapted(base(&golden("llama31")), "v_proj");
    decoder.plant_fault(Fault::DetachRope);
    let results = check("llama31", &mut decoder);
    assert_failed("v_proj", &results, &[Check::FiniteDifferences], "the block's input");
}

#[test]
fn a_scaled_base_is_named() {
    for name in ARCHITECTURES {
        let mut decoder = fresh(name);
        decoder.plant_fault(Fault::ScaledBase);
        let results = check(name, &mut decoder);
        let checks =
            [Check::FreshAdapter, Check::Reference, Check::FiniteDifferences, Check::Merged];
        assert_failed(name, &results, &checks, "must multiply its update B A x alone");
        let reference = &results[3].detail;
        assert!(reference.contains("(alpha / r) multiplies its base's output"), "{reference}");
    }
}

/// `A` and `B` initialised the wrong way round: the logits are equal, and still nothing is right.
#[test]
fn swapped_matrices_are_named() {
    let mut decoder = fresh("llama31");
    for (name, var) in decoder.lora_parameters() {
        let zero = var.zeros_like().unwrap();
        let value = if name.ends_with("lora_B.weight") { (zero + 0.03).unwrap() } else { zero };
        var.set(&value).unwrap();
    }
    let before = parameters(&decoder);
    let results = check("llama31", &mut decoder);
    let cause = "14 of 14 modules (model.layers.0.mlp.down_proj is the first): in the first step A gets a gradient and B \
                 none: A and B are swapped";
    assert_failed("swapped", &results, &[Check::Gradients], cause);
    assert_eq!(parameters(&decoder), before);
}

#[test]
fn adapters_that_are_not_fresh_are_named() {
    let mut decoder = fresh("mistral");
    let name = "model.layers.1.self_attn.o_proj.lora_B.weight";
    let var = &decoder.lora_parameters()[name];
    var.set(&(var.zeros_like().unwrap() + 0.03).unwrap()).unwrap();
    let results = check("mistral", &mut decoder);
    let checks = [Check::FreshAdapter, Check::Gradients];
    assert_failed("B", &results, &checks, &format!("{name} is not zero"));

    let mut decoder = fresh("mistral");
    let name = "model.layers.1.self_attn.o_proj.lora_A.weight";
    let var = &decoder.lora_parameters()[name];
    var.set(&var.zeros_like().unwrap()).unwrap();
    let results = check("mistral", &mut decoder);
    assert_failed("A", &results, &[Check::Gradients], "the gradient of B is zero");
}

/// Steps along the gradient instead of against it.
#[test]
fn a_loss_that_does_not_fall_is_named() {
    let results = check_with("llama2", &mut fresh("llama2"), true, -1e-3);
    assert_failed("rate", &results, &[Check::LossFalls], "lower --learning_rate");
}

/// The decoder of a folder whose configuration was changed, against the folder as it is.
#[test]
fn a_part_of_the_architecture_that_is_missing_is_named() {
    let cases: [(&str, Value, &str); 5] = [
        ("mistral", json!({ "sliding_window": null }), "the sliding window is missing"),
        (
            "llama31",
            json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 } }),
            "the scaling of the rotary embedding is missing",
        ),
        (
            "llama_bias",
            json!({ "attention_bias": false, "mlp_bias": false }),
            "the biases of the linear layers are missing",
        ),
        ("qwen3", json!({ "model_type": "llama" }), "the normalisation of queries and keys"),
        ("mistral", json!({ "tie_word_embeddings": true }), "the final normalisation or the head"),
    ];
    for (name, change, cause) in cases {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read(golden(name).join("config.json")).unwrap();
        let mut config: Value = serde_json::from_slice(&text).unwrap();
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let weights = "model.safetensors";
        // Without what the changed configuration does not know of: files that have it are refused.
        let mut tensors = safetensors::load(golden(name).join(weights), &Device::Cpu).unwrap();
        tensors.retain(|tensor, _| match name {
            "llama_bias" => !tensor.ends_with("bias"),
            "qwen3" => !tensor.contains("_norm.") || !tensor.contains("self_attn"),
            _ => true,
        });
        safetensors::save(&tensors, folder.path().join(weights)).unwrap();
        let mut decoder = adapted(base(folder.path()), "all-linear");
        let results = check(name, &mut decoder);
        assert_failed(name, &results, &[Check::Reference, Check::FiniteDifferences], cause);
    }
}

#[test]
fn other_weights_are_noticed() {
    let mut decoder = fresh("llama2");
    let results = {
        let folder = tempfile::tempdir().unwrap();
        let mut tensors =
            safetensors::load(golden("llama2").join("model.safetensors"), &Device::Cpu).unwrap();
        let name = "model.layers.1.mlp.up_proj.weight";
        tensors.insert(name.into(), (&tensors[name] * 1.01).unwrap());
        safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        fs::copy(golden("llama2").join("config.json"), folder.path().join("config.json")).unwrap();
        let folder = ModelDir::open(folder.path()).unwrap();
        let examples = examples("llama2");
        let subject = Subject {
            decoder: &mut decoder,
            folder: &folder,
            examples: &examples,
            fresh: true,
            learning_rate: 1e-3,
        };
        check_model(subject, &mut |_| {}).unwrap()
    };
    let checks = [Check::Reference, Check::FiniteDifferences];
    assert_failed("weights", &results, &checks, "the weights are not those of the files");
}

#[test]
fn without_rows_or_adapters_there_is_nothing_to_test() {
    let folder = ModelDir::open(&golden("llama2")).unwrap();
    let rows = examples("llama2");
    for (mut decoder, rows) in [(base(&golden("llama2")), &rows[..]), (fresh("llama2"), &[][..])] {
        let subject = Subject {
            decoder: &mut decoder,
            folder: &folder,
            examples: rows,
            fresh: true,
            learning_rate: 1e-3,
        };
        let error = check_model(subject, &mut |_| {}).unwrap_err();
        assert!(matches!(error, SelfTestError::NoAdapter | SelfTestError::NoExample), "{error}");
    }
}
