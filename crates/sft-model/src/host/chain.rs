//! The whole decoder: embedding, blocks, loss.

use std::collections::BTreeSet;

use candle_core::{DType, Tensor};
use half::bf16;
use sft_kernels::{
    cpu::{self, Buffer, Locked},
    matmul::{Start, matmul_nn, matmul_nt},
};

use super::{
    block::{AttentionArgs, Kept, among_rows, normed, normed_backward},
    span::{Pass, Span, Tail},
};
use crate::{
    Decoder, Gradients, LossSum, ModelError, Packed, Passes, Result, TrainPass,
    block::Block,
    memory::{BatchShape, HEAD_ROWS},
    packed::check_rows,
    projection::Mode,
};

impl Decoder {
    /// Whether the slices' functions compute this model.
    pub(crate) fn on_host(&self) -> bool {
        self.passes() == Passes::Fast
    }

    /// Makes room on the CPU for batches of up to this size. Without it the passes make room as batches
    /// come; each one that is larger than those before it then leaves memory behind that is too small
    /// for the next.
    pub fn expect(&self, batch: &BatchShape) {
        if !self.on_host() {
            return;
        }
        let ranks = self.projections().filter_map(|p| Some(p.lora()?.rank()));
        let widths = self.projections().map(|p| p.weight().out_features());
        let config = self.config();
        for width in ranks.chain(widths).chain([config.hidden_size]).collect::<BTreeSet<_>>() {
            self.buffers.take::<f32>(batch.tokens, width);
            if self.rounds_activations() {
                self.buffers.take::<bf16>(batch.tokens, width);
            }
        }
        self.buffers.take::<f32>(batch.targets.min(HEAD_ROWS), config.vocab_size);
    }

    /// Whether what waits for the backward pass is rounded to bf16, as the base's own products round
    /// their activations.
    pub(crate) fn rounds_activations(&self) -> bool {
        self.projections().any(|projection| projection.weight().dtype() == DType::BF16)
    }

    /// [`Decoder::forward_backward`].
    pub(crate) fn host_forward_backward(
        &self,
        input: &Packed<'_>,
        targets: &[(u32, u32)],
        how: &TrainPass,
        grads: &mut Gradients,
    ) -> Result<LossSum> {
        let (rows, labels): (Vec<u32>, Vec<u32>) = targets.iter().copied().unzip();
        let all = Span::all(input, &self.rotary);
        check_rows(&rows, all.len())?;
        let mode = Mode::Train(how.dropout.map(|stream| (stream, all.rows())));
        let pass = Pass { all: &all, mode, buffers: &self.buffers };
        let tail = Tail::of(&rows, &all, &self.rotary);
        let first = self
            .blocks
            .iter()
            .position(Block::is_adapted)
            .ok_or(ModelError::State("the model has no adapter to train; add one first"))?;

        // What is computed again goes the same way: the same bytes.
        let rounds = self.rounds_activations();
        let put_away = |kept: Kept| if rounds { kept.rounded() } else { kept };
        let last = self.blocks.len() - 1;
        let tail_of = |index: usize| if index == last { tail.as_ref() } else { None };
        let mut x = self.host_embed(input.ids)?; // [T, D]
        let mut saved: Vec<(Buffer, Option<Kept>)> = Vec::with_capacity(self.blocks.len() - first);
        for (index, block) in self.blocks.iter().enumerate() {
            let queries = pass.queries(tail_of(index));
            let mut kept = block.host_kept(&x, queries, &pass, among_rows)?;
            let keep = index >= first && !how.recompute.includes(index - first);
            let y = block.host_finish(&mut kept, queries, &pass, keep && rounds)?;
            let x = std::mem::replace(&mut x, y);
            if index >= first {
                saved.push((x, keep.then(|| put_away(kept))));
            }
        }

        let picked = match tail {
            Some(_) => x,
            None => self.host_rows(&x, &rows),
        };
        let (nll, dpicked) = self.host_loss(&picked, &labels)?;
        drop(picked);
        let mut dx = if tail.is_some() {
            dpicked
        } else {
            let width = self.config().hidden_size;
            let mut dx = self.buffers.zeros(all.len(), width);
            cpu::scatter_add(&dpicked, width, &rows, &mut dx);
            dx
        };
        for (index, (x, kept)) in saved.into_iter().enumerate().rev() {
            let index = first + index;
            let (block, queries) = (&self.blocks[index], pass.queries(tail_of(index)));
            let kept = if let Some(kept) = kept {
                kept
            } else {
                let mut kept = block.host_kept(&x, queries, &pass, among_rows)?;
                block.host_narrow(&mut kept, queries, &pass)?;
                put_away(kept)
            };
            match block.host_backward(dx, &x, kept, queries, &pass, index > first, grads)? {
                Some(gradient) => dx = gradient,
                None => break,
            }
        }
        Ok(LossSum { nll, targets: labels.len() })
    }

    /// Hidden states after the final normalisation of the given rows, or of all.
    pub(crate) fn host_hidden(&self, input: &Packed<'_>, rows: Option<&[u32]>) -> Result<Buffer> {
        let all = Span::all(input, &self.rotary);
        let pass = Pass { all: &all, mode: self.eval_mode(), buffers: &self.buffers };
        if let Some(rows) = rows {
            check_rows(rows, all.len())?;
        }
        let tail = rows.and_then(|rows| Tail::of(rows, &all, &self.rotary));
        let among = |_, args: &AttentionArgs<'_>, out: &mut [f32]| among_rows(args, out);
        let mut x = self.host_forward(input.ids, &pass, tail.as_ref(), among)?;
        if let (Some(rows), None) = (rows, tail) {
            x = self.host_rows(&x, rows);
        }
        self.host_normed(&x)
    }

    /// All blocks, without a backward pass; the last one computes the tail, if there is one. `attend`
    /// is told the number of the block.
    pub(super) fn host_forward(
        &self,
        ids: &[u32],
        pass: &Pass<'_>,
        tail: Option<&Tail>,
        mut attend: impl FnMut(usize, &AttentionArgs<'_>, &mut [f32]) -> Result<()>,
    ) -> Result<Buffer> {
        let mut x = self.host_embed(ids)?; // [T, D]
        for (index, block) in self.blocks.iter().enumerate() {
            let is_last = index + 1 == self.blocks.len();
            let queries = pass.queries(if is_last { tail } else { None });
            let attend = |args: &AttentionArgs<'_>, out: &mut [f32]| attend(index, args, out);
            let mut kept = block.host_kept(&x, queries, pass, attend)?;
            x = block.host_finish(&mut kept, queries, pass, false)?;
        }
        Ok(x)
    }

    /// Rows after the final normalisation.
    pub(super) fn host_normed(&self, x: &[f32]) -> Result<Buffer> {
        let mut normal = self.take_like(x);
        normed(&self.final_norm, x, self.config().rms_norm_eps, &mut normal)?;
        Ok(normal)
    }

    /// The loss of rows of hidden states after the final normalisation.
    pub(crate) fn host_nll(&self, normal: &[f32], labels: &[u32]) -> Result<f64> {
        self.host_head(normal, labels, None)
    }

    /// The loss of rows `[N, D]` that are not normalised yet, and its gradient.
    fn host_loss(&self, x: &[f32], labels: &[u32]) -> Result<(f64, Buffer)> {
        let (width, eps) = (self.config().hidden_size, self.config().rms_norm_eps);
        let normal = self.host_normed(x)?;
        let mut dnormal = self.take_like(x);
        let nll = self.host_head(&normal, labels, Some(&mut dnormal))?;
        let mut dx = self.buffers.zeros(x.len() / width, width);
        normed_backward(&self.final_norm, x, eps, &dnormal, &mut dx)?;
        Ok((nll, dx))
    }

    /// Head and loss in chunks of rows: no `[N, vocab]` tensor exists.
    fn host_head(
        &self,
        normal: &[f32],
        labels: &[u32],
        mut dnormal: Option<&mut [f32]>,
    ) -> Result<f64> {
        let (width, vocab) = (self.config().hidden_size, self.head.out_features());
        if let Some(label) = labels.iter().find(|&&label| label as usize >= vocab) {
            return Err(ModelError::Batch(format!(
                "label {label} is not in the vocabulary of {vocab}"
            )));
        }
        let head = self.head.lock();
        let (w, mut nll) = (head.matrix()?, 0.0);
        for (i, labels) in labels.chunks(HEAD_ROWS).enumerate() {
            let (n, from) = (labels.len(), i * HEAD_ROWS * width);
            let mut logits = self.buffers.take(n, vocab);
            let rows = &normal[from..][..n * width];
            matmul_nt(rows, n, &w, Start::Zero, &mut logits)?;
            nll += cpu::cross_entropy(&mut logits, labels, vocab, dnormal.is_some());
            if let Some(dnormal) = &mut dnormal {
                let dx = &mut dnormal[from..][..n * width];
                matmul_nn(&logits, n, &w, Start::Zero, dx)?;
            }
        }
        Ok(nll)
    }

    /// Memory for as many hidden states as `x` has.
    fn take_like(&self, x: &[f32]) -> Buffer {
        let width = self.config().hidden_size;
        self.buffers.take(x.len() / width, width)
    }

    fn host_rows(&self, x: &[f32], rows: &[u32]) -> Buffer {
        let width = self.config().hidden_size;
        let mut picked = self.buffers.take(rows.len(), width);
        cpu::gather(x, width, rows, &mut picked);
        picked
    }

    /// Embeddings of token ids, `[T, D]`.
    fn host_embed(&self, ids: &[u32]) -> Result<Buffer> {
        let rows: Tensor = self.embed(ids)?;
        Ok(self.buffers.copy(Locked::new(&rows).values()?, self.config().hidden_size))
    }
}
