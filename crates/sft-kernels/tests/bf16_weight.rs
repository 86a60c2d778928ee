//! A frozen bf16 weight beside f32 activations, against the same weight in f64.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Tensor, Var};
use common::{flat, random};
use sft_kernels::{
    Dropout, DropoutStream, FrozenWeight, LoraOperands, Rows, frozen_linear, linear_cross_entropy,
    lora_linear,
};

/// A bf16 weight, and the same numbers in f64.
fn pair(stream: u64, out: usize, input: usize) -> (FrozenWeight, FrozenWeight) {
    let narrow = random(stream, &[out, input]).to_dtype(DType::BF16).unwrap();
    let wide = narrow.to_dtype(DType::F64).unwrap();
    (FrozenWeight::from_tensor(&narrow).unwrap(), FrozenWeight::from_tensor(&wide).unwrap())
}

/// Values that f32 holds exactly, in f32 and in f64.
fn both(stream: u64, shape: &[usize]) -> (Tensor, Tensor) {
    let wide = random(stream, shape);
    (wide.to_dtype(DType::F32).unwrap(), wide)
}

/// The largest difference beside the largest value.
fn relative(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (flat(a), flat(b));
    let top = b.iter().fold(0f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0f64, |m, (x, y)| m.max((x - y).abs())) / top
}

/// Rounding activations to bf16 changes each by a part in 2^9 at most, and a sum of many such by
/// less beside its largest value.
const BOUND: f64 = 1.0 / 256.0;

#[test]
fn frozen_linear_gives_y_and_dx() {
    let (out, input) = (37, 53);
    let (narrow, wide) = pair(1, out, input);
    let (bias32, bias) = both(2, &[out]);
    for shape in [vec![1, input], vec![5, input], vec![3, 7, input]] {
        let (x32, x) = both(3, &shape);
        let (x32, x) = (Var::from_tensor(&x32).unwrap(), Var::from_tensor(&x).unwrap());
        let y32 = frozen_linear(&x32, &narrow, Some(&bias32)).unwrap();
        let y = frozen_linear(&x, &wide, Some(&bias)).unwrap();
        assert_eq!(y32.dtype(), DType::F32);
        assert!(relative(&y32, &y) < BOUND);
        // a bias in the type of the weights
        let bias16 = bias.to_dtype(DType::BF16).unwrap();
        let rounded = frozen_linear(&x32, &narrow, Some(&bias16)).unwrap();
        assert!(relative(&rounded, &y) < 2.0 * BOUND);

        let (dy32, dy) = both(4, y.dims());
        let dx32 = (&y32 * &dy32).unwrap().sum_all().unwrap().backward().unwrap();
        let dx32 = dx32.get(&x32).unwrap();
        // The layer is linear: a central difference in f64 is exact but for rounding.
        let numeric: Vec<f64> = (0..flat(&x).len())
            .map(|i| {
                let value = |delta: f64| {
                    let mut values = flat(&x);
                    values[i] += delta;
                    let x = Tensor::from_vec(values, x.dims(), x.device()).unwrap();
                    let y = frozen_linear(&x, &wide, Some(&bias)).unwrap();
                    flat(&y).iter().zip(flat(&dy)).map(|(y, dy)| y * dy).sum::<f64>()
                };
                (value(0.5) - value(-0.5)) / 1.0
            })
            .collect();
        let numeric = Tensor::from_vec(numeric, x.dims(), x.device()).unwrap();
        assert!(relative(dx32, &numeric) < BOUND, "{}", relative(dx32, &numeric));
    }
}

#[test]
fn lora_linear_gives_y_dx_da_db() {
    let (out, input, r, t) = (37, 53, 4, 11);
    let (narrow, wide) = pair(1, out, input);
    let (bias32, bias) = both(2, &[out]);
    let rows = Rows { example: &[5; 11], position: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] };
    let dropout = Dropout::new(DropoutStream { seed: 3, step: 4 }, "m", rows, 0.4).unwrap();
    let run = |w: &FrozenWeight, bias: &Tensor, dtype: DType| {
        let var = |stream, shape: &[usize]| {
            Var::from_tensor(&random(stream, shape).to_dtype(dtype).unwrap()).unwrap()
        };
        let (x, a, b) = (var(3, &[t, input]), var(4, &[r, input]), var(5, &[out, r]));
        let lora = LoraOperands { a: &a, b: &b, scale: 1.75, dropout: Some(dropout) };
        let y = lora_linear(&x, w, Some(bias), &lora).unwrap();
        let dy = random(7, y.dims()).to_dtype(dtype).unwrap();
        let store = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = |var: &Var| store.get(var).unwrap().clone();
        [y.clone(), gradient(&x), gradient(&a), gradient(&b)]
    };
    let expected = run(&wide, &bias, DType::F64);
    let computed = run(&narrow, &bias32, DType::F32);
    // A and B never meet a bf16.
    for ((computed, expected), bound) in
        computed.iter().zip(&expected).zip([BOUND, BOUND, 1e-5, 1e-5])
    {
        assert_eq!(computed.dtype(), DType::F32);
        assert!(relative(computed, expected) < bound, "{}", relative(computed, expected));
    }
}

#[test]
fn a_bf16_head_gives_loss_and_gradient() {
    let (narrow, wide) = pair(1, 101, 24);
    let (hidden32, hidden) = both(2, &[9, 24]);
    let labels = [0, 100, 5, 7, 7, 50, 99, 1, 2];
    let computed = linear_cross_entropy(&hidden32, &narrow, &labels, true).unwrap();
    let expected = linear_cross_entropy(&hidden, &wide, &labels, true).unwrap();
    assert!((computed.nll - expected.nll).abs() < BOUND * expected.nll);
    assert!(relative(&computed.dhidden.unwrap(), &expected.dhidden.unwrap()) < BOUND);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let (narrow, _) = pair(1, 5, 3);
    let (x, _) = both(2, &[4, 6]);
    assert!(frozen_linear(&x, &narrow, None).is_err());
    assert!(linear_cross_entropy(&x, &narrow, &[0; 4], false).is_err());
}
