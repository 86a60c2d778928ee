//! Linear layers with the same input, some of them with a LoRA adapter, forward and backward.

use candle_core::{Result, bail};
use rayon::prelude::*;

use super::{Buffer, Buffers, Dropout, reduce::scale};
use crate::matmul::{Matrix, Product, Start, matmul};

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

/// A layer: its weight, `[out, in]`, and an adapter, or none.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// The frozen weight.
    pub w: Matrix<'a>,
    /// The adapter.
    pub lora: Option<Lora<'a>>,
}

/// A layer of the forward pass, the gradient of its result `[t, out]`, and what [`linear_forward`]
/// returned for it.
pub type Backward<'a> = (Linear<'a>, &'a [f32], Option<&'a [f32]>);

/// The gradients of a layer's adapter.
#[derive(Debug)]
pub struct LoraGradients {
    /// `[r, in]`.
    pub a: Vec<f32>,
    /// `[out, r]`.
    pub b: Vec<f32>,
}

/// `y = start + x W^T + s drop(x) A^T B^T` of each layer for `t` rows: `x` is `[t, in]`, each `y`
/// `[t, out]`. Returns [`lora_down`], which the backward pass asks for.
///
/// # Errors
/// When a length does not fit.
pub fn linear_forward(
    x: &[f32],
    t: usize,
    layers: Vec<(Linear<'_>, Start<'_>, &mut [f32])>,
    buffers: &Buffers,
) -> Result<Vec<Option<Buffer>>> {
    let downs = lora_down(x, t, layers.iter().map(|(layer, ..)| *layer), buffers)?;
    let mut products = Vec::with_capacity(layers.len());
    for ((layer, start, y), down) in layers.into_iter().zip(&downs) {
        let product = Product::nt(x, t, layer.w, start, y);
        products.push(match (layer.lora, down) {
            (Some(lora), Some(down)) => {
                product.plus(down, Matrix::f32(lora.b, layer.w.rows(), lora.r)?)
            }
            _ => product,
        });
    }
    matmul(products)?;
    Ok(downs)
}

/// `s drop(x) A^T` of each layer with an adapter, for `x` `[t, in]`: `[t, r]`.
///
/// # Errors
/// When a length does not fit.
pub fn lora_down<'a>(
    x: &[f32],
    t: usize,
    layers: impl Iterator<Item = Linear<'a>> + Clone,
    buffers: &Buffers,
) -> Result<Vec<Option<Buffer>>> {
    let take = |layer: Linear<'_>| Some(buffers.take(t, layer.lora?.r));
    let mut downs: Vec<_> = layers.clone().map(take).collect();
    let mut products = Vec::new();
    for (layer, down) in layers.clone().zip(&mut downs) {
        let (Some(lora), Some(down)) = (layer.lora, down) else { continue };
        let input = layer.w.cols();
        let a = Matrix::f32(lora.a, lora.r, input)?;
        match lora.dropout {
            None => products.push(Product::nt(x, t, a, Start::Zero, down)),
            Some(dropout) => {
                let mut dropped = buffers.take(t, input);
                dropout.apply(input, x, &mut dropped)?;
                matmul(vec![Product::nt(&dropped, t, a, Start::Zero, down)])?;
            }
        }
    }
    matmul(products)?;
    for (layer, down) in layers.zip(&mut downs) {
        if let (Some(lora), Some(down)) = (layer.lora, down) {
            scale(down, lora.scale);
        }
    }
    Ok(downs)
}

/// What is left of a layer's backward pass when [`linear_backward_input`] is done.
#[derive(Debug)]
pub struct Narrow {
    /// `s dy B`, `[t, r]`.
    v: Buffer,
    /// The gradient of `B`.
    b: Vec<f32>,
}

/// The first part of the backward pass for the gradients `dy` of each layer's `y`, which does not read
/// the layers' input: the gradient of that input where it is wanted, `dx = start + ...`, to which all
/// layers add, and what [`lora_gradients`] makes the adapters' gradients of.
///
/// With `z = drop(x)`, `u = s z A^T` (`down`) and `v = s dy B`: `dB = dy^T u`,
/// `dx = dy W + drop(v A)`, and in the second part `dA = v^T z`.
///
/// # Errors
/// When a length does not fit, or there is no layer.
pub fn linear_backward_input(
    t: usize,
    layers: &[Backward<'_>],
    dx: Option<(Start<'_>, &mut [f32])>,
    buffers: &Buffers,
) -> Result<Vec<Option<Narrow>>> {
    // The narrow side is the one that turns: the wide one is read in place.
    let adapters = || layers.iter().map(|(layer, ..)| (layer.w.rows(), layer.lora));
    let mut v: Vec<_> = adapters().map(|(_, lora)| Some(buffers.take(t, lora?.r))).collect();
    let mut db: Vec<_> = adapters().map(|(out, lora)| Some(buffers.take(lora?.r, out))).collect();
    let mut products = Vec::with_capacity(2 * layers.len());
    for ((&(layer, dy, down), v), db) in layers.iter().zip(&mut v).zip(&mut db) {
        let (Some(lora), Some(v), Some(db)) = (layer.lora, v, db) else { continue };
        let Some(down) = down else { bail!("the narrow product of the forward pass is missing") };
        let out = layer.w.rows();
        let b = Matrix::f32(lora.b, out, lora.r)?;
        products.push(Product::nn(dy, t, b, Start::Zero, v));
        let dy = Matrix::f32(dy, t, out)?;
        products.push(Product::tn(down, lora.r, dy, Start::Zero, db));
    }
    matmul(products)?;

    let made = v.into_iter().zip(db).zip(adapters());
    let narrow: Vec<_> = made
        .map(|((v, db), (out, lora))| {
            let (mut v, lora) = (v?, lora?);
            scale(&mut v, lora.scale);
            let mut b = vec![0.0; out * lora.r];
            transpose(&db?, out, &mut b);
            Some(Narrow { v, b })
        })
        .collect();
    let Some((start, dx)) = dx else { return Ok(narrow) };

    let mut terms = Vec::with_capacity(2 * layers.len());
    let mut dropped = Vec::new();
    for (&(layer, dy, _), narrow) in layers.iter().zip(&narrow) {
        terms.push((dy, layer.w));
        if let (Some(lora), Some(Narrow { v, .. })) = (layer.lora, narrow) {
            let a = Matrix::f32(lora.a, lora.r, layer.w.cols())?;
            match lora.dropout {
                None => terms.push((v, a)),
                Some(dropout) => dropped.push((v, a, dropout)),
            }
        }
    }
    let mut terms = terms.into_iter();
    let Some((dy, w)) = terms.next() else { bail!("no layer to go back through") };
    let sum = Product::nn(dy, t, w, start, dx);
    matmul(vec![terms.fold(sum, |sum, (x, w)| sum.plus(x, w))])?;
    for (v, a, dropout) in dropped {
        let mut wide = buffers.take(t, a.cols());
        matmul(vec![Product::nn(v, t, a, Start::Zero, &mut wide)])?;
        dropout.add(a.cols(), &wide, dx)?;
    }
    Ok(narrow)
}

/// The second part of the backward pass: the gradients of the adapters. `x` `[t, in]` is the layers'
/// input, `narrow` what the first part has left.
///
/// # Errors
/// When a length does not fit.
pub fn lora_gradients<'a>(
    x: &[f32],
    t: usize,
    layers: impl Iterator<Item = Linear<'a>>,
    narrow: Vec<Option<Narrow>>,
    buffers: &Buffers,
) -> Result<Vec<Option<LoraGradients>>> {
    let mut of_adapters: Vec<_> = layers
        .zip(narrow)
        .map(|(layer, narrow)| {
            let (lora, Narrow { v, b }) = (layer.lora?, narrow?);
            Some((lora, v, LoraGradients { a: vec![0.0; lora.r * layer.w.cols()], b }))
        })
        .collect();
    let mut products = Vec::with_capacity(of_adapters.len());
    for (lora, v, gradients) in of_adapters.iter_mut().flatten() {
        let input = gradients.a.len() / lora.r.max(1);
        match lora.dropout {
            None => {
                let x = Matrix::f32(x, t, input)?;
                products.push(Product::tn(v, lora.r, x, Start::Zero, &mut gradients.a));
            }
            Some(dropout) => {
                let mut dropped = buffers.take(t, input);
                dropout.apply(input, x, &mut dropped)?;
                let x = Matrix::f32(&dropped, t, input)?;
                matmul(vec![Product::tn(v, lora.r, x, Start::Zero, &mut gradients.a)])?;
            }
        }
    }
    matmul(products)?;
    Ok(of_adapters.into_iter().map(|adapter| Some(adapter?.2)).collect())
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
