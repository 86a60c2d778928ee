//! Adapters on a decoder: putting on, training, merging, saving, taking off.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use sft_fixtures::LlamaShape;
use sft_kernels::{DropoutStream, random::uniform};
use sft_lora::{
    LoraConfig, TargetModules,
    peft::{self, PeftConfig},
};
use sft_model::{
    Decoder, Gradients, ModelDir, ModelError, Packed, Recompute, TrainPass, save_merged,
};

const IDS: [u32; 9] = [257, 5, 80, 7, 9, 257, 33, 101, 20];
const INPUT: Packed<'_> = Packed {
    ids: &IDS,
    positions: &[0, 1, 2, 3, 4, 0, 1, 2, 3],
    cu_seqlens: &[0, 5, 9],
    example: &[4, 2],
};
const TARGETS: [(u32, u32); 4] = [(2, 7), (4, 258), (7, 20), (8, 258)];

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    LlamaShape::default().write(dir.path(), 3).unwrap();
    dir
}

fn decoder(dir: &Path) -> Decoder {
    Decoder::load(&ModelDir::open(dir).unwrap(), DType::F32, &Device::Cpu).unwrap()
}

fn config() -> LoraConfig {
    LoraConfig { r: 3, lora_alpha: 7.0, lora_dropout: 0.3, ..LoraConfig::default() }
}

/// With a B that is not zero, so that every gradient and every merge matters.
fn adapted(dir: &Path, config: &LoraConfig) -> Decoder {
    let mut model = decoder(dir);
    model.add_lora(config, 42).unwrap();
    for (stream, (name, var)) in model.lora_parameters().into_iter().enumerate() {
        if name.contains("lora_B") {
            let values: Vec<f32> =
                uniform(7, stream as u64, var.elem_count()).iter().map(|x| x - 0.5).collect();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
        }
    }
    model
}

fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn logits(model: &Decoder) -> Vec<f32> {
    flat(&model.logits(&INPUT, None).unwrap())
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance)
}

fn gradients(model: &Decoder, recompute: Recompute) -> (f64, BTreeMap<String, Vec<f32>>) {
    let dropout = Some(DropoutStream { seed: 1, step: 2 });
    let mut grads = Gradients::default();
    let pass = TrainPass { dropout, recompute };
    let loss = model.forward_backward(&INPUT, &TARGETS, &pass, &mut grads).unwrap();
    assert_eq!(loss.targets, TARGETS.len());
    (loss.nll, grads.iter().map(|(name, grad)| (name.to_owned(), flat(grad))).collect())
}

#[test]
fn a_fresh_adapter_changes_no_bit() {
    let dir = folder();
    let mut model = decoder(dir.path());
    let before = logits(&model);
    model.add_lora(&config(), 42).unwrap();
    assert_eq!(logits(&model), before);
    model.remove_lora().unwrap();
    assert_eq!(logits(&model), before);
    assert!(model.lora_config().is_none() && model.lora_parameters().is_empty());
}

#[test]
fn parameters_are_counted() {
    let dir = folder();
    let mut model = decoder(dir.path());
    // embedding and head 2 * 259 * 16, a final norm, and per block two norms, q, k, v, o and the MLP
    let base = 2 * 259 * 16 + 16 + 2 * (2 * 16 + 16 * 16 * 2 + 8 * 16 * 2 + 3 * 24 * 16);
    assert_eq!((model.total_parameters(), model.trainable_parameters()), (base, 0));
    model.add_lora(&config(), 42).unwrap();
    let per_block = 3 * (32 + 24 + 24 + 32 + 40 + 40 + 40);
    assert_eq!(model.trainable_parameters(), 2 * per_block);
    assert_eq!(model.total_parameters(), base + 2 * per_block);
}

#[test]
fn every_parameter_gets_a_gradient_and_recomputation_changes_no_bit() {
    let dir = folder();
    let model = adapted(dir.path(), &config());
    let (nll, kept) = gradients(&model, Recompute::None);
    for recompute in [0, 1, 2, 9].map(Recompute::Blocks).into_iter().chain([Recompute::All]) {
        assert_eq!((nll, kept.clone()), gradients(&model, recompute), "{recompute:?}");
    }
    let names: Vec<String> = model.lora_parameters().into_keys().collect();
    assert_eq!(kept.keys().cloned().collect::<Vec<_>>(), names);
    assert_eq!(names.len(), 2 * 2 * 7);
    for (name, gradient) in &kept {
        assert!(gradient.iter().any(|g| g.abs() > 1e-6), "{name} has a vanishing gradient");
    }
}

/// The chain of blocks against central differences of the whole model's loss.
#[test]
fn gradients_agree_with_finite_differences_through_the_whole_model() {
    let dir = folder();
    let open = ModelDir::open(dir.path()).unwrap();
    let mut model = Decoder::load(&open, DType::F64, &Device::Cpu).unwrap();
    model.add_lora(&LoraConfig { lora_dropout: 0.0, ..config() }, 42).unwrap();
    for (stream, (_, var)) in model.lora_parameters().into_iter().enumerate() {
        let values: Vec<f64> = uniform(9, stream as u64, var.elem_count())
            .iter()
            .map(|&x| f64::from(x) - 0.5)
            .collect();
        let values = Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap();
        var.set(&values.to_dtype(var.dtype()).unwrap()).unwrap();
    }
    let mut grads = Gradients::default();
    model.forward_backward(&INPUT, &TARGETS, &TrainPass::default(), &mut grads).unwrap();
    for (name, var) in model.lora_parameters() {
        assert_eq!(var.dtype(), DType::F64);
        let values: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
        let gradient: Vec<f64> =
            grads.get(&name).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        // three entries of each matrix
        for j in [0, values.len() / 2, values.len() - 1] {
            let loss = |delta: f64| {
                let mut shifted = values.clone();
                shifted[j] += delta;
                var.set(&Tensor::from_vec(shifted, var.dims(), &Device::Cpu).unwrap()).unwrap();
                model.loss(&INPUT, &TARGETS).unwrap().nll
            };
            let numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            loss(0.0);
            assert!(
                (numeric - gradient[j]).abs() < 1e-6 * (1.0 + numeric.abs()),
                "{name}[{j}]: {numeric} and {}",
                gradient[j]
            );
        }
    }
}

#[test]
fn gradients_add_up_over_micro_batches() {
    let dir = folder();
    let model = adapted(dir.path(), &config());
    let (nll, together) = gradients(&model, Recompute::None);
    let pass =
        TrainPass { dropout: Some(DropoutStream { seed: 1, step: 2 }), recompute: Recompute::None };
    let mut grads = Gradients::default();
    let first =
        Packed { ids: &IDS[..5], positions: &[0, 1, 2, 3, 4], cu_seqlens: &[0, 5], example: &[4] };
    let second =
        Packed { ids: &IDS[5..], positions: &[0, 1, 2, 3], cu_seqlens: &[0, 4], example: &[2] };
    let mut sum = model.forward_backward(&first, &TARGETS[..2], &pass, &mut grads).unwrap().nll;
    let shifted: Vec<(u32, u32)> = TARGETS[2..].iter().map(|&(row, id)| (row - 5, id)).collect();
    sum += model.forward_backward(&second, &shifted, &pass, &mut grads).unwrap().nll;
    assert!((sum - nll).abs() < 1e-5);
    for (name, gradient) in grads.iter() {
        assert!(close(&flat(gradient), &together[name], 1e-5), "{name}");
    }
}

#[test]
fn partial_targets_train_alone_and_blocks_below_run_without_a_backward() {
    let dir = folder();
    let last = LoraConfig {
        target_modules: TargetModules::Regex(r".*\.1\.(self_attn\.q_proj|mlp\.down_proj)".into()),
        ..config()
    };
    let all = adapted(dir.path(), &LoraConfig { lora_dropout: 0.0, ..config() });
    let mut model = decoder(dir.path());
    model.add_lora(&LoraConfig { lora_dropout: 0.0, ..last }, 42).unwrap();
    assert_eq!(model.adapted_leaf_names(), ["down_proj", "q_proj"]);
    let (_, grads) = gradients(&model, Recompute::None);
    let names = [
        "model.layers.1.mlp.down_proj.lora_A.weight",
        "model.layers.1.mlp.down_proj.lora_B.weight",
        "model.layers.1.self_attn.q_proj.lora_A.weight",
        "model.layers.1.self_attn.q_proj.lora_B.weight",
    ];
    assert_eq!(grads.keys().map(String::as_str).collect::<Vec<_>>(), names);
    // The same as in a model whose every layer is adapted by nothing: zero the other B's.
    for (name, var) in all.lora_parameters() {
        let value = match model.lora_parameters().get(&name) {
            Some(own) => own.as_tensor().copy().unwrap(),
            None if name.contains("lora_B") => var.zeros_like().unwrap(),
            None => continue,
        };
        var.set(&value).unwrap();
    }
    let (_, expected) = gradients(&all, Recompute::None);
    for (name, gradient) in &grads {
        assert!(close(gradient, &expected[name], 1e-6), "{name}");
    }
}

#[test]
fn loss_and_cross_entropy_of_logits_agree() {
    let dir = folder();
    let model = adapted(dir.path(), &config());
    let rows: Vec<u32> = TARGETS.iter().map(|t| t.0).collect();
    let logits: Vec<Vec<f32>> = model.logits(&INPUT, Some(&rows)).unwrap().to_vec2().unwrap();
    let nll: f64 = logits
        .iter()
        .zip(TARGETS)
        .map(|(row, (_, label))| {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            sum.ln() - f64::from(row[label as usize])
        })
        .sum();
    assert!((model.loss(&INPUT, &TARGETS).unwrap().nll - nll).abs() < 1e-4);
}

#[test]
fn merged_equals_adapted_and_survives_a_round_trip() {
    let dir = folder();
    let mut model = adapted(dir.path(), &config());
    let (adapter, before) = (logits(&model), logits(&decoder(dir.path())));
    assert!(!close(&adapter, &before, 1e-3));
    let out = dir.path().join("merged");
    let source = ModelDir::open(dir.path()).unwrap();
    assert!(matches!(save_merged(&model, &source, None, None, &out), Err(ModelError::State(_))));
    model.merge_lora().unwrap();
    assert!(close(&logits(&model), &adapter, 1e-4));
    assert!(model.merge_lora().is_err(), "a second merge");

    save_merged(&model, &source, None, None, &out).unwrap();
    assert_eq!(logits(&decoder(&out)), logits(&model));
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(dir.path().join(name)).unwrap());
    }
    assert!(save_merged(&model, &source, None, None, &out).is_err(), "an existing folder");

    model.remove_lora().unwrap();
    assert_eq!(logits(&model), before);
}

#[test]
fn a_merged_model_names_the_id_that_the_adapter_learnt_to_end_at() {
    let dir = folder();
    let mut model = adapted(dir.path(), &config());
    model.merge_lora().unwrap();
    let merged = |out: &str| {
        let out = dir.path().join(out);
        save_merged(&model, &ModelDir::open(dir.path()).unwrap(), None, Some(7), &out).unwrap();
        ["config.json", "generation_config.json"].map(|name| fs::read(out.join(name)).unwrap())
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let mut own = json(&fs::read(dir.path().join("config.json")).unwrap());
    let (eos, bos) = (own["eos_token_id"].clone(), own["bos_token_id"].clone());

    let [config, generation] = merged("alone");
    let mut made = json!({ "eos_token_id": [eos, 7] });
    if !bos.is_null() {
        made["bos_token_id"] = bos;
    }
    assert_eq!(json(&generation), made);
    own["eos_token_id"] = json!([eos, 7]);
    assert_eq!(json(&config), own, "the other keys stay");

    let path = dir.path().join("generation_config.json");
    fs::write(&path, json!({ "eos_token_id": [9, 4], "top_p": 0.9 }).to_string()).unwrap();
    let [_, generation] = merged("beside");
    assert_eq!(json(&generation), json!({ "eos_token_id": [9, 4, 7], "top_p": 0.9 }));

    // what is there already is not touched
    fs::write(&path, r#"{"eos_token_id":[9,  7]}"#).unwrap();
    let [config, generation] = merged("known");
    assert_eq!(generation, fs::read(&path).unwrap());
    assert_eq!(json(&config)["eos_token_id"], json!([eos, 7]));

    // no id at all becomes one
    own["eos_token_id"] = Value::Null;
    fs::write(dir.path().join("config.json"), own.to_string()).unwrap();
    fs::remove_file(&path).unwrap();
    let [config, generation] = merged("none");
    assert_eq!(json(&config)["eos_token_id"], json!(7));
    assert_eq!(json(&generation)["eos_token_id"], json!(7));
}

#[test]
fn peft_files_carry_the_adapter_to_another_decoder() {
    let dir = folder();
    let model = adapted(dir.path(), &config());
    let out = dir.path().join("adapter");
    let peft_config = PeftConfig::from_lora(&config(), "base", None, &model.adapted_leaf_names());
    let tensors = model
        .lora_parameters()
        .into_iter()
        .map(|(name, var)| (name, var.as_tensor().clone()))
        .collect();
    peft::save_adapter(&out, &peft_config, &tensors).unwrap();
    let adapter = peft::load_adapter(&out, &Device::Cpu).unwrap();
    let mut other = decoder(dir.path());
    other.load_lora(&adapter).unwrap();
    assert_eq!(logits(&other), logits(&model));

    // A base with fewer layers refuses it and stays as it was.
    let small = tempfile::tempdir().unwrap();
    LlamaShape { num_hidden_layers: 1, ..LlamaShape::default() }.write(small.path(), 3).unwrap();
    let mut small = decoder(small.path());
    let before = logits(&small);
    let error = small.load_lora(&adapter).unwrap_err().to_string();
    assert!(error.contains("model.layers.1"), "{error}");
    assert_eq!(logits(&small), before);
}

#[test]
fn targets_that_match_nothing_are_refused_with_the_layers_that_exist() {
    let dir = folder();
    let mut model = decoder(dir.path());
    let none = LoraConfig {
        target_modules: TargetModules::List(vec!["c_attn".into()]),
        ..LoraConfig::default()
    };
    let error = model.add_lora(&none, 1).unwrap_err().to_string();
    assert!(error.contains("down_proj") && error.contains("q_proj"), "{error}");
    model.add_lora(&config(), 1).unwrap();
    assert!(model.add_lora(&config(), 1).is_err(), "a second adapter");
}

#[test]
fn malformed_batches_are_refused() {
    let dir = folder();
    let model = adapted(dir.path(), &config());
    let refused = |input: Packed<'_>, targets: &[(u32, u32)]| {
        matches!(model.loss(&input, targets), Err(ModelError::Batch(_)))
    };
    assert!(refused(Packed { ids: &[], positions: &[], cu_seqlens: &[0], example: &[] }, &TARGETS));
    assert!(refused(Packed { positions: &[0, 1], ..INPUT }, &TARGETS));
    assert!(refused(Packed { cu_seqlens: &[0, 5, 5, 9], example: &[1, 2, 3], ..INPUT }, &TARGETS));
    assert!(refused(Packed { cu_seqlens: &[0, 5, 8], ..INPUT }, &TARGETS));
    assert!(refused(Packed { example: &[1], ..INPUT }, &TARGETS));
    assert!(refused(Packed { ids: &[257, 5, 80, 7, 9, 257, 33, 101, 259], ..INPUT }, &TARGETS));
    assert!(refused(INPUT, &[]));
    assert!(refused(INPUT, &[(9, 1)]));
    assert!(!refused(INPUT, &TARGETS));
}
