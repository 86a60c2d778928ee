//! Shared by the tests of layers.
#![allow(dead_code, clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use sft_kernels::{FrozenWeight, random};
use sft_lora::{LoraConfig, LoraLinear, TargetModules};

pub(crate) const MODULE: &str = "model.layers.0.self_attn.q_proj";

/// Numbers in [-1, 1) that differ for every `stream`.
pub(crate) fn numbers(stream: u64, shape: &[usize], dtype: DType) -> Tensor {
    let len = shape.iter().product();
    let values: Vec<f32> =
        random::uniform(11, stream, len).into_iter().map(|u| 2.0 * u - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// alpha != r, so that a scale that is missing or misplaced shows.
pub(crate) fn config() -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 7.0,
        lora_dropout: 0.4,
        target_modules: TargetModules::AllLinear,
        ..LoraConfig::default()
    }
}

/// A layer of 6 inputs and 4 outputs with a bias and B != 0.
pub(crate) fn layer(dtype: DType) -> LoraLinear {
    let base = FrozenWeight::from_tensor(&numbers(1, &[4, 6], dtype)).unwrap();
    let (a, b) = (numbers(3, &[3, 6], dtype), numbers(4, &[4, 3], dtype));
    LoraLinear::with_weights(base, Some(numbers(2, &[4], dtype)), MODULE, &config(), a, b).unwrap()
}

/// The elements as bit patterns of f64, exact for every narrower type.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u64> {
    values(tensor).into_iter().map(f64::to_bits).collect()
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f64, |max, value| max.max(value.abs()));
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= tolerance * scale, "{what}[{at}]: {found} instead of {expected}");
    }
}
