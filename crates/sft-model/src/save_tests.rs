#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::HashMap, path::PathBuf};

use candle_core::{DType, Tensor, safetensors::load};
use serde_json::json;
use sft_lora::peft::load_adapter;

use super::*;
use crate::Packed;

const ARCHITECTURES: [&str; 7] =
    ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"];

/// The models have about 70 kB: several shards, some with more than one tensor.
const SMALL_SHARD: usize = 12_000;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn open(dir: &Path) -> (ModelDir, Decoder) {
    let dir = ModelDir::open(dir).unwrap();
    let decoder = Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap();
    (dir, decoder)
}

/// The logits of the golden batch.
fn logits(decoder: &Decoder, golden: &HashMap<String, Tensor>) -> Vec<f32> {
    let integers =
        |key: &str| -> Vec<u32> { golden[key].to_dtype(DType::U32).unwrap().to_vec1().unwrap() };
    let (ids, cu_seqlens) = (integers("ids"), integers("cu_seqlens"));
    let positions: Vec<u32> = cu_seqlens.windows(2).flat_map(|b| 0..b[1] - b[0]).collect();
    let example = [0, 1, 2];
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &example };
    decoder.logits(&input, None).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Every tensor in a folder's safetensors files, with the number of files.
fn stored(dir: &Path) -> (BTreeMap<String, Tensor>, usize) {
    let mut tensors = BTreeMap::new();
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        if entry.path().extension().is_some_and(|extension| extension == "safetensors") {
            files += 1;
            let more = load(entry.path(), &Device::Cpu).unwrap();
            let before = tensors.len() + more.len();
            tensors.extend(more);
            assert_eq!(tensors.len(), before, "a tensor is in two files");
        }
    }
    (tensors, files)
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_merged_folder_gives_the_merged_logits_whole_and_in_shards() {
    for name in ARCHITECTURES {
        let golden_tensors = load(golden(name).join("golden.safetensors"), &Device::Cpu).unwrap();
        let (source, mut decoder) = open(&golden(name));
        let adapter = load_adapter(&golden(name).join("adapter"), &Device::Cpu).unwrap();
        decoder.load_lora(&adapter).unwrap();
        decoder.merge_lora().unwrap();
        let merged = logits(&decoder, &golden_tensors);
        let expected: Vec<f32> =
            golden_tensors["logits.merged"].flatten_all().unwrap().to_vec1().unwrap();
        let far = merged.iter().zip(&expected).position(|(a, b)| (a - b).abs() > 1e-4);
        assert_eq!(far, None, "{name}");

        let adapted: Vec<&str> =
            adapter.tensors.keys().filter_map(|key| key.strip_suffix(".lora_A.weight")).collect();
        let (base, _) = stored_of_model(name);
        for (shard_bytes, several) in [(SHARD_BYTES, false), (SMALL_SHARD, true), (1, true)] {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("merged");
            save_in_shards(&decoder, &source, None, None, &out, shard_bytes).unwrap();
            let (_, again) = open(&out);
            assert_eq!(logits(&again, &golden_tensors), merged, "{name}");

            // What has no adapter, embeddings and a tied head among it, is as it was.
            let (tensors, files) = stored(&out);
            assert!(tensors.keys().eq(base.keys()), "{name}");
            assert_eq!(
                tensors.contains_key("lm_head.weight"),
                !source.config().tie_word_embeddings
            );
            for (key, tensor) in &tensors {
                let changed = bits(tensor) != bits(&base[key]);
                let module = key.strip_suffix(".weight").unwrap_or(key);
                assert_eq!(changed, adapted.contains(&module), "{name}: {key}");
            }
            assert_eq!(files > 1, several, "{name}: {files} files");
            assert!(shard_bytes > 1 || files == tensors.len(), "a tensor a file");
            assert_index(&out, &tensors, several);
        }
    }
}

fn stored_of_model(name: &str) -> (BTreeMap<String, Tensor>, usize) {
    let tensors = load(golden(name).join("model.safetensors"), &Device::Cpu).unwrap();
    (tensors.into_iter().collect(), 1)
}

/// The index names the file of every tensor and their size together.
fn assert_index(dir: &Path, tensors: &BTreeMap<String, Tensor>, several: bool) {
    let path = dir.join("model.safetensors.index.json");
    assert_eq!(path.is_file(), several);
    assert_eq!(dir.join("model.safetensors").is_file(), !several);
    if several {
        let index: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let total: usize = tensors.values().map(bytes).sum();
        assert_eq!(index["metadata"]["total_size"], json!(total));
        let map = index["weight_map"].as_object().unwrap();
        assert!(map.keys().eq(tensors.keys()));
        for (name, file) in map {
            let file = load(dir.join(file.as_str().unwrap()), &Device::Cpu).unwrap();
            assert!(file.contains_key(name), "{name}");
        }
    }
}

#[test]
fn a_narrow_base_stays_narrow_and_is_rounded_once() {
    for dtype in [DType::BF16, DType::F16] {
        let dir = tempfile::tempdir().unwrap();
        let (base, _) = stored_of_model("llama32");
        let narrow: HashMap<String, Tensor> = base
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.to_dtype(dtype).unwrap()))
            .collect();
        let base = dir.path().join("base");
        fs::create_dir(&base).unwrap();
        candle_core::safetensors::save(&narrow, base.join("model.safetensors")).unwrap();
        fs::copy(golden("llama32").join("config.json"), base.join("config.json")).unwrap();

        let (source, mut decoder) = open(&base);
        let adapter = load_adapter(&golden("llama32").join("adapter"), &Device::Cpu).unwrap();
        decoder.load_lora(&adapter).unwrap();
        decoder.merge_lora().unwrap();
        let out = dir.path().join("merged");
        save_in_shards(&decoder, &source, None, None, &out, SMALL_SHARD).unwrap();
        let (tensors, _) = stored(&out);
        for (name, tensor) in &tensors {
            assert_eq!(tensor.dtype(), dtype, "{name}");
        }
        let name = "model.layers.0.self_attn.q_proj.weight";
        let wide = decoder.projections().next().unwrap().weight().to_tensor().unwrap();
        let rounded = wide.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
        assert_eq!(bits(&tensors[name].to_dtype(DType::F32).unwrap()), bits(&rounded));
        assert_ne!(bits(&rounded), bits(&wide));
    }
}
