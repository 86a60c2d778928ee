//! The forms of weight files that are met: whole, sharded, pickled, narrow, with a tied head.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors};
use serde_json::json;
use sft_lora::torch_file;
use sft_model::{Decoder, ModelDir, Packed};

const ARCHITECTURES: [&str; 7] =
    ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    let path = golden(name).join("model.safetensors");
    safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect()
}

/// A folder with the golden model's configuration and no weights.
fn without_weights(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden(name).join("config.json"), dir.path().join("config.json")).unwrap();
    dir
}

fn logits(dir: &Path) -> sft_model::Result<Vec<u32>> {
    let decoder = Decoder::load(&ModelDir::open(dir)?, DType::F32, &Device::Cpu)?;
    let input = Packed {
        ids: &[1, 40, 5, 66, 1, 9],
        positions: &[0, 1, 2, 3, 0, 1],
        cu_seqlens: &[0, 4, 6],
        example: &[0, 1],
    };
    let logits: Vec<f32> = decoder.logits(&input, None)?.flatten_all()?.to_vec1()?;
    Ok(logits.into_iter().map(f32::to_bits).collect())
}

/// Writes `tensors` by turns into two files, named by `file`, with the index of such shards.
fn write_shards(
    dir: &Path,
    whole: &str,
    tensors: &BTreeMap<String, Tensor>,
    write: impl Fn(&Path, &BTreeMap<String, Tensor>),
) {
    let (stem, extension) = whole.split_once('.').unwrap();
    let mut weight_map = BTreeMap::new();
    for i in 0..2 {
        let file = format!("{stem}-{:05}-of-00002.{extension}", i + 1);
        let part: BTreeMap<String, Tensor> =
            tensors.clone().into_iter().skip(i).step_by(2).collect();
        write(&dir.join(&file), &part);
        weight_map.extend(part.into_keys().map(|name| (name, file.clone())));
    }
    let index = json!({ "metadata": { "total_size": 0 }, "weight_map": weight_map });
    fs::write(dir.join(format!("{whole}.index.json")), index.to_string()).unwrap();
}

#[test]
fn shards_of_either_kind_are_the_whole() {
    for name in ARCHITECTURES {
        let whole = logits(&golden(name)).unwrap();
        let tensors = tensors(name);
        let dir = without_weights(name);
        write_shards(dir.path(), "model.safetensors", &tensors, |path, part| {
            let part: HashMap<_, _> = part.clone().into_iter().collect();
            safetensors::save(&part, path).unwrap();
        });
        assert_eq!(logits(dir.path()).unwrap(), whole, "{name}");

        let dir = without_weights(name);
        write_shards(dir.path(), "pytorch_model.bin", &tensors, |path, part| {
            torch_file::write(path, part).unwrap();
        });
        assert_eq!(logits(dir.path()).unwrap(), whole, "{name}: pickles");
        fs::remove_file(dir.path().join("pytorch_model-00002-of-00002.bin")).unwrap();
        let error = logits(dir.path()).unwrap_err().to_string();
        assert!(error.contains("pytorch_model-00002-of-00002.bin") && error.contains("missing"));
    }
}

#[test]
fn narrow_files_are_widened_exactly() {
    for name in ["llama2", "llama32"] {
        let full = logits(&golden(name)).unwrap();
        for dtype in [DType::F16, DType::BF16] {
            let narrow: HashMap<String, Tensor> = tensors(name)
                .into_iter()
                .map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap()))
                .collect();
            let rounded: HashMap<String, Tensor> = narrow
                .iter()
                .map(|(name, tensor)| (name.clone(), tensor.to_dtype(DType::F32).unwrap()))
                .collect();
            let [narrow, rounded] = [narrow, rounded].map(|tensors| {
                let dir = without_weights(name);
                safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
                logits(dir.path()).unwrap()
            });
            assert_eq!(narrow, rounded, "{name}: {dtype:?}");
            assert_ne!(narrow, full, "{name}: {dtype:?}");
        }
    }
}

#[test]
fn a_tied_head_needs_no_tensor_and_an_untied_one_does() {
    for name in ARCHITECTURES {
        let mut tensors = tensors(name);
        let tied = ModelDir::open(&golden(name)).unwrap().config().tie_word_embeddings;
        assert_eq!(tied, ["llama32", "qwen2"].contains(&name), "{name}");
        assert_eq!(tensors.remove("lm_head.weight").is_none(), tied, "{name}");
        let dir = without_weights(name);
        let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
        safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
        match logits(dir.path()) {
            Ok(found) => assert!(tied && found == logits(&golden(name)).unwrap(), "{name}"),
            Err(error) => assert!(!tied && error.to_string().contains("lm_head.weight"), "{name}"),
        }
    }
}

/// Old Llama files have the rotary frequencies as tensors, and no model asks for them.
#[test]
fn tensors_that_the_model_does_not_have_are_passed_over() {
    let mut tensors: HashMap<String, Tensor> = tensors("llama2").into_iter().collect();
    let frequencies = Tensor::new(&[1_f32, 0.1, 0.01, 0.001], &Device::Cpu).unwrap();
    for block in 0..2 {
        let name = format!("model.layers.{block}.self_attn.rotary_emb.inv_freq");
        tensors.insert(name, frequencies.clone());
    }
    let dir = without_weights("llama2");
    safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
    assert_eq!(logits(dir.path()).unwrap(), logits(&golden("llama2")).unwrap());
}
