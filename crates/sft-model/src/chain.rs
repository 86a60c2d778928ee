//! Passes over the whole chain: training, evaluation, logits.

use candle_core::{DType, Tensor, Var};
use sft_kernels::{Rows, cpu::on_pool, frozen_linear, linear_cross_entropy, seed};

use crate::{
    Decoder, Gradients, LossSum, ModelError, Packed, Passes, Result, TrainPass,
    block::{Block, Context},
    packed::check_rows,
    projection::Mode,
};

impl Decoder {
    /// One micro-batch forward and backward: the gradients of the SUM of the targets' negative
    /// log-likelihoods are added to `grads`.
    ///
    /// `targets` are pairs of (row, label): the hidden state of `row` predicts `label`. Only these
    /// rows reach the head. Blocks below the first adapted one run without a backward.
    ///
    /// # Errors
    /// When the batch is malformed, or the computation fails.
    pub fn forward_backward(
        &self,
        input: &Packed<'_>,
        targets: &[(u32, u32)],
        pass: &TrainPass,
        grads: &mut Gradients,
    ) -> Result<LossSum> {
        input.check()?;
        if self.on_host() {
            return on_pool(|| self.host_forward_backward(input, targets, pass, grads));
        }
        let example = input.example_of_rows();
        let rows = Rows { example: &example, position: input.positions };
        let (cos, sin) =
            self.rotary.angles(input.positions, self.activation_dtype(), self.device())?;
        let mode = Mode::Train(pass.dropout.map(|stream| (stream, rows)));
        let ctx = Context { cos: &cos, sin: &sin, cu_seqlens: input.cu_seqlens, mode };

        let first = self
            .blocks
            .iter()
            .position(Block::is_adapted)
            .ok_or(ModelError::State("the model has no adapter to train; add one first"))?;
        let (below, chain) = self.blocks.split_at(first);
        let mut x = self.embed(input.ids)?; // [T, D]
        for block in below {
            x = block.apply(&x, &ctx)?;
        }
        if self.passes() == Passes::Tensors {
            return self.chain_on_tensors(x, chain, &ctx, targets, pass, grads);
        }
        let mut saved = Vec::with_capacity(chain.len());
        for (i, block) in chain.iter().enumerate() {
            let (y, keep) = block.forward(&x, &ctx, i > 0, pass.recompute.includes(i))?;
            saved.push(keep);
            x = y;
        }
        let (loss, mut dx) = self.loss_backward(&x, targets)?;
        for (block, saved) in chain.iter().zip(saved).rev() {
            match block.backward(&dx, saved, &ctx, grads)? {
                Some(gradient) => dx = gradient,
                None => break,
            }
        }
        Ok(loss)
    }

    /// The loss of a batch, without dropout and without a graph.
    ///
    /// # Errors
    /// When the batch is malformed, or the computation fails.
    pub fn loss(&self, input: &Packed<'_>, targets: &[(u32, u32)]) -> Result<LossSum> {
        let (rows, labels) = split(targets);
        if self.on_host() {
            input.check()?;
            let nll = on_pool(|| self.host_nll(&self.host_hidden(input, Some(&rows))?, &labels))?;
            return Ok(LossSum { nll, targets: labels.len() });
        }
        let normed = self.hidden_rows(input, Some(&rows))?;
        let ce = linear_cross_entropy(&normed, &self.head, &labels, false)?;
        Ok(LossSum { nll: ce.nll, targets: labels.len() })
    }

    /// Logits in f32 of the given rows, or of all: `[rows or T, vocab]`.
    ///
    /// # Errors
    /// When the batch is malformed, or the computation fails.
    pub fn logits(&self, input: &Packed<'_>, rows: Option<&[u32]>) -> Result<Tensor> {
        let normed = self.hidden_rows(input, rows)?;
        Ok(frozen_linear(&normed, &self.head, None)?.to_dtype(DType::F32)?)
    }

    /// Hidden states after the final normalisation, without a graph.
    fn hidden_rows(&self, input: &Packed<'_>, rows: Option<&[u32]>) -> Result<Tensor> {
        input.check()?;
        if self.on_host() {
            let normal = on_pool(|| self.host_hidden(input, rows))?;
            let width = self.config().hidden_size;
            let shape = (normal.len() / width, width);
            return Ok(Tensor::from_slice(&normal, shape, self.device())?);
        }
        let (cos, sin) =
            self.rotary.angles(input.positions, self.activation_dtype(), self.device())?;
        let ctx =
            Context { cos: &cos, sin: &sin, cu_seqlens: input.cu_seqlens, mode: self.eval_mode() };
        let mut x = self.embed(input.ids)?;
        for block in &self.blocks {
            x = block.apply(&x, &ctx)?;
        }
        if let Some(rows) = rows {
            x = self.select(&x, rows)?;
        }
        self.normed(&x)
    }

    /// The loss of the target rows of `hidden` `[T, D]`, and its gradient with respect to `hidden`.
    pub(crate) fn loss_backward(
        &self,
        hidden: &Tensor,
        targets: &[(u32, u32)],
    ) -> Result<(LossSum, Tensor)> {
        let (rows, labels) = split(targets);
        let picked = Var::from_tensor(&self.select(hidden, &rows)?)?; // [N, D]
        let normed = self.normed(picked.as_tensor())?;
        let ce = linear_cross_entropy(&normed.detach(), &self.head, &labels, true)?;
        let dnormed = ce.dhidden.ok_or(ModelError::State("the head gave no gradient"))?;
        let store = seed(&normed, &dnormed)?.backward()?;
        let dpicked =
            store.get(&picked).ok_or(ModelError::State("the final norm gave no gradient"))?;
        let index = Tensor::new(rows, self.device())?;
        let dhidden = hidden.zeros_like()?.index_add(&index, dpicked, 0)?; // [T, D]
        Ok((LossSum { nll: ce.nll, targets: labels.len() }, dhidden))
    }

    pub(crate) fn select(&self, hidden: &Tensor, rows: &[u32]) -> Result<Tensor> {
        check_rows(rows, hidden.dims()[0])?;
        Ok(hidden.index_select(&Tensor::new(rows, self.device())?, 0)?)
    }
}

fn split(targets: &[(u32, u32)]) -> (Vec<u32>, Vec<u32>) {
    targets.iter().copied().unzip()
}
