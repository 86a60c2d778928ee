//! What the passes on tensors are predicted to keep, beside what they keep. The only test of its process: the system tells a
//! process's peak alone.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candle_core::{DType, Device};
use sft_fixtures::LlamaShape;
use sft_lora::LoraConfig;
use sft_model::{
    Decoder, Gradients, ModelDir, Packed, Passes, Recompute, TrainPass,
    memory::{BatchShape, Place, TrainingShape},
};

/// Bytes of a line of /proc/self/status.
fn resident(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 =
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap();
    kib << 10
}

#[test]
fn what_a_block_keeps_on_a_device_is_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let shape = LlamaShape {
        hidden_size: 128,
        intermediate_size: 352,
        num_hidden_layers: 12,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 32,
        ..LlamaShape::default()
    };
    shape.write(folder.path(), 1).unwrap();
    let dir = ModelDir::open(folder.path()).unwrap();
    let (sequences, length) = (24, 200);
    let batch = BatchShape { tokens: sequences * length, targets: sequences * 50, longest: length };
    let lora = LoraConfig::default();
    let weights = dir.weight_shape(DType::F32).unwrap();
    let mut plan = TrainingShape::new(dir.config(), &lora, weights, batch).unwrap();
    plan.place = Place::Device;

    let mut model = Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap();
    model.add_lora(&lora, 1).unwrap();
    model.set_passes(Passes::Tensors);
    let ids: Vec<u32> = (0..batch.tokens as u32).map(|i| 3 + i * 7 % 200).collect();
    let positions: Vec<u32> = (0..batch.tokens).map(|i| (i % length) as u32).collect();
    let borders: Vec<u32> = (0..=sequences).map(|i| (i * length) as u32).collect();
    let example: Vec<u64> = (0..sequences as u64).collect();
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &borders, example: &example };
    let targets: Vec<(u32, u32)> = (0..batch.tokens as u32)
        .filter(|row| *row as usize % length >= length - 50)
        .map(|row| (row, 5))
        .collect();
    // The peak only rises: the smallest comes first. The CPU's operations have other work space than a device's, but
    // what waits for the backward pass is the same.
    let peaks = [8, 4, 0].map(|recomputed| {
        let pass = TrainPass { dropout: None, recompute: Recompute::Blocks(recomputed) };
        model.forward_backward(&input, &targets, &pass, &mut Gradients::default()).unwrap();
        (resident("VmHWM"), plan.plan_of(recomputed).estimate.peak())
    });
    for pair in peaks.windows(2) {
        let [(found, expected), (more_found, more_expected)] = [pair[0], pair[1]];
        let ratio = (more_expected - expected) as f64 / (more_found - found) as f64;
        assert!((0.9..1.1).contains(&ratio), "{ratio} of what is kept: {peaks:?}");
    }
}
