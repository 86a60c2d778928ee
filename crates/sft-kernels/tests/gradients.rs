//! Every operation's backward against finite differences in f64.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{check_gradients, difference, flat, random};
use sft_kernels::{
    AttentionSpec, Dropout, DropoutStream, FrozenWeight, LoraOperands, Rows, causal_attention,
    frozen_linear, linear_cross_entropy, lora_linear, rms_norm, rope, swiglu,
};

fn frozen(stream: u64, out: usize, input: usize) -> FrozenWeight {
    FrozenWeight::from_tensor(&random(stream, &[out, input])).unwrap()
}

#[test]
fn frozen_linear_gives_dx() {
    let (w, bias) = (frozen(1, 5, 3), random(2, &[5]));
    check_gradients(&[random(3, &[4, 3])], |x| frozen_linear(&x[0], &w, Some(&bias)));
    // leading dimensions, and an input that is not contiguous
    check_gradients(&[random(3, &[2, 3, 4])], |x| frozen_linear(&x[0].transpose(1, 2)?, &w, None));
}

#[test]
fn frozen_weight_and_bias_get_no_gradient() {
    let (w, bias) = (
        Var::from_tensor(&random(1, &[5, 3])).unwrap(),
        Var::from_tensor(&random(2, &[5])).unwrap(),
    );
    let x = Var::from_tensor(&random(3, &[4, 3])).unwrap();
    let frozen = FrozenWeight::from_tensor(&w).unwrap();
    let y = frozen_linear(&x, &frozen, Some(&bias)).unwrap();
    let store = y.sum_all().unwrap().backward().unwrap();
    assert!(store.get(&x).is_some());
    assert!(store.get(&w).is_none() && store.get(&bias).is_none());
}

#[test]
fn frozen_linear_equals_matmul() {
    let (x, w, bias) = (random(3, &[4, 3]), random(1, &[5, 3]), random(2, &[5]));
    let expected = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
    let y = frozen_linear(&x, &FrozenWeight::from_tensor(&w).unwrap(), Some(&bias)).unwrap();
    assert_eq!(flat(&y), flat(&expected));
}

#[test]
fn lora_linear_gives_dx_da_db() {
    let (w, bias) = (frozen(1, 5, 6), random(2, &[5]));
    let rows = Rows { example: &[7, 7, 9, 9], position: &[0, 1, 0, 1] };
    let stream = DropoutStream { seed: 3, step: 4 };
    let dropout = Dropout::new(stream, "m", rows, 0.3).unwrap();
    let inputs = [random(3, &[4, 6]), random(4, &[2, 6]), random(5, &[5, 2])];
    for dropout in [None, Some(dropout)] {
        check_gradients(&inputs, |t| {
            let lora = LoraOperands { a: &t[1], b: &t[2], scale: 1.75, dropout };
            lora_linear(&t[0], &w, Some(&bias), &lora)
        });
    }
}

#[test]
fn lora_linear_scales_and_drops_the_delta_alone() {
    let w = random(1, &[5, 6]);
    let (x, a, b) = (random(3, &[4, 6]), random(4, &[2, 6]), random(5, &[5, 2]));
    let rows = Rows { example: &[7, 7, 9, 9], position: &[0, 1, 0, 1] };
    let dropout = Dropout::new(DropoutStream { seed: 3, step: 4 }, "m", rows, 0.4).unwrap();
    let mask = dropout.mask(6, DType::F64, &Device::Cpu).unwrap();
    let base = x.matmul(&w.t().unwrap()).unwrap();
    let delta =
        (&x * &mask).unwrap().matmul(&a.t().unwrap()).unwrap().matmul(&b.t().unwrap()).unwrap();
    let expected = (base + (delta * 1.75).unwrap()).unwrap();
    let lora = LoraOperands { a: &a, b: &b, scale: 1.75, dropout: Some(dropout) };
    let y = lora_linear(&x, &FrozenWeight::from_tensor(&w).unwrap(), None, &lora).unwrap();
    assert!(difference(&y, &expected) < 1e-14);
}

#[test]
fn rms_norm_gradient() {
    let weight = random(1, &[6]);
    check_gradients(&[random(2, &[4, 6])], |x| rms_norm(&x[0], &weight, 1e-3));
}

#[test]
fn rms_norm_values() {
    // x = [3, 4]: mean of squares 12.5, eps 0.5 -> divided by sqrt(13)
    let x = Tensor::new(&[[3f64, 4.]], &Device::Cpu).unwrap();
    let weight = Tensor::new(&[2f64, -1.], &Device::Cpu).unwrap();
    let y = flat(&rms_norm(&x, &weight, 0.5).unwrap());
    let root = 13f64.sqrt();
    assert!((y[0] - 6.0 / root).abs() < 1e-15 && (y[1] + 4.0 / root).abs() < 1e-15);
}

#[test]
fn rope_gradient_and_values() {
    let angle = random(1, &[4, 3]);
    let (cos, sin) = (angle.cos().unwrap(), angle.sin().unwrap());
    let x = random(2, &[4, 2, 6]);
    check_gradients(std::slice::from_ref(&x), |x| rope(&x[0], &cos, &sin));
    let y = rope(&x, &cos, &sin).unwrap();
    let (x, y, angle) = (flat(&x), flat(&y), flat(&angle));
    for t in 0..4 {
        for h in 0..2 {
            for i in 0..3 {
                let (first, second) = ((t * 2 + h) * 6 + i, (t * 2 + h) * 6 + i + 3);
                let (sin, cos) = angle[t * 3 + i].sin_cos();
                assert!((y[first] - (x[first] * cos - x[second] * sin)).abs() < 1e-15);
                assert!((y[second] - (x[second] * cos + x[first] * sin)).abs() < 1e-15);
            }
        }
    }
}

#[test]
fn swiglu_gradient_and_values() {
    check_gradients(&[random(1, &[3, 5]), random(2, &[3, 5])], |x| swiglu(&x[0], &x[1]));
    let x = Tensor::new(&[2f64, -1.], &Device::Cpu).unwrap();
    let y = flat(&swiglu(&x, &Tensor::new(&[3f64, 5.], &Device::Cpu).unwrap()).unwrap());
    assert!((y[0] - 6.0 / (1.0 + (-2f64).exp())).abs() < 1e-14);
    assert!((y[1] + 5.0 / (1.0 + 1f64.exp())).abs() < 1e-14);
}

/// Attention by its definition, one query and one head at a time.
fn naive_attention(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec<'_>) -> Vec<f64> {
    let (_, heads, dim) = q.dims3().unwrap();
    let kv_heads = k.dims()[1];
    let (q, k, v) = (flat(q), flat(k), flat(v));
    let mut out = Vec::new();
    for (qs, ks) in spec.cu_seqlens_q.windows(2).zip(spec.cu_seqlens_k.windows(2)) {
        let behind = (ks[1] - ks[0]) - (qs[1] - qs[0]);
        for i in qs[0]..qs[1] {
            for h in 0..heads {
                let g = h / (heads / kv_heads);
                let position = i - qs[0] + behind;
                let first =
                    (position + 1).saturating_sub(spec.sliding_window.unwrap_or(999) as u32);
                let at = |j: u32| ((ks[0] + j) as usize * kv_heads + g) * dim;
                let row = (i as usize * heads + h) * dim;
                let scores: Vec<f64> = (first..=position)
                    .map(|j| {
                        (0..dim).map(|d| q[row + d] * k[at(j) + d]).sum::<f64>()
                            / (dim as f64).sqrt()
                    })
                    .map(f64::exp)
                    .collect();
                let sum: f64 = scores.iter().sum();
                for d in 0..dim {
                    out.push(
                        (first..=position).zip(&scores).map(|(j, s)| s / sum * v[at(j) + d]).sum(),
                    );
                }
            }
        }
    }
    out
}

#[test]
fn attention_equals_its_definition() {
    // uneven lengths, grouped heads, cached keys in front of some queries, with and without window
    let specs: [(&[u32], &[u32]); 2] =
        [(&[0, 3, 4, 9], &[0, 3, 4, 9]), (&[0, 1, 3, 6], &[0, 4, 6, 11])];
    for (cu_seqlens_q, cu_seqlens_k) in specs {
        for sliding_window in [None, Some(1), Some(3)] {
            let spec = AttentionSpec { cu_seqlens_q, cu_seqlens_k, sliding_window };
            let q = random(1, &[*cu_seqlens_q.last().unwrap() as usize, 6, 4]);
            let keys = *cu_seqlens_k.last().unwrap() as usize;
            let (k, v) = (random(2, &[keys, 2, 4]), random(3, &[keys, 2, 4]));
            let y = flat(&causal_attention(&q, &k, &v, &spec).unwrap());
            for (a, b) in y.iter().zip(naive_attention(&q, &k, &v, &spec)) {
                assert!((a - b).abs() < 1e-14);
            }
        }
    }
}

#[test]
fn attention_gradients() {
    for sliding_window in [None, Some(2)] {
        let cu = [0, 4, 5, 7];
        let spec = AttentionSpec { cu_seqlens_q: &cu, cu_seqlens_k: &cu, sliding_window };
        let inputs = [random(1, &[7, 4, 2]), random(2, &[7, 2, 2]), random(3, &[7, 2, 2])];
        check_gradients(&inputs, |t| causal_attention(&t[0], &t[1], &t[2], &spec));
    }
}

#[test]
fn attention_refuses_borders_that_do_not_fit() {
    let (q, k) = (random(1, &[4, 2, 2]), random(2, &[4, 2, 2]));
    for cu in [&[0u32, 3][..], &[0, 5], &[0, 2, 3]] {
        let spec = AttentionSpec { cu_seqlens_q: cu, cu_seqlens_k: cu, sliding_window: None };
        assert!(causal_attention(&q, &k, &k, &spec).is_err());
    }
}

#[test]
fn cross_entropy_value_and_gradient() {
    // more rows than one chunk, so that the chunks' borders are crossed
    let (n, dim, vocab) = (300, 3, 7);
    let (hidden, w) = (random(1, &[n, dim]), random(2, &[vocab, dim]));
    let labels: Vec<u32> = (0..n as u32).map(|i| i * 5 % vocab as u32).collect();
    let head = FrozenWeight::from_tensor(&w).unwrap();
    let got = linear_cross_entropy(&hidden, &head, &labels, true).unwrap();

    let x = Var::from_tensor(&hidden).unwrap();
    let logits = x.matmul(&w.t().unwrap()).unwrap();
    let log_probs = candle_nn::ops::log_softmax(&logits, 1).unwrap();
    let index = Tensor::new(labels.as_slice(), &Device::Cpu).unwrap().unsqueeze(1).unwrap();
    let nll = log_probs.gather(&index, 1).unwrap().sum_all().unwrap().neg().unwrap();
    let store = nll.backward().unwrap();
    assert!((got.nll - nll.to_scalar::<f64>().unwrap()).abs() < 1e-10);
    assert!(difference(&got.dhidden.unwrap(), store.get(&x).unwrap()) < 1e-13);
    assert!(linear_cross_entropy(&hidden, &head, &labels, false).unwrap().dhidden.is_none());
}

#[test]
fn cross_entropy_survives_large_logits() {
    let hidden = Tensor::new(&[[1000f32, 0.]], &Device::Cpu).unwrap();
    let w = Tensor::new(&[[1f32, 0.], [-1., 0.]], &Device::Cpu).unwrap();
    let head = FrozenWeight::from_tensor(&w).unwrap();
    let right = linear_cross_entropy(&hidden, &head, &[0], true).unwrap();
    let wrong = linear_cross_entropy(&hidden, &head, &[1], true).unwrap();
    assert_eq!((right.nll, wrong.nll), (0.0, 2000.0));
    assert_eq!(flat(&wrong.dhidden.unwrap()), [2.0, 0.0]);
    assert!(linear_cross_entropy(&hidden, &head, &[2], true).is_err());
}
