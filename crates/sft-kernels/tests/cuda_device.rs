//! The operations on a CUDA device against the same operations composed of candle's in f64 on the CPU, forward and
//! backward. Where there is no such device they say that they were skipped.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::random;
use sft_kernels::{
    AttentionSpec, Dropout, DropoutStream, FrozenWeight, LoraOperands, Rows, adamw,
    causal_attention, frozen_linear, launch::AdamWScalars, linear_cross_entropy, lora_linear,
    rms_norm, rope, sums_of_squares, swiglu,
};

/// The first device, if there is one.
fn gpu() -> Option<Device> {
    let device = Device::new_cuda(0);
    if let Err(error) = &device {
        println!("skipped, no CUDA device: {error}");
    }
    device.ok()
}

/// Each type with what its roundings may cost, relative to the whole.
const TYPES: [(DType, f64); 3] = [(DType::F32, 3e-6), (DType::BF16, 1e-2), (DType::F16, 2e-3)];

/// `t` where and as `x` is.
fn like(t: &Tensor, x: &Tensor) -> Result<Tensor> {
    t.to_device(x.device())?.to_dtype(x.dtype())
}

fn near(what: &str, found: &Tensor, exact: &Tensor, bound: f64) {
    let numbers = |t: &Tensor| -> Vec<f64> {
        let t = t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        t.flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(found.dims(), exact.dims(), "{what}");
    let (found, exact) = (numbers(found), numbers(exact));
    let gap = found.iter().zip(&exact).map(|(f, e)| (f - e).powi(2)).sum::<f64>().sqrt();
    let size = exact.iter().map(|e| e * e).sum::<f64>().sqrt();
    assert!(gap <= bound * size, "{what}: off by {:e}", gap / size);
    assert!(size > 1e-3, "{what}: nothing to compare");
}

/// Value and gradients of `sum(f(inputs) . dy)`; inputs from number `wide` on stay f32 (or f64).
fn run(
    inputs: &[Tensor],
    wide: usize,
    (device, dtype): (&Device, DType),
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let of = |i: usize| match dtype {
        DType::F64 => DType::F64,
        _ if i >= wide => DType::F32,
        dtype => dtype,
    };
    // What the type can hold is what both computations get.
    let var = |(i, x): (usize, &Tensor)| {
        Var::from_tensor(&x.to_dtype(of(i)).unwrap().to_device(device).unwrap()).unwrap()
    };
    let vars: Vec<Var> = inputs.iter().enumerate().map(var).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let dy = like(&random(999, y.dims()), &y).unwrap();
    let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), vars.iter().map(|var| store.get(var).unwrap().clone()).collect())
}

fn compare(what: &str, inputs: &[Tensor], wide: usize, f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let Some(device) = gpu() else { return };
    let (exact, exact_gradients) = run(inputs, wide, (&Device::Cpu, DType::F64), f);
    for (dtype, bound) in TYPES {
        let (found, gradients) = run(inputs, wide, (&device, dtype), f);
        let what = format!("{what} in {dtype:?}");
        near(&what, &found, &exact, bound);
        for (i, (found, exact)) in gradients.iter().zip(&exact_gradients).enumerate() {
            near(&format!("{what}: gradient {i}"), found, exact, bound);
        }
    }
}

#[test]
fn rms_norm_of_rows() {
    for shape in [[1, 4], [5, 7], [300, 576], [64, 4096]] {
        let weight = (random(9, &[shape[1]]) + 1.5).unwrap();
        let f = |x: &[Tensor]| rms_norm(&x[0], &like(&weight, &x[0])?, 1e-3);
        compare("rms_norm", &[random(1, &shape)], 1, &f);
    }
}

#[test]
fn rope_of_heads() {
    for (tokens, heads, head_dim) in [(1, 1, 2), (5, 3, 6), (130, 4, 64), (40, 32, 128)] {
        let [cos, sin] = [2, 3].map(|stream| random(stream, &[tokens, head_dim / 2]));
        let f = |x: &[Tensor]| rope(&x[0], &like(&cos, &x[0])?, &like(&sin, &x[0])?);
        compare("rope", &[random(1, &[tokens, heads, head_dim])], 1, &f);
    }
}

#[test]
fn swiglu_of_rows() {
    for shape in [[3, 17], [260, 172], [90, 11008]] {
        let [gate, up] = [1, 2].map(|stream| (random(stream, &shape) * 4.0).unwrap());
        compare("swiglu", &[gate, up], 2, &|x| swiglu(&x[0], &x[1]));
    }
}

#[test]
fn attention_of_packed_sequences() {
    let packed: [&[u32]; 2] = [&[0, 1, 70, 75, 212], &[0, 1, 70, 75, 212]];
    let cached: [&[u32]; 2] = [&[0, 1, 9, 100], &[0, 40, 49, 300]];
    for (heads, kv_heads, head_dim) in [(4, 4, 8), (6, 2, 64), (4, 1, 128), (3, 1, 5)] {
        for [q, k] in [packed, cached] {
            let rows = |borders: &[u32]| borders[borders.len() - 1] as usize;
            let inputs = [
                (random(1, &[rows(q), heads, head_dim]) * 2.0).unwrap(),
                random(2, &[rows(k), kv_heads, head_dim]),
                random(3, &[rows(k), kv_heads, head_dim]),
            ];
            for sliding_window in [None, Some(3), Some(64)] {
                let spec = AttentionSpec { cu_seqlens_q: q, cu_seqlens_k: k, sliding_window };
                let what = format!("attention {heads}/{kv_heads} x {head_dim}, {sliding_window:?}");
                compare(&what, &inputs, 3, &|x| causal_attention(&x[0], &x[1], &x[2], &spec));
            }
        }
    }
}

#[test]
fn linear_layers_with_and_without_an_adapter() {
    for (tokens, input, out, r) in [(5, 7, 6, 2), (300, 576, 1536, 16), (37, 136, 520, 20)] {
        let (w, bias) = (random(1, &[out, input]), random(2, &[out]));
        let x = random(3, &[tokens, input]);
        let frozen = |like_this: &Tensor| FrozenWeight::from_tensor(&like(&w, like_this)?);
        let f = |t: &[Tensor]| frozen_linear(&t[0], &frozen(&t[0])?, Some(&like(&bias, &t[0])?));
        compare("frozen_linear", std::slice::from_ref(&x), 1, &f);

        let example: Vec<u64> = (0..tokens as u64).map(|t| t / 9).collect();
        let position: Vec<u32> = (0..tokens as u32).map(|t| t % 9).collect();
        let rows = Rows { example: &example, position: &position };
        let dropout = Dropout::new(DropoutStream { seed: 3, step: 4 }, "m", rows, 0.3).unwrap();
        let inputs = [x, random(4, &[r, input]), random(5, &[out, r])];
        for dropout in [None, Some(dropout)] {
            let f = |t: &[Tensor]| {
                let lora = LoraOperands { a: &t[1], b: &t[2], scale: 1.75, dropout };
                lora_linear(&t[0], &frozen(&t[0])?, Some(&like(&bias, &t[0])?), &lora)
            };
            compare("lora_linear", &inputs, 1, &f);
        }
    }
}

#[test]
fn cross_entropy_in_chunks() {
    let Some(device) = gpu() else { return };
    // Some of an odd vocabulary, and more than two chunks.
    for (rows, width, vocab) in [(7, 8, 37), (600, 16, 516), (4500, 8, 67)] {
        let hidden = (random(1, &[rows, width]) * 2.0).unwrap();
        let head = random(2, &[vocab, width]);
        let labels: Vec<u32> = (0..rows).map(|i| ((i * 31) % vocab) as u32).collect();
        let loss = |device: &Device, dtype: DType| {
            let [hidden, head] =
                [&hidden, &head].map(|t| t.to_dtype(dtype).unwrap().to_device(device).unwrap());
            let head = FrozenWeight::from_tensor(&head).unwrap();
            linear_cross_entropy(&hidden, &head, &labels, true).unwrap()
        };
        let exact = loss(&Device::Cpu, DType::F64);
        for (dtype, bound) in TYPES {
            let found = loss(&device, dtype);
            assert!((found.nll / exact.nll - 1.0).abs() < bound, "{dtype:?}: {}", found.nll);
            near("cross_entropy", &found.dhidden.unwrap(), exact.dhidden.as_ref().unwrap(), bound);
        }
    }
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn adamw_in_place() {
    let Some(device) = gpu() else { return };
    let scalars = AdamWScalars {
        factor: 0.37,
        decay: 0.998,
        step_size: 1e-3,
        root_correction: 0.7,
        rest1: 0.1,
        beta2: 0.999,
        rest2: 0.002,
        eps: 1e-8,
    };
    let AdamWScalars { factor, decay, step_size, root_correction, rest1, beta2, rest2, eps } =
        scalars;
    for shape in [[1, 1], [5, 7], [16, 11008]] {
        let there = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_device(&device).unwrap();
        let var = |t: &Tensor| Var::from_tensor(&there(t)).unwrap();
        let [p, g, m] = [1, 2, 3].map(|stream| random(stream, &shape));
        let (p, g, m, v) = (var(&p), there(&g), var(&m), var(&m.sqr().unwrap()));
        let before = [p.as_tensor(), &g, m.as_tensor(), v.as_tensor()].map(numbers);
        adamw(&p, &g, [&m, &v], &scalars).unwrap();
        let after = [p.as_tensor(), m.as_tensor(), v.as_tensor()].map(numbers);
        for i in 0..before[0].len() {
            let [p, g, m, v] = before.each_ref().map(|values| values[i]);
            let g = g * factor;
            let m = m + rest1 * (g - m);
            let v = v * beta2 + rest2 * g * g;
            let p = p * decay - step_size * m / (v.sqrt() / root_correction + eps);
            assert_eq!(after.each_ref().map(|values| values[i]), [p, m, v]);
        }
        let other = there(&random(2, &[3, 3]));
        adamw(&p, &other, [&m, &v], &scalars).unwrap_err();
    }
}

#[test]
fn squares_of_several_tensors() {
    let Some(device) = gpu() else { return };
    let there = |t: Tensor| t.to_dtype(DType::F32).unwrap().to_device(&device).unwrap();
    let shapes = [[16, 4096], [1, 1], [5, 821], [64, 64]];
    let tensors = shapes.map(|shape| there((random(1, &shape) * 1e25).unwrap()));
    let sums = sums_of_squares(&tensors.each_ref()).unwrap();
    assert_eq!(sums.len(), tensors.len());
    for (sum, tensor) in sums.iter().zip(&tensors) {
        let exact: f64 = numbers(tensor).iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((sum / exact - 1.0).abs() < 1e-12, "{sum} for {exact}");
    }
    assert_eq!(sums, sums_of_squares(&tensors.each_ref()).unwrap());
    sums_of_squares(&[&tensors[0].to_dtype(DType::BF16).unwrap()]).unwrap_err();
}
