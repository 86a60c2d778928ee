//! The LoRA linear layer, forward and backward.

use candle_core::Result;
use rayon::prelude::*;

use super::{Buffer, Buffers, Dropout, reduce::scale};
use crate::matmul::{
    Matrix, Start, Update, matmul_nn, matmul_nn_updated, matmul_nt, matmul_nt_updated, matmul_tn,
};

/// The trainable side of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Lora<'a> {
    /// Down projection, `[r, in]`.
    pub a: &'a [f32],
    /// Up projection, `[out, r]`.
    pub b: &'a [f32],
    /// Its rank.
    pub r: usize,
    /// Factor of the update.
    pub scale: f32,
    /// Dropout on the input of `A`.
    pub dropout: Option<Dropout<'a>>,
}

/// The gradients of a layer's adapter.
#[derive(Debug)]
pub struct LoraGradients {
    /// `[r, in]`.
    pub a: Vec<f32>,
    /// `[out, r]`.
    pub b: Vec<f32>,
}

/// `y = start + x W^T + s drop(x) A^T B^T` for `t` rows: `x` is `[t, in]`, `y` `[t, out]`. Returns
/// [`lora_down`], which the backward pass asks for.
///
/// # Errors
/// When a length does not fit.
pub fn lora_forward(
    x: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    lora: &Lora<'_>,
    y: &mut [f32],
    buffers: &Buffers,
) -> Result<Buffer> {
    let down = lora_down(x, t, w.cols(), lora, buffers)?;
    let update = Update { x: &down, w: Matrix::f32(lora.b, w.rows(), lora.r)? };
    matmul_nt_updated(x, t, w, start, Some(&update), y)?;
    Ok(down)
}

/// `s drop(x) A^T` for `x` `[t, input]`: `[t, r]`.
///
/// # Errors
/// When a length does not fit.
pub fn lora_down(
    x: &[f32],
    t: usize,
    input: usize,
    lora: &Lora<'_>,
    buffers: &Buffers,
) -> Result<Buffer> {
    let mut down = buffers.take(t, lora.r);
    let a = Matrix::f32(lora.a, lora.r, input)?;
    match lora.dropout {
        Some(dropout) => {
            let mut dropped = buffers.take(t, input);
            dropout.apply(input, x, &mut dropped)?;
            matmul_nt(&dropped, t, &a, Start::Zero, &mut down)?;
        }
        None => matmul_nt(x, t, &a, Start::Zero, &mut down)?,
    }
    scale(&mut down, lora.scale);
    Ok(down)
}

/// The backward pass for the gradient `dy` `[t, out]` of `y`: the gradients of the adapter, and
/// where it is wanted that of the input, `dx = start + ...`.
///
/// With `z = drop(x)`, `u = s z A^T` (`down`) and `v = s dy B`: `dA = v^T z`, `dB = dy^T u`,
/// `dx = dy W + drop(v A)`.
///
/// # Errors
/// When a length does not fit.
#[allow(clippy::too_many_arguments)]
pub fn lora_backward(
    dy: &[f32],
    t: usize,
    x: &[f32],
    down: &[f32],
    w: &Matrix<'_>,
    lora: &Lora<'_>,
    dx: Option<(Start<'_>, &mut [f32])>,
    buffers: &Buffers,
) -> Result<LoraGradients> {
    let (out, input, r) = (w.rows(), w.cols(), lora.r);
    let (a, b) = (Matrix::f32(lora.a, r, input)?, Matrix::f32(lora.b, out, r)?);
    let mut v = buffers.take(t, r);
    matmul_nn(dy, t, &b, Start::Zero, &mut v)?;
    scale(&mut v, lora.scale);

    // The narrow side is the one that turns: the wide one is read in place.
    let mut gradients = LoraGradients { a: vec![0.0; r * input], b: vec![0.0; out * r] };
    let mut db = buffers.take(r, out);
    matmul_tn(down, r, &Matrix::f32(dy, t, out)?, &mut db)?;
    transpose(&db, out, &mut gradients.b);
    drop(db);
    let Some(dropout) = lora.dropout else {
        matmul_tn(&v, r, &Matrix::f32(x, t, input)?, &mut gradients.a)?;
        if let Some((start, dx)) = dx {
            matmul_nn_updated(dy, t, w, start, Some(&Update { x: &v, w: a }), dx)?;
        }
        return Ok(gradients);
    };
    let mut wide = buffers.take(t, input);
    dropout.apply(input, x, &mut wide)?;
    matmul_tn(&v, r, &Matrix::f32(&wide, t, input)?, &mut gradients.a)?;
    if let Some((start, dx)) = dx {
        matmul_nn(dy, t, w, start, dx)?;
        matmul_nn(&v, t, &a, Start::Zero, &mut wide)?;
        dropout.add(input, &wide, dx)?;
    }
    Ok(gradients)
}

/// `x`, rows of `columns` numbers, with rows and columns exchanged.
fn transpose(x: &[f32], columns: usize, y: &mut [f32]) {
    const SQUARE: usize = 16; // a cache line of each side
    let rows = x.len() / columns.max(1);
    y.par_chunks_mut((SQUARE * rows).max(1)).enumerate().for_each(|(i, y)| {
        let first = i * SQUARE;
        for (j, y) in y.chunks_exact_mut(rows).enumerate() {
            for (i, y) in y.iter_mut().enumerate() {
                *y = x[i * columns + first + j];
            }
        }
    });
}
