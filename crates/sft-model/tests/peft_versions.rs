//! Adapters as several versions of PEFT save them: `scripts/make_peft_golden.py` wrote the files and the logits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors};
use serde_json::Value;
use sft_lora::{
    TargetModules,
    peft::{PeftConfig, load_adapter, save_adapter},
};
use sft_model::{Decoder, ModelDir, Packed};

const VERSIONS: [&str; 4] = ["0.10.0", "0.13.2", "0.17.1", "0.21.2"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn version(version: &str) -> PathBuf {
    golden("peft").join(version)
}

/// Ids, logits of the base, and logits of each adapter.
fn read(folder: &Path) -> (Vec<u32>, Tensor, BTreeMap<String, Tensor>) {
    let mut tensors: HashMap<String, Tensor> =
        safetensors::load(folder.join("logits.safetensors"), &Device::Cpu).unwrap();
    let ids = tensors.remove("ids").unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    let base = tensors.remove("base").unwrap();
    (ids, base, tensors.into_iter().collect())
}

fn base() -> Decoder {
    let dir = ModelDir::open(&golden("llama2")).unwrap();
    Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap()
}

fn logits(decoder: &Decoder, ids: &[u32]) -> Tensor {
    let positions: Vec<u32> = (0..ids.len() as u32).collect();
    let cu_seqlens = [0, ids.len() as u32];
    let input = Packed { ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &[0] };
    decoder.logits(&input, None).unwrap()
}

fn gap(one: &Tensor, other: &Tensor) -> f32 {
    assert_eq!(one.dims(), other.dims());
    let gap = (one - other).unwrap().abs().unwrap();
    // not max_all, which passes over NaN
    let values: Vec<f32> = gap.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max })
}

#[test]
fn every_version_s_adapters_give_the_logits_that_it_computed() {
    for name in VERSIONS {
        let (ids, plain, expected) = read(&version(name));
        let folders = fs::read_dir(version(name)).unwrap().filter_map(Result::ok);
        let adapters = folders.filter(|entry| entry.path().is_dir()).count();
        assert_eq!(adapters, expected.len());
        assert!(adapters >= 8, "{name} has {adapters} adapters");
        let mut decoder = base();
        assert!(gap(&logits(&decoder, &ids), &plain) < 1e-4, "{name}");
        for (adapter, expected) in expected {
            let folder = version(name).join(&adapter);
            decoder.load_lora(&load_adapter(&folder, &Device::Cpu).unwrap()).unwrap();
            let found = logits(&decoder, &ids);
            let gap = gap(&found, &expected);
            assert!(gap < 1e-4, "{name}/{adapter}: a logit is {gap} off");
            decoder.remove_lora().unwrap();
        }
    }
}

/// What we write of an adapter that PEFT wrote says the same, in the keys that the oldest version knows.
#[test]
fn an_adapter_that_was_read_is_written_with_the_same_meaning() {
    let oldest: Value = serde_json::from_slice(
        &fs::read(version(VERSIONS[0]).join("plain/adapter_config.json")).unwrap(),
    )
    .unwrap();
    for name in VERSIONS {
        let (ids, _, expected) = read(&version(name));
        let mut decoder = base();
        for (adapter, expected) in expected {
            let read = load_adapter(&version(name).join(&adapter), &Device::Cpu).unwrap();
            decoder.load_lora(&read).unwrap();
            let leaves = decoder.adapted_leaf_names();
            let config = PeftConfig::from_lora(&read.lora, "llama2", None, &leaves);
            decoder.remove_lora().unwrap();
            let dir = tempfile::tempdir().unwrap();
            save_adapter(dir.path(), &config, &read.tensors).unwrap();

            let written: Value =
                serde_json::from_slice(&fs::read(dir.path().join("adapter_config.json")).unwrap())
                    .unwrap();
            let keys =
                |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            for key in keys(&written) {
                assert!(keys(&oldest).contains(&key), "PEFT 0.10 does not know {key}");
            }
            decoder.load_lora(&load_adapter(dir.path(), &Device::Cpu).unwrap()).unwrap();
            let gap = gap(&logits(&decoder, &ids), &expected);
            assert!(gap < 1e-4, "{name}/{adapter}: a logit is {gap} off");
            decoder.remove_lora().unwrap();
        }
    }
}

#[test]
fn options_that_change_the_result_are_refused_as_each_version_writes_them() {
    let mut options = Vec::new();
    for name in VERSIONS {
        let file = fs::read(version(name).join("refused.json")).unwrap();
        let configs: BTreeMap<String, PeftConfig> = serde_json::from_slice(&file).unwrap();
        for (option, config) in configs {
            let error = config.to_lora().unwrap_err().to_string();
            assert!(error.contains(&option), "{name}: {option} is not in: {error}");
            options.push(option);
        }
    }
    options.sort();
    options.dedup();
    assert!(options.len() >= 10, "{options:?}");
}

#[test]
fn an_adapter_of_the_head_is_refused_by_name() {
    let mut adapter = load_adapter(&version("0.21.2").join("plain"), &Device::Cpu).unwrap();
    adapter.lora.target_modules = TargetModules::List(vec!["q_proj".into(), "lm_head".into()]);
    adapter.tensors.retain(|name, _| name.contains("q_proj"));
    for (matrix, shape) in [("lora_A", (2, 32)), ("lora_B", (67, 2))] {
        let zeros = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        adapter.tensors.insert(format!("lm_head.{matrix}.weight"), zeros);
    }
    let error = base().load_lora(&adapter).unwrap_err().to_string();
    assert!(error.contains("`lm_head`") && error.contains("not supported"), "{error}");
}
