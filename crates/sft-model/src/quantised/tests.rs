//! Bases that lie in few bits in their files.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Decoder, Gradients, ModelDir, Packed, Recompute, TrainPass,
    runtime::{DTypeChoice, Quantize, base_types},
    save_merged, save_quantised,
};
use candle_core::{DType, Device, Tensor, safetensors};
use sft_lora::peft::load_adapter;

const IDS: [u32; 18] = [3, 10, 17, 24, 31, 38, 45, 52, 59, 5, 12, 19, 26, 33, 40, 47, 54, 61];
const MATRIX: &str = "model.layers.0.mlp.gate_proj.weight";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn load(folder: &Path, dtype: DType, quantize: Option<Quantize>) -> Decoder {
    let dir = ModelDir::open(folder).unwrap();
    Decoder::load_as(&dir, dtype, quantize, &Device::Cpu).unwrap()
}

/// Loss and gradients of two sequences.
fn trained(model: &Decoder) -> (f64, Gradients) {
    let positions: Vec<u32> = (0..11).chain(0..7).collect();
    let input =
        Packed { ids: &IDS, positions: &positions, cu_seqlens: &[0, 11, 18], example: &[0, 1] };
    let targets = [5, 6, 9, 12, 15].map(|row| (row, IDS[row as usize + 1]));
    let mut gradients = Gradients::default();
    let pass = TrainPass { dropout: None, recompute: Recompute::None };
    let loss = model.forward_backward(&input, &targets, &pass, &mut gradients).unwrap();
    (loss.nll, gradients)
}

fn logits(model: &Decoder) -> Vec<f32> {
    let positions: Vec<u32> = (0..18).collect();
    let input = Packed { ids: &IDS, positions: &positions, cu_seqlens: &[0, 18], example: &[0] };
    model.logits(&input, None).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn what_was_saved_is_the_same_model_to_the_last_bit() {
    for name in ["llama2", "llama_bias", "mistral", "qwen3"] {
        for quantize in [Quantize::Nf4, Quantize::Int8] {
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("saved");
            save_quantised(&ModelDir::open(&golden(name)).unwrap(), quantize, &out).unwrap();
            assert_eq!(ModelDir::open(&out).unwrap().config().quantization, Some(quantize));

            let adapter = load_adapter(&golden(name).join("adapter"), &Device::Cpu).unwrap();
            let [mut now, mut saved] =
                [golden(name), out].map(|folder| load(&folder, DType::BF16, Some(quantize)));
            for model in [&mut now, &mut saved] {
                model.load_lora(&adapter).unwrap();
            }
            let mapped = |model: &Decoder| model.projections().all(|p| p.weight().is_mapped());
            assert!(mapped(&saved) && !mapped(&now), "{name} {quantize}");
            assert_eq!(logits(&now), logits(&saved), "{name} {quantize}");
            assert_eq!(now.base_fingerprint().unwrap(), saved.base_fingerprint().unwrap());
            assert_eq!(now.total_parameters(), saved.total_parameters());
            let ((loss, gradients), (again, same)) = (trained(&now), trained(&saved));
            assert_eq!(loss, again, "{name} {quantize}");
            assert!(loss > 0.0 && gradients.iter().count() > 0);
            for ((key, gradient), (_, other)) in gradients.iter().zip(same.iter()) {
                assert_eq!(values(gradient), values(other), "{name} {quantize} {key}");
            }
        }
    }
}

// scripts/make_nf4_golden.py
#[test]
fn a_model_that_bitsandbytes_quantised_is_read() {
    let theirs = load(&golden("nf4/model"), DType::F32, None);
    let dense = safetensors::load(golden("nf4/dense.safetensors"), &Device::Cpu).unwrap();
    let mut matrices = 0;
    for projection in theirs.projections() {
        let expected = values(&dense[&format!("{}.weight", projection.module())]);
        let found = values(&projection.weight().to_tensor().unwrap());
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 2e-6 * b.abs().max(1e-3), "{a} {b}");
        }
        matrices += 1;
    }
    assert_eq!(matrices, dense.len());

    // And computed with where it lies: as the dense one, but for bf16.
    let few_bits = load(&golden("nf4/model"), DType::BF16, Some(Quantize::Nf4));
    assert!(few_bits.projections().all(|p| p.weight().is_mapped()));
    let (exact, rounded) = (logits(&theirs), logits(&few_bits));
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let gap = norm(&mut exact.iter().zip(&rounded).map(|(a, b)| a - b));
    assert!(gap < 0.02 * norm(&mut exact.iter().copied()), "{gap}");
}

#[test]
fn what_is_written_has_bitsandbytes_names_and_types() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("saved");
    save_quantised(&ModelDir::open(&golden("llama2")).unwrap(), Quantize::Nf4, &out).unwrap();
    let headers = [out, golden("nf4/model")].map(|folder| {
        let bytes = fs::read(folder.join("model.safetensors")).unwrap();
        let (_, header) = ::safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let mut tensors: Vec<(String, String)> = header
            .tensors()
            .into_iter()
            .filter(|(name, _)| name.contains("_proj.weight") && !name.contains("quant_state"))
            .map(|(name, info)| (name, format!("{:?} {:?}", info.dtype, info.shape)))
            .collect();
        tensors.sort();
        tensors
    });
    assert_eq!(headers[0], headers[1]);
}

#[test]
fn a_model_merged_into_a_quantised_base_is_dense() {
    let dir = tempfile::tempdir().unwrap();
    let (base, out) = (dir.path().join("base"), dir.path().join("merged"));
    save_quantised(&ModelDir::open(&golden("llama2")).unwrap(), Quantize::Nf4, &base).unwrap();
    let mut decoder = load(&base, DType::F32, None);
    decoder
        .load_lora(&load_adapter(&golden("llama2").join("adapter"), &Device::Cpu).unwrap())
        .unwrap();
    decoder.merge_lora().unwrap();
    save_merged(&decoder, &ModelDir::open(&base).unwrap(), None, None, &out).unwrap();

    let merged = ModelDir::open(&out).unwrap();
    assert_eq!(merged.config().quantization, None);
    let tensors = safetensors::load(out.join("model.safetensors"), &Device::Cpu).unwrap();
    let source =
        safetensors::load(golden("llama2").join("model.safetensors"), &Device::Cpu).unwrap();
    let names = |tensors: &HashMap<String, Tensor>| {
        let mut names: Vec<String> = tensors.keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&tensors), names(&source));
    assert_eq!(tensors[MATRIX].dtype(), DType::BF16);
    let expected = logits(&decoder);
    let found = logits(&Decoder::load(&merged, DType::F32, &Device::Cpu).unwrap());
    let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 0.02 * largest, "{a} {b}");
    }
}

#[test]
fn what_is_quantised_is_not_quantised_again() {
    let dir = ModelDir::open(&golden("nf4/model")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = save_quantised(&dir, Quantize::Int8, &out.path().join("x")).unwrap_err();
    assert!(error.to_string().contains("nf4 already"), "{error}");
    assert!(fs::read_dir(out.path()).unwrap().next().is_none());

    let types = |asked, stored| base_types(asked, stored, DTypeChoice::Auto, &Device::Cpu);
    let (nf4, int8) = (Some(Quantize::Nf4), Some(Quantize::Int8));
    assert_eq!(types(None, nf4).unwrap(), (nf4, DType::BF16));
    assert_eq!(types(nf4, nf4).unwrap(), (nf4, DType::BF16));
    assert_eq!(types(None, None).unwrap(), (None, DType::F32));
    let problem = types(int8, nf4).unwrap_err().to_string();
    assert!(problem.contains("stored in nf4") && problem.contains("--quantize int8"), "{problem}");
}

/// A change of one tensor of a file.
type Change = fn(&mut HashMap<String, Tensor>);

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let changes: [(Change, &str); 7] = [
        (|tensors| drop(tensors.remove(&format!("{MATRIX}.absmax"))), "absmax` is missing"),
        (|tensors| cut(tensors, "", 100), "100 codes where the matrix has 704"),
        (|tensors| cut(tensors, ".absmax", 3), "3 sizes of blocks where"),
        (|tensors| cut(tensors, ".nested_absmax", 0), "0 scales where"),
        (|tensors| cut(tensors, ".nested_quant_map", 255), "other values than bitsandbytes' nf4"),
        (
            |tensors| {
                let map = Tensor::zeros(16, DType::F32, &Device::Cpu).unwrap();
                tensors.insert(format!("{MATRIX}.quant_map"), map);
            },
            "other values than bitsandbytes' nf4",
        ),
        (
            |tensors| {
                let scales = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
                tensors.insert(format!("{MATRIX}.nested_absmax"), scales);
            },
            "not finite",
        ),
    ];
    for (change, part) in changes {
        refused(change, part);
    }
    for (from, to, part) in [
        ("\"blocksize\":64", "\"blocksize\":32", "blocks of 32"),
        ("\"nested_offset\":", "\"nested_other\":", "what is read is nf4"),
        ("\"shape\":[44,32]", "\"shape\":[32,44]", "[32, 44] where config.json asks for [44, 32]"),
        ("\"quant_type\":\"nf4\"", "\"quant_type\":\"fp4\"", "`fp4`"),
        ("{", "[", "cannot be read"),
    ] {
        let problem = problem_of(|tensors| {
            let name = format!("{MATRIX}.quant_state.bitsandbytes__nf4");
            let state = String::from_utf8(tensors[&name].to_vec1().unwrap()).unwrap();
            let state = state.replace(": ", ":").replace(", ", ",");
            assert!(state.contains(from), "{state}");
            let state = state.replacen(from, to, 1).into_bytes();
            let state = Tensor::new(state.as_slice(), &Device::Cpu).unwrap();
            tensors.insert(name, state);
        });
        assert!(problem.contains(part) && problem.contains(MATRIX), "{problem}");
    }
}

fn cut(tensors: &mut HashMap<String, Tensor>, end: &str, len: usize) {
    let name = format!("{MATRIX}{end}");
    let shorter = tensors[&name].flatten_all().unwrap().narrow(0, 0, len).unwrap();
    tensors.insert(name, shorter.contiguous().unwrap());
}

fn refused(change: Change, part: &str) {
    let problem = problem_of(change);
    assert!(problem.contains(part) && problem.contains(MATRIX), "{part}: {problem}");
}

fn problem_of(change: impl Fn(&mut HashMap<String, Tensor>)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut tensors =
        safetensors::load(golden("nf4/model/model.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
    fs::copy(golden("nf4/model/config.json"), dir.path().join("config.json")).unwrap();
    let folder = ModelDir::open(dir.path()).unwrap();
    let nf4 = Some(Quantize::Nf4);
    match Decoder::load_as(&folder, DType::BF16, nf4, &Device::Cpu) {
        Ok(_) => "it was read".into(),
        Err(error) => error.to_string(),
    }
}
