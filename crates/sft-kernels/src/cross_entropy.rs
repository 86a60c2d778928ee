//! The LM head and the loss, in chunks of rows.

use candle_core::{D, DType, Result, Tensor, bail};

use crate::{
    FrozenWeight,
    cpu::{cross_entropy, locked::takes},
};

/// Rows of logits that exist at one time.
const CHUNK: usize = 256;
/// The same on a CUDA device, which a product of so few rows would leave idle.
pub const LOGIT_ROWS_ON_DEVICE: usize = 2048;

/// What [`linear_cross_entropy`] returns.
#[derive(Debug)]
pub struct CrossEntropy {
    /// Sum over the rows of `-log softmax(h W^T)[label]`.
    pub nll: f64,
    /// Gradient of that sum with respect to the hidden rows, `[N, D]`, when it was asked for.
    pub dhidden: Option<Tensor>,
}

/// Head, softmax and negative log-likelihood of target rows, and the gradient of their sum.
///
/// `hidden` is `[N, D]` (target rows only), `head` `[V, D]`, `labels` has `N` ids below `V`. No
/// `[N, V]` tensor exists: rows pass in chunks. Softmax and log-sum-exp run in f32 (f64 stays
/// f64). The gradient is computed here, in the same pass (`softmax - onehot` times the head): the
/// head is frozen and nothing follows the loss, so no graph is needed.
///
/// # Errors
/// When shapes do not fit or a label is not below `V`.
pub fn linear_cross_entropy(
    hidden: &Tensor,
    head: &FrozenWeight,
    labels: &[u32],
    with_gradient: bool,
) -> Result<CrossEntropy> {
    let (n, _) = hidden.dims2()?;
    if n != labels.len() {
        bail!("{n} hidden rows but {} labels", labels.len())
    }
    if let Some(label) = labels.iter().find(|&&label| label as usize >= head.out_features()) {
        bail!("label {label} is not in the vocabulary of {}", head.out_features())
    }
    let (mut nll, mut losses) = (0.0, Vec::new());
    let mut grads = Vec::new();
    let size = if hidden.device().is_cuda() { LOGIT_ROWS_ON_DEVICE } else { CHUNK };
    for (i, labels) in labels.chunks(size).enumerate() {
        let rows = hidden.detach().narrow(0, i * size, labels.len())?.contiguous()?;
        let (chunk_loss, dlogits) = chunk(&rows, head, labels, with_gradient)?;
        match chunk_loss {
            Loss::Sum(sum) => nll += sum,
            Loss::Rows(rows) => losses.push(rows),
        }
        if let Some(dlogits) = dlogits {
            grads.push(head.backward(&dlogits)?);
        }
    }
    let dhidden = match (with_gradient, grads.is_empty()) {
        (false, _) => None,
        (true, false) => Some(Tensor::cat(&grads, 0)?),
        (true, true) => Some(hidden.detach().zeros_like()?),
    };
    if !losses.is_empty() {
        // Read at the end: the host waits for the device once.
        let losses: Vec<f32> = Tensor::cat(&losses, 0)?.to_vec1()?;
        nll += losses.into_iter().map(f64::from).sum::<f64>();
    }
    Ok(CrossEntropy { nll, dhidden })
}

/// The losses of a chunk.
enum Loss {
    Sum(f64),
    /// Each row's, f32, still on its device.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code))]
    Rows(Tensor),
}

fn chunk(
    rows: &Tensor,
    head: &FrozenWeight,
    labels: &[u32],
    with_gradient: bool,
) -> Result<(Loss, Option<Tensor>)> {
    let logits = head.forward(rows)?;
    #[cfg(feature = "cuda")]
    if crate::cuda::takes_any_width(&[&logits]) {
        let losses = crate::cuda::cross_entropy(&logits, labels, with_gradient)?;
        return Ok((Loss::Rows(losses), with_gradient.then_some(logits)));
    }
    if takes(&[rows, &logits]) {
        let mut values = logits.flatten_all()?.to_vec1::<f32>()?;
        let nll = cross_entropy(&mut values, labels, head.out_features(), with_gradient);
        let dlogits = with_gradient
            .then(|| Tensor::from_vec(values, logits.shape(), rows.device()))
            .transpose()?;
        return Ok((Loss::Sum(nll), dlogits));
    }
    let wide = if rows.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let labels = Tensor::new(labels, rows.device())?.unsqueeze(1)?; // [n, 1]
    let logits = logits.to_dtype(wide)?; // [n, V]
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    drop(logits);
    let target = shifted.gather(&labels, 1)?; // [n, 1]
    let exp = shifted.exp()?;
    drop(shifted);
    let sum = exp.sum_keepdim(D::Minus1)?; // [n, 1]
    let nll = (sum.log()? - target)?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let dlogits = if with_gradient {
        let minus_one = sum.ones_like()?.neg()?;
        let probs = exp.broadcast_div(&sum)?;
        Some(probs.scatter_add(&labels, &minus_one, 1)?.to_dtype(rows.dtype())?)
    } else {
        None
    };
    Ok((Loss::Sum(nll.iter().sum()), dlogits))
}
