//! The products of a frozen bf16 weight beside candle's f32 ones: forward, and the gradient of the
//! input.
//!
//! `Gelem/s` reads as GFLOP/s. `SFT_KERNELS=portable|avx2|avx512|avx512bf16|neon` chooses an
//! instruction set.
#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use sft::kernels::{
    FrozenWeight, frozen_linear,
    matmul::{Matrix, Start, matmul_nn},
};
use std::{hint::black_box, time::Duration};

/// `[out, in]`: the attention and MLP of a 135 M model, and the attention of 1 B and 7 B models.
const SHAPES: [(usize, usize); 4] = [(576, 576), (1536, 576), (2048, 2048), (4096, 4096)];
/// Rows of activations: a token of a decoder, and batches.
const ROWS: [usize; 4] = [1, 64, 512, 2048];

fn bf16_matmul(criterion: &mut Criterion) {
    for (outputs, inputs) in SHAPES {
        let random =
            |rows, columns| Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).unwrap();
        let wide = random(outputs, inputs);
        let narrow = wide.to_dtype(DType::BF16).unwrap();
        let values: Vec<bf16> = narrow.flatten_all().unwrap().to_vec1().unwrap();
        let matrix = Matrix::bf16(&values, outputs, inputs).unwrap();
        let f32_weight = FrozenWeight::from_tensor(&wide).unwrap();
        let bf16_weight = FrozenWeight::from_tensor(&narrow).unwrap();
        for t in ROWS {
            let x = random(t, inputs);
            let dy = random(t, outputs);
            let dy_values: Vec<f32> = dy.flatten_all().unwrap().to_vec1().unwrap();
            let mut group =
                criterion.benchmark_group(format!("bf16_matmul/{outputs}x{inputs}/{t}"));
            group.throughput(Throughput::Elements((2 * t * outputs * inputs) as u64));
            group.sample_size(10);
            group.warm_up_time(Duration::from_millis(200));
            group.measurement_time(Duration::from_secs(1));
            group.bench_function("forward/f32", |bencher| {
                bencher.iter(|| frozen_linear(&x, &f32_weight, None).unwrap());
            });
            group.bench_function("forward/bf16", |bencher| {
                bencher.iter(|| frozen_linear(&x, &bf16_weight, None).unwrap());
            });
            group.bench_function("backward/f32", |bencher| {
                bencher.iter(|| dy.matmul(&wide).unwrap());
            });
            group.bench_function("backward/bf16", |bencher| {
                bencher.iter(|| {
                    let mut dx = vec![0.0; t * inputs];
                    matmul_nn(&dy_values, t, &matrix, Start::Zero, &mut dx).unwrap();
                    black_box(dx)
                });
            });
            group.finish();
        }
    }
}

criterion_group!(benches, bf16_matmul);
criterion_main!(benches);
