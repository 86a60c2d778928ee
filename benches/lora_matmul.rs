//! The matrix products of one layer: base alone, with an adapter, forward and backward, merged.
//!
//! Throughput counts the floating-point operations that the mathematics asks for, so that `Gelem/s`
//! reads as GFLOP/s and the variants of a shape can be compared.
#![allow(missing_docs, clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::Linear;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use criterion::{criterion_group, criterion_main};
use sft::lora::{LoraConfig, LoraLinear};
use std::time::Duration;

const TOKENS: usize = 256;
/// `[out, in]`: the attention and MLP of a 135 M model, and the attention of 1 B and 7 B models.
const SHAPES: [(usize, usize); 4] = [(576, 576), (1536, 576), (2048, 2048), (4096, 4096)];
const RANKS: [usize; 3] = [8, 16, 64];

/// Every device of this machine that the build can use, with the types that are worth measuring.
fn bench_devices() -> Vec<(&'static str, Device, &'static [DType])> {
    let mut devices = vec![("cpu", Device::Cpu, [DType::F32].as_slice())];
    // A build for a GPU also runs where there is none.
    for (name, device) in [("cuda", Device::new_cuda(0)), ("metal", Device::new_metal(0))] {
        if let Ok(device) = device {
            devices.push((name, device, &[DType::F32, DType::BF16]));
        }
    }
    devices
}

fn layer(weight: &Tensor, r: usize) -> LoraLinear {
    let config = LoraConfig { r, ..LoraConfig::default() };
    let linear = Linear::new(weight.clone(), None);
    let layer = LoraLinear::from_linear(linear, "layer", &config, 42).unwrap();
    layer.lora_b().set(&layer.lora_b().randn_like(0.0, 0.02).unwrap()).unwrap(); // not zero
    layer
}

/// Measures `step`, which is `flops` floating-point operations, until its result is there.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    device: &Device,
    flops: usize,
    step: impl Fn(),
) {
    group.throughput(Throughput::Elements(flops as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            step();
            device.synchronize().unwrap();
        });
    });
}

fn shape(
    group: &mut BenchmarkGroup<'_, WallTime>,
    device: &Device,
    dtype: DType,
    (outputs, inputs): (usize, usize),
) {
    let random = |rows, columns| {
        Tensor::randn(0f32, 1.0, (rows, columns), device).unwrap().to_dtype(dtype).unwrap()
    };
    let weight = random(outputs, inputs);
    let x = Var::from_tensor(&random(TOKENS, inputs)).unwrap();
    let base = 2 * TOKENS * outputs * inputs;

    let transposed = weight.t().unwrap();
    let input = x.as_detached_tensor();
    measure(group, "base", device, base, || drop(input.matmul(&transposed).unwrap()));
    for r in RANKS {
        let layer = layer(&weight, r);
        let update = 2 * TOKENS * r * (outputs + inputs);
        measure(group, &format!("forward/r{r}"), device, base + update, || {
            drop(layer.forward_train(&x, None).unwrap());
        });
        // Backward: dX of the base product, and dX, dA and dB of the update.
        let flops = 2 * base + 3 * update;
        measure(group, &format!("forward_backward/r{r}"), device, flops, || {
            drop(layer.forward_train(&x, None).unwrap().backward().unwrap());
        });
    }
    let mut merged = layer(&weight, RANKS[0]);
    merged.merge().unwrap();
    measure(group, "merged", device, base, || drop(merged.forward_eval(&input).unwrap()));
}

fn lora_matmul(criterion: &mut Criterion) {
    for (name, device, dtypes) in bench_devices() {
        for &dtype in dtypes {
            for (outputs, inputs) in SHAPES {
                let id = format!("lora_matmul/{name}/{}/{outputs}x{inputs}", dtype.as_str());
                let mut group = criterion.benchmark_group(id);
                group.sample_size(10);
                group.warm_up_time(Duration::from_millis(300));
                group.measurement_time(Duration::from_secs(2));
                shape(&mut group, &device, dtype, (outputs, inputs));
                group.finish();
            }
        }
    }
}

criterion_group!(benches, lora_matmul);
criterion_main!(benches);
