//! The f32 kernels of the CPU against the same operations composed of candle's in f64, forward and
//! backward. Those are held against finite differences in `gradients.rs`.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Result, Tensor, Var};
use sft_kernels::{
    AttentionSpec, FrozenWeight, causal_attention, linear_cross_entropy,
    random::{module_key, uniform},
    rms_norm, rope, swiglu,
};

/// Numbers in ±`size`, exact in f32.
fn tensor(name: &str, shape: &[usize], size: f64) -> Tensor {
    let values: Vec<f64> = uniform(3, module_key(name), shape.iter().product())
        .into_iter()
        .map(|u| f64::from((f64::from(u - 0.5) * 2.0 * size) as f32))
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn assert_near(what: &str, found: &Tensor, exact: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), exact.dims(), "{what}");
    let (found, exact) = (values(found), values(exact));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let gap = norm(&mut found.iter().zip(&exact).map(|(f, e)| f - e));
    let size = norm(&mut exact.iter().copied());
    assert!(gap <= tolerance * size, "{what}: off by {gap:e} of {size:e}");
    assert!(size > 1e-3, "{what}: nothing to compare");
}

/// Value and gradients of `sum(f(inputs) . dy)` in one type.
fn run(
    inputs: &[Tensor],
    dtype: DType,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> =
        inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let dy = tensor("dy", y.dims(), 1.0).to_dtype(dtype).unwrap();
    let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = vars.iter().map(|var| store.get(var).unwrap().clone()).collect();
    (y.detach(), gradients)
}

fn compare(what: &str, inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    let (exact, exact_gradients) = run(inputs, DType::F64, f);
    let (found, gradients) = run(inputs, DType::F32, f);
    assert_near(what, &found, &exact, 1e-6);
    for (i, (found, exact)) in gradients.iter().zip(&exact_gradients).enumerate() {
        assert_near(&format!("{what}: gradient {i}"), found, exact, 3e-6);
    }
}

#[test]
fn rms_norm_of_rows_of_any_width() {
    for (rows, width) in [(1, 4), (3, 7), (5, 16), (70, 33), (300, 576)] {
        let weight = tensor("weight", &[width], 1.5);
        let f = |x: &[Tensor]| rms_norm(&x[0], &weight.to_dtype(x[0].dtype())?, 1e-3);
        compare(&format!("{rows}x{width}"), &[tensor("x", &[rows, width], 2.0)], &f);
        let heads = tensor("x", &[rows, 3, width], 2.0);
        compare(&format!("{rows}x3x{width}"), &[heads], &f);
    }
}

#[test]
fn rope_of_heads() {
    for (tokens, heads, head_dim) in [(1, 1, 2), (5, 3, 6), (130, 4, 64)] {
        let (cos, sin) = (
            tensor("cos", &[tokens, head_dim / 2], 1.0),
            tensor("sin", &[tokens, head_dim / 2], 1.0),
        );
        let f =
            |x: &[Tensor]| rope(&x[0], &cos.to_dtype(x[0].dtype())?, &sin.to_dtype(x[0].dtype())?);
        compare("rope", &[tensor("x", &[tokens, heads, head_dim], 2.0)], &f);
    }
}

#[test]
fn swiglu_near_and_far_from_zero() {
    for size in [0.1, 3.0, 60.0] {
        for shape in [[1, 1], [3, 17], [260, 172]] {
            let inputs = [tensor("gate", &shape, size), tensor("up", &shape, 2.0)];
            compare(&format!("swiglu {size} {shape:?}"), &inputs, &|x| swiglu(&x[0], &x[1]));
        }
    }
}

#[test]
fn attention_of_packed_sequences() {
    // Borders of queries and of keys: training, and sequences that go on behind a cache.
    let packed: [&[u32]; 2] = [&[0, 1, 70, 75, 212], &[0, 1, 70, 75, 212]];
    let cached: [&[u32]; 2] = [&[0, 1, 9, 100], &[0, 40, 49, 300]];
    for (heads, kv_heads, head_dim) in [(4, 4, 8), (6, 2, 12), (3, 1, 5)] {
        for [q, k] in [packed, cached] {
            let rows = |borders: &[u32]| borders[borders.len() - 1] as usize;
            let inputs = [
                tensor("q", &[rows(q), heads, head_dim], 3.0),
                tensor("k", &[rows(k), kv_heads, head_dim], 3.0),
                tensor("v", &[rows(k), kv_heads, head_dim], 1.0),
            ];
            for sliding_window in [None, Some(1), Some(3), Some(64), Some(100)] {
                let spec = AttentionSpec { cu_seqlens_q: q, cu_seqlens_k: k, sliding_window };
                let what = format!("{heads}/{kv_heads} heads, {q:?}, {k:?}, {sliding_window:?}");
                if sliding_window == Some(1) {
                    // The weights are all 1: queries and keys have no gradient to compare.
                    let f32s: Vec<Tensor> =
                        inputs.iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
                    let found = causal_attention(&f32s[0], &f32s[1], &f32s[2], &spec).unwrap();
                    let exact =
                        causal_attention(&inputs[0], &inputs[1], &inputs[2], &spec).unwrap();
                    assert_near(&what, &found, &exact, 1e-6);
                    continue;
                }
                compare(&what, &inputs, &|x| causal_attention(&x[0], &x[1], &x[2], &spec));
            }
        }
    }
}

#[test]
fn attention_that_does_not_fit_is_refused() {
    let x = |rows: usize, heads: usize, dim: usize| {
        tensor("x", &[rows, heads, dim], 1.0).to_dtype(DType::F32).unwrap()
    };
    let run = |q: Tensor, k: Tensor, v: Tensor, cu_q: &[u32], cu_k: &[u32], window| {
        let spec = AttentionSpec { cu_seqlens_q: cu_q, cu_seqlens_k: cu_k, sliding_window: window };
        causal_attention(&q, &k, &v, &spec).is_err()
    };
    assert!(run(x(3, 2, 4), x(2, 2, 4), x(2, 2, 4), &[0, 3], &[0, 2], None));
    assert!(run(x(3, 2, 4), x(3, 2, 4), x(3, 1, 4), &[0, 3], &[0, 3], None));
    assert!(run(x(3, 2, 4), x(3, 2, 2), x(3, 2, 2), &[0, 3], &[0, 3], None));
    assert!(run(x(3, 2, 4), x(3, 2, 4), x(3, 2, 4), &[0, 5, 3], &[0, 5, 3], None));
    assert!(run(x(3, 2, 4), x(3, 2, 4), x(3, 2, 4), &[0, 3], &[0, 3], Some(0)));
    assert!(!run(x(3, 2, 4), x(3, 2, 4), x(3, 2, 4), &[0, 3], &[0, 3], None));
}

#[test]
fn cross_entropy_in_chunks() {
    for (rows, width, vocab) in [(1, 4, 3), (7, 8, 37), (600, 16, 515)] {
        let (hidden, head) =
            (tensor("hidden", &[rows, width], 4.0), tensor("head", &[vocab, width], 2.0));
        let labels: Vec<u32> = (0..rows).map(|i| ((i * 31) % vocab) as u32).collect();
        let [exact, found] = [DType::F64, DType::F32].map(|dtype| {
            let head = FrozenWeight::from_tensor(&head.to_dtype(dtype).unwrap()).unwrap();
            linear_cross_entropy(&hidden.to_dtype(dtype).unwrap(), &head, &labels, true).unwrap()
        });
        assert!((found.nll / exact.nll - 1.0).abs() < 1e-6, "{} for {}", found.nll, exact.nll);
        let what = format!("{rows}x{width}x{vocab}");
        assert_near(&what, &found.dhidden.unwrap(), &exact.dhidden.unwrap(), 3e-6);
        let hidden = hidden.to_dtype(DType::F32).unwrap();
        let head = FrozenWeight::from_tensor(&head.to_dtype(DType::F32).unwrap()).unwrap();
        let alone = linear_cross_entropy(&hidden, &head, &labels, false).unwrap();
        assert_eq!(alone.nll, found.nll, "the loss with and without its gradient");
    }
}

/// A row, or a head of a sequence, is one task's: who computes it changes no bit.
#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let f32s = |name: &str, shape: &[usize]| {
                tensor(name, shape, 2.0).to_dtype(DType::F32).unwrap()
            };
            let x = f32s("x", &[400, 64]);
            let normed = rms_norm(&x, &f32s("w", &[64]), 1e-5).unwrap();
            let gated = swiglu(&normed, &x).unwrap();
            let heads = gated.reshape((400, 4, 16)).unwrap();
            let borders: &[u32] = &[0, 150, 151, 400];
            let spec = AttentionSpec {
                cu_seqlens_q: borders,
                cu_seqlens_k: borders,
                sliding_window: None,
            };
            let (y, gradients) = attended(&heads, &spec);
            let bits = |t: &Tensor| -> Vec<u32> {
                t.flatten_all()
                    .unwrap()
                    .to_vec1::<f32>()
                    .unwrap()
                    .into_iter()
                    .map(f32::to_bits)
                    .collect()
            };
            gradients.iter().chain([&y]).map(bits).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(3), one);
}

fn attended(heads: &Tensor, spec: &AttentionSpec<'_>) -> (Tensor, Vec<Tensor>) {
    let inputs = [heads.clone(), heads.clone(), heads.clone()];
    run(&inputs, DType::F32, &|x| causal_attention(&x[0], &x[1], &x[2], spec))
}
