//! Adapter folders: what is written, what is read back, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use common::{bits, numbers};
use serde_json::{Value, json};
use sft_lora::{
    LoraConfig, LoraError, TargetModules,
    peft::{PeftConfig, load_adapter, save_adapter},
};

const Q: &str = "model.layers.0.self_attn.q_proj";
const UP: &str = "model.layers.0.mlp.up_proj";

fn config() -> LoraConfig {
    LoraConfig {
        rank_pattern: BTreeMap::from([("up_proj".into(), 2)]),
        alpha_pattern: BTreeMap::from([("up_proj".into(), 2.5)]),
        ..common::config()
    }
}

fn names() -> Vec<String> {
    vec!["up_proj".into(), "q_proj".into()]
}

fn tensors() -> BTreeMap<String, Tensor> {
    let matrix = |stream, shape: [usize; 2]| numbers(stream, &shape, DType::F32);
    BTreeMap::from([
        (format!("{Q}.lora_A.weight"), matrix(1, [3, 6])),
        (format!("{Q}.lora_B.weight"), matrix(2, [4, 3])),
        (format!("{UP}.lora_A.weight"), matrix(3, [2, 6])),
        (format!("{UP}.lora_B.weight"), matrix(4, [9, 2])),
    ])
}

fn save(dir: &Path) -> PeftConfig {
    let config = PeftConfig::from_lora(&config(), "some/base", None, &names());
    save_adapter(dir, &config, &tensors()).unwrap();
    config
}

fn saved() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path());
    dir
}

fn load_error(dir: &Path) -> String {
    load_adapter(dir, &Device::Cpu).unwrap_err().to_string()
}

/// Changes keys of a saved `adapter_config.json` and loads the folder.
fn with_keys(dir: &Path, keys: Value) -> Result<LoraConfig, LoraError> {
    save(dir);
    let path = dir.join("adapter_config.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        file[key] = value.clone();
    }
    fs::write(path, file.to_string()).unwrap();
    load_adapter(dir, &Device::Cpu).map(|adapter| adapter.lora)
}

#[test]
fn the_configuration_is_written_as_peft_writes_it() {
    let dir = saved();
    let text = fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    let expected = r#"{
  "alpha_pattern": {
    "up_proj": 2.5
  },
  "auto_mapping": null,
  "base_model_name_or_path": "some/base",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layer_replication": null,
  "layers_pattern": null,
  "layers_to_transform": null,
  "loftq_config": {},
  "lora_alpha": 7,
  "lora_dropout": 0.4,
  "megatron_config": null,
  "megatron_core": "megatron.core",
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 3,
  "rank_pattern": {
    "up_proj": 2
  },
  "revision": null,
  "target_modules": [
    "q_proj",
    "up_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
}"#;
    assert_eq!(text, expected);
}

#[test]
fn the_safetensors_file_has_pefts_names_and_metadata() {
    let dir = saved();
    let bytes = fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata.len(), 1);
    assert_eq!(metadata["format"], "pt");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> =
        file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec())).collect();
    found.sort();
    let expected: Vec<_> = tensors()
        .iter()
        .map(|(name, tensor)| (format!("base_model.model.{name}"), tensor.dims().to_vec()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn both_weight_files_read_back_bit_for_bit() {
    let dir = saved();
    for without in [None, Some("adapter_model.safetensors")] {
        if let Some(file) = without {
            fs::remove_file(dir.path().join(file)).unwrap();
        }
        let adapter = load_adapter(dir.path(), &Device::Cpu).unwrap();
        assert_eq!(adapter.lora.r, 3);
        assert_eq!(adapter.lora.target_modules, "q_proj,up_proj".parse().unwrap());
        assert_eq!(adapter.lora.scale_for(UP), 1.25);
        assert_eq!(adapter.config, PeftConfig::from_lora(&config(), "some/base", None, &names()));
        assert_eq!(adapter.dir, dir.path());
        assert_eq!(
            adapter.tensors.keys().collect::<Vec<_>>(),
            tensors().keys().collect::<Vec<_>>()
        );
        for (name, tensor) in tensors() {
            assert_eq!(adapter.tensors[&name].dims(), tensor.dims());
            assert_eq!(bits(&adapter.tensors[&name]), bits(&tensor), "{name}");
        }
    }
}

#[test]
fn the_same_adapter_gives_the_same_bytes_and_nothing_else() {
    let (one, two) = (saved(), saved());
    let list = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    save(two.path()); // over the first
    let files = ["adapter_config.json", "adapter_model.bin", "adapter_model.safetensors"];
    assert_eq!(list(two.path()), files);
    for file in files {
        assert_eq!(
            fs::read(one.path().join(file)).unwrap(),
            fs::read(two.path().join(file)).unwrap(),
            "{file}"
        );
    }
}

#[test]
fn narrow_adapters_are_widened() {
    for dtype in [DType::BF16, DType::F16, DType::F64] {
        let dir = saved();
        let narrow: std::collections::HashMap<String, Tensor> = tensors()
            .into_iter()
            .map(|(name, tensor)| {
                (format!("base_model.model.{name}"), tensor.to_dtype(dtype).unwrap())
            })
            .collect();
        candle_core::safetensors::save(&narrow, dir.path().join("adapter_model.safetensors"))
            .unwrap();
        let adapter = load_adapter(dir.path(), &Device::Cpu).unwrap();
        for (name, tensor) in &adapter.tensors {
            assert_eq!(tensor.dtype(), DType::F32);
            assert_eq!(bits(tensor), bits(&narrow[&format!("base_model.model.{name}")]));
        }
    }
}

#[test]
fn targets_are_written_in_their_own_form() {
    let form = |target_modules| {
        let lora = LoraConfig { target_modules, ..config() };
        let config = PeftConfig::from_lora(&lora, "b", Some("main"), &names());
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["revision"], "main");
        (json["target_modules"].clone(), config.to_lora().unwrap().target_modules)
    };
    let list = TargetModules::List(vec!["v_proj".into(), "q_proj".into()]);
    assert_eq!(form(list).0, json!(["q_proj", "v_proj"]));
    let regex = TargetModules::Regex(r".*\.(q|v)_proj".into());
    assert_eq!(form(regex.clone()), (json!(r".*\.(q|v)_proj"), regex));
    assert_eq!(form(TargetModules::AllLinear).0, json!(["q_proj", "up_proj"]));
}

#[test]
fn configurations_of_all_versions_are_read() {
    let dir = tempfile::tempdir().unwrap();
    // PEFT 0.21, every option of plain LoRA at rest
    let newest = json!({
        "peft_version": "0.21.2", "qalora_group_size": 16, "use_qalora": false, "lora_bias": false,
        "exclude_modules": null, "eva_config": null, "corda_config": null, "arrow_config": null,
        "trainable_token_indices": null, "target_parameters": null, "alora_invocation_tokens": null,
        "ensure_weight_tying": false, "use_bdlora": null, "kasa_config": null, "velora_config": null,
        "monteclora_config": null, "lora_ga_config": null, "auto_mapping": {"base_model_class": "X"},
        "inference_mode": false, "runtime_config": {"ephemeral_gpu_offload": false},
        "an_option_of_tomorrow": null, "another": false, "a_third": {}, "layers_to_transform": [],
    });
    assert_eq!(with_keys(dir.path(), newest).unwrap().r, 3);
    for init in [
        json!(true),
        json!(false),
        json!(null),
        json!("gaussian"),
        json!("eva"),
        json!("orthogonal"),
    ] {
        assert!(with_keys(dir.path(), json!({"init_lora_weights": init})).is_ok(), "{init}");
    }
    let eva = json!({"init_lora_weights": "eva", "eva_config": {"rho": 2.0}});
    assert!(with_keys(dir.path(), eva).is_ok(), "it chose A and B and left the base alone");

    // the least that an old file says
    let old: PeftConfig = serde_json::from_value(json!({
        "peft_type": "LORA", "r": 4, "lora_alpha": 16, "target_modules": ["q_proj"],
        "rank_pattern": null, "alpha_pattern": null
    }))
    .unwrap();
    let lora = old.to_lora().unwrap();
    assert_eq!(
        (lora.r, lora.lora_alpha, lora.lora_dropout, lora.use_rslora),
        (4, 16.0, 0.0, false)
    );
    let all: PeftConfig =
        serde_json::from_value(json!({"peft_type": "LORA", "target_modules": "all-linear"}))
            .unwrap();
    let lora = all.to_lora().unwrap();
    assert_eq!((lora.r, lora.lora_alpha), (8, 8.0), "PEFT's defaults");
    assert_eq!(lora.target_modules, TargetModules::AllLinear);
}

#[test]
fn options_that_change_the_result_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (key, value) in [
        ("use_dora", json!(true)),
        ("lora_bias", json!(true)),
        ("bias", json!("all")),
        ("bias", json!("lora_only")),
        ("modules_to_save", json!(["lm_head"])),
        ("layers_to_transform", json!("0")),
        ("layers_pattern", json!("layers")),
        ("layer_replication", json!([[0, 4], [2, 5]])),
        ("megatron_config", json!({"a": 1})),
        ("exclude_modules", json!([3])),
        ("trainable_token_indices", json!([1])),
        ("target_parameters", json!(["mlp.experts"])),
        ("use_qalora", json!(true)),
        ("alora_invocation_tokens", json!([1, 2])),
        ("arrow_config", json!({"top_k": 3})),
        ("use_bdlora", json!({"nblocks": 2})),
        ("kasa_config", json!({"beta": 1})),
        ("velora_config", json!({"scale": 1.0})),
        ("monteclora_config", json!({"num_samples": 8})),
        ("ensure_weight_tying", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("init_lora_weights", json!("OLoRA")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("an_option_of_tomorrow", json!(2)),
        ("peft_type", json!("LOHA")),
        ("target_modules", json!(null)),
    ] {
        let error = with_keys(dir.path(), json!({key: value})).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json") && error.contains(key), "{key}: {error}");
    }
    // all of them at once
    let error = with_keys(dir.path(), json!({"use_dora": true, "lora_bias": true})).unwrap_err();
    assert!(error.to_string().contains("use_dora") && error.to_string().contains("lora_bias"));
}

#[test]
fn modules_are_left_out_as_peft_leaves_them_out() {
    let targets = |keys: Value, module: &str| {
        let mut file = json!({"peft_type": "LORA"});
        file.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let config: PeftConfig = serde_json::from_value(file).unwrap();
        config.to_lora().unwrap().targets(module, false).unwrap()
    };
    let path = |layer: usize, name: &str| format!("model.layers.{layer}.{name}");
    let (q, up) = ("self_attn.q_proj", "mlp.up_proj");
    for layers in [json!(1), json!([1, 11])] {
        let keys = json!({"target_modules": ["q_proj"], "layers_to_transform": layers});
        assert!(targets(keys.clone(), &path(1, q)));
        assert!(!targets(keys.clone(), &path(0, q)) && !targets(keys.clone(), &path(10, q)));
        assert!(!targets(keys.clone(), &path(1, up)) && !targets(keys, "model.q_proj"));
    }
    let keys = json!({
        "target_modules": ["q_proj", "model.layers.3.mlp.up_proj"], "layers_to_transform": 1,
        "layers_pattern": ["h", "layers"], "exclude_modules": null,
    });
    assert!(targets(keys.clone(), &path(1, q)) && targets(keys.clone(), "model.h.1.q_proj"));
    assert!(targets(keys.clone(), &path(3, up)), "named in full, it is adapted in any layer");
    assert!(!targets(keys, "model.blocks.1.q_proj"));

    for excluded in [json!(["0.self_attn.q_proj"]), json!(r".*\.0\..*q_proj")] {
        for named in [json!(["q_proj", "up_proj"]), json!(r".*(q|up)_proj")] {
            let keys = json!({"target_modules": named, "exclude_modules": excluded});
            assert!(!targets(keys.clone(), &path(0, q)) && targets(keys.clone(), &path(1, q)));
            assert!(targets(keys.clone(), &path(0, up)) && targets(keys, &path(10, q)));
        }
    }
    let keys = json!({
        "target_modules": ["q_proj", "up_proj"], "layers_to_transform": [1, 2],
        "exclude_modules": ["up_proj"],
    });
    assert!(targets(keys.clone(), &path(2, q)) && !targets(keys.clone(), &path(2, up)));
    assert!(!targets(keys, &path(0, q)));
}

#[test]
fn what_leaves_modules_out_needs_names() {
    for keys in [
        json!({"target_modules": "all-linear", "layers_to_transform": [0]}),
        json!({"target_modules": "all-linear", "exclude_modules": ["q_proj"]}),
        json!({"target_modules": ".*q_proj", "layers_to_transform": [0]}),
        json!({"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": [1]}),
        json!({"target_modules": ["q_proj"], "layers_to_transform": [-1]}),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = with_keys(dir.path(), keys.clone()).unwrap_err().to_string();
        let named = ["layers_to_transform", "exclude_modules", "layers_pattern"]
            .iter()
            .any(|name| error.contains(name));
        assert!(named && error.contains("adapter_config.json"), "{keys}: {error}");
    }
}

#[test]
fn weights_that_are_not_the_configurations_are_listed() {
    let check = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), parts: &[&str]| {
        let dir = saved();
        let mut tensors = tensors();
        change(&mut tensors);
        let named: std::collections::HashMap<_, _> = tensors
            .iter()
            .map(|(name, tensor)| (format!("base_model.model.{name}"), tensor.clone()))
            .collect();
        let path = dir.path().join("adapter_model.safetensors");
        candle_core::safetensors::save(&named, &path).unwrap();
        let error = load_error(dir.path());
        for part in parts.iter().chain(&["adapter_model.safetensors"]) {
            assert!(error.contains(part), "{part}: {error}");
        }
        // and they are not written either
        let out = tempfile::tempdir().unwrap();
        let config = PeftConfig::from_lora(&config(), "b", None, &names());
        assert!(save_adapter(out.path(), &config, &tensors).is_err());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    };
    let (a, b) = (format!("{Q}.lora_A.weight"), format!("{UP}.lora_B.weight"));
    check(&|t| drop((t.remove(&a), t.remove(&b))), &["missing tensor", &a, &b]);
    check(
        &|t| drop(t.insert(a.clone(), numbers(1, &[2, 6], DType::F32))),
        &[&a, "[2, 6]", "[3, in]"],
    );
    check(
        &|t| drop(t.insert(b.clone(), numbers(1, &[9, 3], DType::F32))),
        &[&b, "[9, 3]", "[out, 2]"],
    );
    check(&|t| drop(t.insert(a.clone(), numbers(1, &[3], DType::F32))), &[&a, "[3]"]);
    check(
        &|t| drop(t.insert("lm_head.weight".into(), numbers(1, &[3, 6], DType::F32))),
        &["unexpected tensor lm_head.weight"],
    );
    check(
        &|t| {
            t.insert("model.k_proj.lora_A.weight".into(), numbers(1, &[3, 6], DType::F32));
            t.insert("model.k_proj.lora_B.weight".into(), numbers(1, &[4, 3], DType::F32));
        },
        &["target_modules does not name model.k_proj"],
    );
    check(&BTreeMap::clear, &["no tensor"]);
}

#[test]
fn missing_and_damaged_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = load_error(dir.path());
    assert!(error.contains("adapter_config.json is not there"), "{error}");
    assert!(load_error(&dir.path().join("none")).contains("none"));

    let dir = saved();
    for file in ["adapter_model.safetensors", "adapter_model.bin"] {
        let path = dir.path().join(file);
        let bytes = fs::read(&path).unwrap();
        for len in [0, 7, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            let error = load_error(dir.path());
            assert!(error.contains(file) && error.contains("again"), "{len}: {error}");
        }
        fs::remove_file(path).unwrap();
    }
    assert!(load_error(dir.path()).contains("adapter_model.safetensors is not there"));

    let path = dir.path().join("adapter_config.json");
    for text in [
        "",
        "{",
        "[]",
        "{\"peft_type\": \"LORA\", \"r\": -1}",
        "{\"peft_type\": \"LORA\", \"r\": \"x\"}",
    ] {
        fs::write(&path, text).unwrap();
        assert!(load_error(dir.path()).contains("adapter_config.json"), "{text}");
    }
    let zero = "{\"peft_type\": \"LORA\", \"r\": 0, \"target_modules\": [\"q_proj\"]}";
    fs::write(&path, zero).unwrap();
    assert!(load_error(dir.path()).contains("r is 0"));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let config = PeftConfig::from_lora(&config(), "b", None, &names());
    let error = save_adapter(&file.join("adapter"), &config, &tensors()).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("file"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"x");
}
