//! Random inputs and finite differences.
#![allow(clippy::unwrap_used, dead_code)]

use candle_core::{DType, Device, Tensor, Var};
use sft_kernels::random::uniform;

/// Values in `[-1, 1)` of stream `stream`, f64.
pub(crate) fn random(stream: u64, shape: &[usize]) -> Tensor {
    let n = shape.iter().product();
    let values: Vec<f64> =
        uniform(2024, stream, n).into_iter().map(|x| f64::from(x) * 2.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

pub(crate) fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the larger of 1 and the largest value.
pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (flat(a), flat(b));
    let top = b.iter().fold(1f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).fold(0f64, |m, (x, y)| m.max((x - y).abs())) / top
}

/// Checks autograd's gradients of `sum(f(inputs) . weight)` against central differences, entry by
/// entry, in f64.
pub(crate) fn check_gradients(
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    // A random weight: with all ones a gradient that is only right on average would pass.
    let weight = random(999, y.dims());
    let store = (&y * &weight).unwrap().sum_all().unwrap().backward().unwrap();
    let value = |inputs: &[Tensor]| -> f64 {
        let detached: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
        let y = f(&detached).unwrap();
        flat(&y).iter().zip(flat(&weight)).map(|(a, b)| a * b).sum()
    };
    let h = 1e-5;
    for (i, var) in vars.iter().enumerate() {
        let gradient = flat(store.get(var).unwrap_or_else(|| panic!("input {i} has no gradient")));
        let base = flat(var);
        assert!(gradient.iter().any(|g| g.abs() > 1e-6), "the gradient of input {i} vanishes");
        for j in 0..base.len() {
            let shifted = |delta: f64| {
                let mut values = base.clone();
                values[j] += delta;
                let mut inputs = inputs.to_vec();
                inputs[i] = Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap();
                value(&inputs)
            };
            let numeric = (shifted(h) - shifted(-h)) / (2.0 * h);
            assert!(
                (numeric - gradient[j]).abs() < 1e-7 * (1.0 + numeric.abs()),
                "input {i}, entry {j}: finite difference {numeric}, gradient {}",
                gradient[j]
            );
        }
    }
}
