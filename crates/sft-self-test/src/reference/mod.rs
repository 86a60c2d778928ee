//! The decoder's arithmetic a second time: in f64, in plain loops, from the files on disk.
//!
//! Nothing here is shared with the decoder or its kernels but candle's matrix product (in f64), the file reader and
//! the reading of `config.json`.

mod block;
mod head;
mod linear;
mod rotary;

use candle_core::{DType, Device, Tensor};

pub(crate) use block::{Block, SUSPECTS, Sequence};
pub(crate) use head::Head;

use crate::Result;

/// A matrix, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    pub(crate) values: Vec<f64>,
    pub(crate) width: usize,
}

impl Rows {
    pub(crate) fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let (_, width) = tensor.dims2()?;
        Ok(Self { values: vector(tensor)?, width })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    pub(crate) fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..][..self.width]
    }

    /// `self W^T` for `W` `[out, width]` in f64 on the CPU.
    fn product(&self, weight: &Tensor) -> Result<Self> {
        let shape = (self.values.len() / self.width, self.width);
        let rows = Tensor::from_slice(&self.values, shape, &Device::Cpu)?;
        Self::from_tensor(&rows.matmul(&weight.t()?)?)
    }

    fn plus(mut self, other: &Self) -> Self {
        for (sum, value) in self.values.iter_mut().zip(&other.values) {
            *sum += value;
        }
        self
    }
}

/// All numbers of a tensor in f64, row after row.
pub(crate) fn vector(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// `x / sqrt(mean(x^2) + eps) * weight` over pieces as long as `weight`.
fn normalise(x: &Rows, weight: &[f64], eps: f64) -> Rows {
    let mut y = x.clone();
    for piece in y.values.chunks_exact_mut(weight.len()) {
        let mean = piece.iter().map(|v| v * v).sum::<f64>() / weight.len() as f64;
        let root = (mean + eps).sqrt();
        piece.iter_mut().zip(weight).for_each(|(v, w)| *v *= w / root);
    }
    y
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
