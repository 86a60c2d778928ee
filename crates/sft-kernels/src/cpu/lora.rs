//! The LoRA linear layer, forward and backward.

use candle_core::Result;

use super::{Buffer, Buffers, Dropout, reduce::scale};
use crate::matmul::{Matrix, Start, matmul_nn, matmul_nt};

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

/// Adds the update to `y` `[t, out]`: `y += down B^T`, with `down` from [`lora_down`].
///
/// # Errors
/// When a length does not fit.
pub fn lora_up(down: &[f32], t: usize, out: usize, lora: &Lora<'_>, y: &mut [f32]) -> Result<()> {
    matmul_nt(down, t, &Matrix::f32(lora.b, out, lora.r)?, Start::Existing, y)
}

/// The adapter's part of the backward pass of a layer `[out, input]`, for the gradient `dy`
/// `[t, out]` of `y`.
///
/// With `z = drop(x)`, `u = s z A^T` (`down`) and `v = s dy B`: `dA = v^T z`, `dB = dy^T u`, and
/// `drop(v A)` is added to `dx` where the input's gradient is wanted.
///
/// # Errors
/// When a length does not fit.
#[allow(clippy::too_many_arguments)]
pub fn lora_backward(
    dy: &[f32],
    t: usize,
    x: &[f32],
    down: &[f32],
    [out, input]: [usize; 2],
    lora: &Lora<'_>,
    dx: Option<&mut [f32]>,
    buffers: &Buffers,
) -> Result<LoraGradients> {
    let r = lora.r;
    let (a, b) = (Matrix::f32(lora.a, r, input)?, Matrix::f32(lora.b, out, r)?);

    let mut dropped = None;
    if let Some(dropout) = lora.dropout {
        let mut z = buffers.take(t, input);
        dropout.apply(input, x, &mut z)?;
        dropped = Some(z);
    }
    let z = dropped.as_deref().unwrap_or(x);
    let mut v = buffers.take(t, r);
    matmul_nn(dy, t, &b, Start::Zero, &mut v)?;
    scale(&mut v, lora.scale);

    // The narrow side is the one whose rows pass: the wide one is read in place.
    let mut gradients = LoraGradients { a: vec![0.0; r * input], b: vec![0.0; out * r] };
    let mut narrow = buffers.take(t, r);
    transpose(&v, t, r, &mut narrow); // [r, t]
    matmul_nn(&narrow, r, &Matrix::f32(z, t, input)?, Start::Zero, &mut gradients.a)?;
    transpose(down, t, r, &mut narrow);
    let mut db = buffers.take(r, out);
    matmul_nn(&narrow, r, &Matrix::f32(dy, t, out)?, Start::Zero, &mut db)?;
    transpose(&db, r, out, &mut gradients.b);

    if let Some(dx) = dx {
        match lora.dropout {
            Some(dropout) => {
                let mut through = dropped.unwrap_or_else(|| buffers.take(t, input));
                matmul_nn(&v, t, &a, Start::Zero, &mut through)?;
                dropout.add(input, &through, dx)?;
            }
            None => matmul_nn(&v, t, &a, Start::Existing, dx)?,
        }
    }
    Ok(gradients)
}

/// `[rows, columns]` to `[columns, rows]`; one of the sides is small.
fn transpose(x: &[f32], rows: usize, columns: usize, y: &mut [f32]) {
    if columns == 0 {
        return;
    }
    for (i, row) in x.chunks_exact(columns).enumerate() {
        for (j, &x) in row.iter().enumerate() {
            y[j * rows + i] = x;
        }
    }
}
