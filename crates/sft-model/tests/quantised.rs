//! A quantised base beside a dense one of the numbers that it stands for.
#![allow(clippy::unwrap_used)]

mod norms;

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Device, Tensor, safetensors};
use sft_kernels::matmul::Quantised;
use sft_lora::peft::load_adapter;
use sft_model::{
    Decoder, Gradients, ModelDir, Packed, Passes, Recompute, TrainPass, runtime::Quantize,
};

use norms::{gap, values};

const IDS: [u32; 18] = [3, 10, 17, 24, 31, 38, 45, 52, 59, 5, 12, 19, 26, 33, 40, 47, 54, 61];

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn adapted(name: &str, folder: &Path, quantize: Option<Quantize>) -> Decoder {
    let dir = ModelDir::open(folder).unwrap();
    let mut decoder = Decoder::load_as(&dir, DType::BF16, quantize, &Device::Cpu).unwrap();
    let adapter = load_adapter(&golden(name).join("adapter"), &Device::Cpu).unwrap();
    decoder.load_lora(&adapter).unwrap();
    decoder
}

/// A copy of a golden model in which the matrices of the blocks are what `quantize` makes of them.
fn dequantised(name: &str, quantize: Quantize, folder: &Path) {
    let tensors = safetensors::load(golden(name).join("model.safetensors"), &Device::Cpu).unwrap();
    let rounded: HashMap<String, Tensor> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            if tensor.rank() == 1 {
                // A normalisation or a bias: rounded, too.
                return (name, tensor.to_dtype(DType::BF16).unwrap());
            }
            let tensor = if name.starts_with("model.layers.") {
                let (rows, cols) = tensor.dims2().unwrap();
                let values: Vec<f32> = values(&tensor).into_iter().map(|x| x as f32).collect();
                let quantised = match quantize {
                    Quantize::Nf4 => Quantised::nf4(&values, rows, cols),
                    Quantize::Int8 => Quantised::int8(&values, rows, cols),
                };
                let back = quantised.unwrap().dequantise();
                Tensor::from_vec(back, (rows, cols), &Device::Cpu).unwrap()
            } else {
                tensor
            };
            (name, tensor.to_dtype(DType::BF16).unwrap())
        })
        .collect();
    safetensors::save(&rounded, folder.join("model.safetensors")).unwrap();
    fs::copy(golden(name).join("config.json"), folder.join("config.json")).unwrap();
}

fn trained(model: &Decoder, input: &Packed<'_>) -> (f64, Gradients) {
    let targets = [5, 6, 9, 12, 15].map(|row| (row, IDS[row as usize + 1]));
    let mut gradients = Gradients::default();
    let pass = TrainPass { dropout: None, recompute: Recompute::None };
    let loss = model.forward_backward(input, &targets, &pass, &mut gradients).unwrap();
    (loss.nll, gradients)
}

#[test]
fn logits_losses_and_gradients_are_those_of_the_dequantised_weights() {
    let positions: Vec<u32> = (0..11).chain(0..7).collect();
    let input =
        Packed { ids: &IDS, positions: &positions, cu_seqlens: &[0, 11, 18], example: &[0, 1] };
    for name in ["llama2", "llama_bias", "mistral", "qwen3"] {
        for quantize in [Quantize::Nf4, Quantize::Int8] {
            let folder = tempfile::tempdir().unwrap();
            dequantised(name, quantize, folder.path());
            let mut few_bits = adapted(name, &golden(name), Some(quantize));
            let dense = adapted(name, folder.path(), None);
            assert_eq!((few_bits.quantize(), dense.quantize()), (Some(quantize), None));
            assert_eq!(few_bits.total_parameters(), dense.total_parameters());
            let fingerprints = [&few_bits, &dense].map(|model| model.base_fingerprint().unwrap());
            assert_eq!(fingerprints[0], fingerprints[1], "{name} {quantize}");

            let unmerged = few_bits.logits(&input, None).unwrap();
            let off = gap(&unmerged, &dense.logits(&input, None).unwrap());
            assert!(off < 1e-5, "{name} {quantize}: logits off by {off:e}");
            let ((nll, gradients), (exact, expected)) =
                (trained(&few_bits, &input), trained(&dense, &input));
            assert!((nll / exact - 1.0).abs() < 1e-5, "{name} {quantize}: {nll} for {exact}");
            assert_eq!(gradients.iter().count(), expected.iter().count());
            for (parameter, gradient) in gradients.iter() {
                let off = gap(gradient, expected.get(parameter).unwrap());
                assert!(off < 1e-5, "{name} {quantize}: {parameter} off by {off:e}");
            }

            // The graph of candle's operations sees the same weights, but rounds no activations.
            few_bits.set_passes(Passes::Autograd);
            let off = gap(&few_bits.logits(&input, None).unwrap(), &unmerged);
            assert!(off < 2e-2, "{name} {quantize}: the reference is off by {off:e}");
            few_bits.set_passes(Passes::Fast);

            few_bits.merge_lora().unwrap();
            let off = gap(&few_bits.logits(&input, None).unwrap(), &unmerged);
            assert!(off > 0.0 && off < 2e-2, "{name} {quantize}: merged, off by {off:e}");
        }
    }
}

#[test]
fn a_quantised_base_differs_from_the_dense_one_as_its_bits_say() {
    let positions: Vec<u32> = (0..18).collect();
    let input = Packed { ids: &IDS, positions: &positions, cu_seqlens: &[0, 18], example: &[0] };
    let logits =
        |quantize| adapted("llama2", &golden("llama2"), quantize).logits(&input, None).unwrap();
    let dense = logits(None);
    let [nf4, int8] = [Quantize::Nf4, Quantize::Int8].map(|q| gap(&logits(Some(q)), &dense));
    assert!(nf4 > 1e-2 && nf4 < 0.5, "{nf4:e}");
    assert!(int8 > 1e-4 && int8 < 3e-2, "{int8:e}");
}
