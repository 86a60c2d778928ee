//! The predicted memory of passes beside the measured one. The only test of its process: the
//! system tells a process's peak alone.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candle_core::{DType, Device};
use sft_fixtures::LlamaShape;
use sft_lora::LoraConfig;
use sft_model::{
    Decoder, Gradients, ModelDir, Packed, Recompute, TrainPass,
    memory::{BatchShape, TrainingShape},
};

/// What the optimizer would take, which does not run here.
const OPTIMIZER: u64 = 20 << 20;

/// Bytes of a line of /proc/self/status.
fn resident(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib: u64 =
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap();
    kib << 10
}

#[test]
fn the_prediction_is_within_a_tenth_of_the_peak() {
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
    plan.process = resident("VmRSS");

    let mut model = Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap();
    model.add_lora(&lora, 1).unwrap();
    model.expect(&batch);
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
    // The peak only rises: the smallest comes first.
    for recomputed in [12, 6, 0] {
        let pass = TrainPass { dropout: None, recompute: Recompute::Blocks(recomputed) };
        for _ in 0..2 {
            model.forward_backward(&input, &targets, &pass, &mut Gradients::default()).unwrap();
        }
        let found = resident("VmHWM") + OPTIMIZER;
        let expected = plan.plan_of(recomputed).estimate.peak();
        let ratio = expected as f64 / found as f64;
        assert!((0.9..1.1).contains(&ratio), "{recomputed} again: {expected} for {found}");
    }
}
