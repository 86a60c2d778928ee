#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, fs, path::PathBuf};

use candle_core::safetensors;

use super::*;
use crate::{Decoder, Gradients, ModelDir, Packed, Passes, TrainPass};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

/// A golden model's folder with its weights in `dtype`, as [`safetensors::save`] writes them, or with
/// so many bytes of white space more before the data.
fn folder(name: &str, dtype: DType, shift: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden(name).join("config.json"), dir.path().join("config.json")).unwrap();
    let tensors: HashMap<String, Tensor> =
        safetensors::load(golden(name).join("model.safetensors"), &Device::Cpu)
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.to_dtype(dtype).unwrap()))
            .collect();
    let path = dir.path().join("model.safetensors");
    safetensors::save(&tensors, &path).unwrap();
    let file = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let shifted = [
        &(header as u64 + shift as u64).to_le_bytes(),
        &file[8..8 + header],
        &vec![b' '; shift],
        &file[8 + header..],
    ];
    fs::write(&path, shifted.concat()).unwrap();
    dir
}

/// Whether the matrices of a folder are read where they lie.
fn is_mapped(dir: &Path, dtype: DType) -> bool {
    let decoder = Decoder::load(&ModelDir::open(dir).unwrap(), dtype, &Device::Cpu).unwrap();
    let matrices = decoder.projections().map(crate::projection::Projection::weight);
    let mapped: Vec<bool> =
        matrices.chain([&decoder.embedding, &decoder.head]).map(FrozenWeight::is_mapped).collect();
    assert!(mapped.iter().all(|&one| one == mapped[0]), "{mapped:?}");
    mapped[0]
}

#[test]
fn matrices_lie_in_the_map_where_their_type_computes() {
    for (stored, held, shift, expected) in [
        (DType::F32, DType::F32, 0, true),
        (DType::BF16, DType::BF16, 0, true),
        (DType::BF16, DType::BF16, 2, true),
        (DType::F32, DType::F32, 2, false), // misaligned
        (DType::BF16, DType::BF16, 1, false),
        (DType::BF16, DType::F32, 0, false),
        (DType::F32, DType::BF16, 0, false),
        (DType::F16, DType::F16, 0, false),
        (DType::F64, DType::F64, 0, false),
    ] {
        let dir = folder("llama32", stored, shift);
        assert_eq!(is_mapped(dir.path(), held), expected, "{stored:?} as {held:?}, {shift}");
    }
}

#[test]
fn mapped_and_copied_models_compute_the_same_bits() {
    let ids: Vec<u32> = (0..18).map(|i| 3 + i * 7 % 61).collect();
    let positions: Vec<u32> = (0..11).chain(0..7).collect();
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &[0, 11, 18], example: &[0, 1] };
    let targets: Vec<(u32, u32)> = [5, 6, 9, 12, 15].map(|row| (row, ids[row as usize + 1])).into();
    for name in ["llama2", "llama32", "qwen2", "qwen3"] {
        for dtype in [DType::F32, DType::BF16] {
            for passes in [Passes::Fast, Passes::Tensors, Passes::Autograd] {
                let run = |shift: usize| {
                    let dir = folder(name, dtype, shift);
                    assert_eq!(is_mapped(dir.path(), dtype), shift == 0);
                    let model = ModelDir::open(dir.path()).unwrap();
                    let mut decoder = Decoder::load(&model, dtype, &Device::Cpu).unwrap();
                    decoder.set_passes(passes);
                    let adapter = golden(name).join("adapter");
                    let adapter = sft_lora::peft::load_adapter(&adapter, &Device::Cpu).unwrap();
                    decoder.load_lora(&adapter).unwrap();
                    let numbers = |tensor: &Tensor| -> Vec<u32> {
                        let flat: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                        flat.into_iter().map(f32::to_bits).collect()
                    };
                    let mut gradients = Gradients::default();
                    let pass = TrainPass::default();
                    let loss =
                        decoder.forward_backward(&input, &targets, &pass, &mut gradients).unwrap();
                    let gradients: BTreeMap<String, Vec<u32>> =
                        gradients.iter().map(|(name, g)| (name.to_owned(), numbers(g))).collect();
                    let logits = numbers(&decoder.logits(&input, None).unwrap());
                    decoder.merge_lora().unwrap();
                    let merged = numbers(&decoder.logits(&input, None).unwrap());
                    let fingerprint = decoder.base_fingerprint().unwrap();
                    (loss.nll.to_bits(), gradients, logits, merged, fingerprint)
                };
                assert!(run(0) == run(1), "{name} {dtype:?} {passes:?}");
            }
        }
    }
}

#[test]
fn tied_heads_share_the_map() {
    let dir = folder("llama32", DType::F32, 0);
    let model = ModelDir::open(dir.path()).unwrap();
    assert!(model.config().tie_word_embeddings, "the golden model has a tied head");
    assert!(is_mapped(dir.path(), DType::F32));
}

#[test]
fn a_file_that_is_written_to_is_refused() {
    let dir = folder("llama2", DType::F32, 0);
    let weights = WeightFiles::open(dir.path(), None).unwrap();
    weights.check_unchanged().unwrap();
    let path = dir.path().join("model.safetensors");
    let mut longer = fs::read(&path).unwrap();
    longer.push(0);
    fs::write(&path, longer).unwrap();
    let error = weights.check_unchanged().unwrap_err().to_string();
    assert!(error.contains("model.safetensors") && error.contains("start again"), "{error}");
}

/// In a process of its own, where nobody else takes memory.
#[cfg(target_os = "linux")]
#[test]
fn loading_bf16_takes_no_memory() {
    const FOLDER: &str = "SFT_TEST_MAPPED_FOLDER";
    const THIS: &str = "weights::tests::loading_bf16_takes_no_memory";
    if let Some(dir) = std::env::var_os(FOLDER) {
        let anonymous = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() // KiB
        };
        let model = ModelDir::open(Path::new(&dir)).unwrap();
        let before = anonymous();
        let decoder = Decoder::load(&model, DType::BF16, &Device::Cpu).unwrap();
        let ids = [1, 2, 3];
        let input = Packed { ids: &ids, positions: &[0, 1, 2], cu_seqlens: &[0, 3], example: &[0] };
        decoder.logits(&input, None).unwrap();
        let bytes = decoder.total_parameters() * 2;
        let taken = (anonymous() - before) * 1024;
        assert!(taken < bytes / 4, "{taken} bytes of memory for {bytes} bytes of weights");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    sft_fixtures::LlamaShape {
        hidden_size: 512,
        intermediate_size: 4096,
        head_dim: 64,
        num_attention_heads: 8,
        ..Default::default()
    }
    .write(dir.path(), 1)
    .unwrap();
    let path = dir.path().join("model.safetensors");
    let narrow: HashMap<String, Tensor> = safetensors::load(&path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(DType::BF16).unwrap()))
        .collect();
    safetensors::save(&narrow, &path).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", THIS, "--test-threads", "1"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && text.contains("1 passed"), "{text}");
}
