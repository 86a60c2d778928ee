//! A bf16 base on the CPU beside the same numbers in f32: what differs is the rounding of what the
//! products multiply.
#![allow(clippy::unwrap_used)]

mod norms;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor, safetensors};
use sft_kernels::matmul::reference;
use sft_lora::peft::load_adapter;
use sft_model::{CachedInput, Decoder, Gradients, ModelDir, Packed, Recompute, TrainPass};

use norms::{gap, values};

const ARCHITECTURES: [&str; 7] =
    ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"];

/// A golden model with its adapter, its weights rounded to bf16, held in `dtype`.
fn decoder(name: &str, folder: &Path, dtype: DType) -> Decoder {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name);
    let weights = "model.safetensors";
    let rounded: HashMap<String, Tensor> = safetensors::load(golden.join(weights), &Device::Cpu)
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_dtype(DType::BF16).unwrap()))
        .collect();
    safetensors::save(&rounded, folder.join(weights)).unwrap();
    fs::copy(golden.join("config.json"), folder.join("config.json")).unwrap();
    let mut decoder = Decoder::load(&ModelDir::open(folder).unwrap(), dtype, &Device::Cpu).unwrap();
    decoder.load_lora(&load_adapter(&golden.join("adapter"), &Device::Cpu).unwrap()).unwrap();
    decoder
}

#[test]
fn logits_losses_and_gradients_are_those_of_f32_up_to_rounding() {
    let ids: Vec<u32> = (0..18).map(|i| 3 + i * 7 % 61).collect();
    let positions: Vec<u32> = (0..11).chain(0..7).collect();
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &[0, 11, 18], example: &[0, 1] };
    let targets: Vec<(u32, u32)> = [5, 6, 9, 12, 15].map(|row| (row, ids[row as usize + 1])).into();
    for name in ARCHITECTURES {
        let folder = tempfile::tempdir().unwrap();
        let [half, full] =
            [DType::BF16, DType::F32].map(|dtype| decoder(name, folder.path(), dtype));
        assert_eq!(half.dtype(), DType::BF16);
        assert_eq!(half.base_fingerprint().unwrap(), full.base_fingerprint().unwrap(), "{name}");
        let [found, expected] = [&half, &full].map(|model| model.logits(&input, None).unwrap());
        let off = gap(&found, &expected);
        // candle's operations widen these weights, which are bf16 in the file, and round nothing.
        assert!((off > 0.0 || reference()) && off < 2e-2, "{name}: logits off by {off:e}");

        let run = |model: &Decoder, recompute: Recompute| {
            let mut gradients = Gradients::default();
            let pass = TrainPass { dropout: None, recompute };
            let loss = model.forward_backward(&input, &targets, &pass, &mut gradients).unwrap();
            (loss.nll, gradients)
        };
        let ((nll, gradients), (exact, expected)) =
            (run(&half, Recompute::None), run(&full, Recompute::None));
        assert!((nll / exact - 1.0).abs() < 1e-2, "{name}: loss {nll} for {exact}");
        assert_eq!(gradients.iter().count(), expected.iter().count(), "{name}");
        let (_, again) = run(&half, Recompute::Blocks(1));
        for (parameter, gradient) in gradients.iter() {
            assert_eq!(gradient.dtype(), DType::F32);
            let off = gap(gradient, expected.get(parameter).unwrap());
            // Peaked attention over 32 features multiplies the rounding of 2^-9; a wrong product is off by 1.
            assert!(off < 0.12, "{name}: {parameter} off by {off:e}");
            assert_eq!(
                values(gradient),
                values(again.get(parameter).unwrap()),
                "{name}: {parameter}"
            );
        }
    }
}

#[test]
fn a_cached_pass_is_the_whole_pass() {
    let ids: Vec<u32> = (0..12).map(|i| 3 + i * 11 % 59).collect();
    let positions: Vec<u32> = (0..12).collect();
    let input = Packed { ids: &ids, positions: &positions, cu_seqlens: &[0, 12], example: &[0] };
    for name in ["mistral", "llama32", "qwen3"] {
        let folder = tempfile::tempdir().unwrap();
        let model = decoder(name, folder.path(), DType::BF16);
        let whole = model.logits(&input, Some(&[11])).unwrap();
        let mut cache = model.new_cache(1);
        let mut last = None;
        for part in [&ids[..7], &ids[7..11], &ids[11..]] {
            let cu_seqlens = [0, part.len() as u32];
            let input = CachedInput { ids: part, cu_seqlens: &cu_seqlens, slots: &[0] };
            last = Some(model.forward_cached(&input, &mut cache).unwrap());
        }
        let off = gap(&last.unwrap(), &whole);
        assert!(off < 1e-2, "{name}: off by {off:e}");
    }
}
