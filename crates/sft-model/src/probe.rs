//! The links of the chain one by one, for checks of their numbers.

use candle_core::Tensor;

use crate::{
    Decoder, Gradients, LossSum, ModelError, Packed, Passes, Result,
    block::{Block, Context},
    projection::Mode,
};

/// A decoder over one batch, one link at a time: what [`Decoder::forward_backward`] does without
/// dropout, with everything in between in the caller's hands.
pub struct Probe<'a> {
    decoder: &'a Decoder,
    input: Packed<'a>,
    cos: Tensor,
    sin: Tensor,
}

/// One block forward and backward.
#[derive(Debug)]
pub struct BlockPass {
    /// The block's output, `[T, D]`.
    pub y: Tensor,
    /// The gradient of `sum(y . dy)` with respect to the block's input, `[T, D]`.
    pub dx: Tensor,
    /// The gradients of the same sum with respect to the block's adapters.
    pub gradients: Gradients,
}

impl Decoder {
    /// Prepares a batch to be looked at link by link.
    ///
    /// # Errors
    /// When the batch is malformed.
    pub fn probe<'a>(&'a self, input: Packed<'a>) -> Result<Probe<'a>> {
        input.check()?;
        let (cos, sin) =
            self.rotary.angles(input.positions, self.activation_dtype(), self.device())?;
        Ok(Probe { decoder: self, input, cos, sin })
    }
}

impl Probe<'_> {
    /// The input of the first block, `[T, D]`.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    pub fn embeddings(&self) -> Result<Tensor> {
        self.decoder.embed(self.input.ids)
    }

    /// The output of block `index` for the input `x` `[T, D]`, adapters included.
    ///
    /// # Errors
    /// When there is no such block, or a shape does not fit.
    pub fn block(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        Ok(self.at(index)?.apply(x, &self.context(Mode::Eval))?)
    }

    /// The same with the block's adapters merged into their weights. The decoder stays as it is.
    ///
    /// # Errors
    /// As [`Probe::block`], and when the adapters are merged already.
    pub fn merged_block(&self, index: usize, x: &Tensor) -> Result<Tensor> {
        let mut block = self.at(index)?.clone();
        for layer in block.projections_mut().into_iter().filter_map(|p| p.lora_mut()) {
            layer.merge()?;
        }
        Ok(block.apply(x, &self.context(Mode::Eval))?)
    }

    /// Block `index` as training on this device runs it where tensors pass between the blocks, forward from `x` and backward from `dy`, `[T, D]` each.
    ///
    /// # Errors
    /// As [`Probe::block`].
    pub fn block_backward(&self, index: usize, x: &Tensor, dy: &Tensor) -> Result<BlockPass> {
        let (block, ctx) = (self.at(index)?, self.context(Mode::Train(None)));
        let mut gradients = Gradients::default();
        let (y, dx) = if self.decoder.passes() == Passes::Tensors {
            let kept = block.kept(x, &ctx)?;
            let y = block.finish_untracked(&kept, &ctx)?;
            let dx = block.backward_on_tensors(dy.clone(), x, kept, &ctx, true, &mut gradients)?;
            (y, dx)
        } else {
            let (y, saved) = block.forward(x, &ctx, true, false)?;
            (y, block.backward(dy, saved, &ctx, &mut gradients)?)
        };
        let dx = dx.ok_or(ModelError::State("no gradient reaches the block's input"))?;
        Ok(BlockPass { y, dx, gradients })
    }

    /// The loss of the output `hidden` `[T, D]` of the last block, and its gradient with respect to it.
    /// `targets` are pairs of (row, label).
    ///
    /// # Errors
    /// When a row or a label is out of range.
    pub fn loss(&self, hidden: &Tensor, targets: &[(u32, u32)]) -> Result<(LossSum, Tensor)> {
        self.decoder.loss_backward(hidden, targets)
    }

    fn at(&self, index: usize) -> Result<&Block> {
        self.decoder.blocks.get(index).ok_or(ModelError::State("the model has no such block"))
    }

    fn context<'b>(&'b self, mode: Mode<'b>) -> Context<'b> {
        Context { cos: &self.cos, sin: &self.sin, cu_seqlens: self.input.cu_seqlens, mode }
    }
}
