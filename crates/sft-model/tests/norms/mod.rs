//! How far one tensor is from another.

use candle_core::{DType, Tensor};

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The norm of the difference, relative to that of `expected`.
pub(crate) fn gap(found: &Tensor, expected: &Tensor) -> f64 {
    let (found, expected) = (values(found), values(expected));
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut found.iter().zip(&expected).map(|(f, e)| f - e)) / norm(&mut expected.into_iter())
}
