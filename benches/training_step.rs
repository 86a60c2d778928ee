//! Forward and backward of one micro-batch, with activations kept and recomputed, in tokens/s.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sft::{
    kernels::DropoutStream,
    lora::LoraConfig,
    model::{
        Decoder, Gradients, ModelDir, Packed, Recompute, TrainPass,
        runtime::{DTypeChoice, DeviceChoice},
    },
};
use sft_fixtures::LlamaShape;

const SEQUENCES: u32 = 4;
const LENGTH: u32 = 128;
/// Tokens of a sequence that are targets: a summary is about a fifth.
const TARGETS: u32 = 24;

fn training_step(criterion: &mut Criterion) {
    let shape = LlamaShape {
        hidden_size: 256,
        intermediate_size: 704,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        num_key_value_heads: 4,
        head_dim: 32,
        vocab_size: 8192,
        max_position_embeddings: 512,
    };
    let dir = tempfile::tempdir().unwrap();
    shape.write(dir.path(), 1).unwrap();
    let device = DeviceChoice::Auto.open().unwrap();
    let dtype = DTypeChoice::Auto.resolve(&device).unwrap();
    let mut model = Decoder::load(&ModelDir::open(dir.path()).unwrap(), dtype, &device).unwrap();
    model.add_lora(&LoraConfig::default(), 42).unwrap();

    let tokens = SEQUENCES * LENGTH;
    let ids: Vec<u32> = (0..tokens).map(|i| i * 7919 % 8192).collect();
    let positions: Vec<u32> = (0..tokens).map(|i| i % LENGTH).collect();
    let cu_seqlens: Vec<u32> = (0..=SEQUENCES).map(|i| i * LENGTH).collect();
    let example: Vec<u64> = (0..u64::from(SEQUENCES)).collect();
    let targets: Vec<(u32, u32)> = (0..tokens)
        .filter(|i| i % LENGTH >= LENGTH - TARGETS)
        .map(|row| (row, row * 31 % 8192))
        .collect();
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &example };

    let mut group = criterion.benchmark_group("training_step");
    group.sample_size(10).throughput(Throughput::Elements(u64::from(tokens)));
    for (name, recompute) in [("keep", Recompute::None), ("recompute", Recompute::All)] {
        let pass = TrainPass { dropout: Some(DropoutStream { seed: 42, step: 1 }), recompute };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut grads = Gradients::default();
                model.forward_backward(&input, &targets, &pass, &mut grads).unwrap();
                grads
            });
        });
    }
    group.finish();
}

criterion_group!(benches, training_step);
criterion_main!(benches);
