//! A training pass of [`crate::device`], tensor by tensor, without the arithmetic.
//!
//! It takes and gives back what `device.rs` does, in its order. A device's pool gives memory back at once, so what counts is what
//! is in use at one time.

use sft_kernels::LOGIT_ROWS_ON_DEVICE;

use super::TrainingShape;
use crate::modules::{DOWN, GATE, K, O, Q, UP, V};

/// Tokens whose sums of an adapter's gradient stand beside each other until they are added.
const SHARE: usize = 64;

/// What the tensors of a pass take.
pub(super) struct PassBytes {
    /// What is kept from the forward pass for the backward pass.
    pub(super) kept: u64,
    /// Everything, at the worst moment.
    pub(super) peak: u64,
}

struct Walk<'a> {
    shape: &'a TrainingShape,
    /// Tokens.
    t: u64,
    /// Bytes of a number.
    size: u64,
    in_use: u64,
    peak: u64,
}

/// A pass with so many blocks computed again.
pub(super) fn simulate(shape: &TrainingShape, recomputed: usize) -> PassBytes {
    let size = shape.weights.dtype.size_in_bytes() as u64;
    let mut walk = Walk { shape, t: shape.batch.tokens as u64, size, in_use: 0, peak: 0 };
    let kept = walk.pass(recomputed);
    PassBytes { kept, peak: walk.peak }
}

impl Walk<'_> {
    fn pass(&mut self, recomputed: usize) -> u64 {
        let (first, blocks) = (self.shape.first(), self.shape.ranks.len());
        let x = self.rows(self.shape.hidden);
        self.take(x); // the embeddings
        for index in 0..blocks {
            let kept = self.forward(index);
            self.take(x);
            if index < first {
                self.put(x + kept);
            } else if index - first < recomputed {
                self.put(kept);
            }
        }
        let saved = self.in_use;
        self.head();
        self.take(x); // the gradient
        self.put(x); // the last result
        for index in (first..blocks).rev() {
            let mut kept = self.kept();
            if index - first < recomputed {
                kept = self.forward(index);
            }
            self.backward(index);
            self.put(kept + x);
        }
        saved
    }

    /// What `Kept` holds.
    fn kept(&self) -> u64 {
        let shape = self.shape;
        let heads = shape.queries / shape.head_dim.max(1);
        let raw = if shape.qk_norm { shape.queries + shape.keys } else { 0 };
        let width = 2 * shape.queries + 2 * shape.keys + raw + shape.hidden + 2 * shape.inner;
        self.rows(width) + 4 * self.t * heads as u64
    }

    /// `Block::kept` and `Block::finish_untracked`: the bytes kept.
    fn forward(&mut self, index: usize) -> u64 {
        let kept = self.kept();
        let widest = self.shape.inner.max(2 * self.shape.queries + self.shape.hidden);
        let narrow = (0..7).map(|i| self.narrow(index, i)).max().unwrap_or_default();
        self.take(kept + self.rows(widest) + narrow);
        self.put(self.rows(widest) + narrow);
        kept
    }

    /// `loss_on_tensors`.
    fn head(&mut self) {
        let targets = self.shape.batch.targets;
        let rows = |rows: usize, width: usize| rows as u64 * width as u64 * self.size;
        let logits = rows(targets.min(LOGIT_ROWS_ON_DEVICE), self.shape.vocab);
        let all = logits + 4 * rows(targets, self.shape.hidden) + 2 * self.rows(self.shape.hidden);
        self.take(all);
        self.put(all);
    }

    /// `backward_on_tensors`: its worst moments, beside what is kept and the gradient that came in.
    fn backward(&mut self, index: usize) {
        let shape = self.shape;
        let (inner, hidden) = (self.rows(shape.inner), self.rows(shape.hidden));
        let (q, k) = (self.rows(shape.queries), self.rows(shape.keys));
        let layers = |layers: &[usize]| {
            layers.iter().map(|&layer| self.gradients(index, layer)).max().unwrap_or_default()
        };
        let moments = [
            2 * inner + layers(&[DOWN]),                  // inner, dinner
            3 * inner,                                    // dinner, dgate, dup
            2 * inner + 3 * hidden + layers(&[GATE, UP]), // dgate, dup, h, dh twice
            2 * hidden + 2 * q + layers(&[O]),            // dmid, dattended, its delta
            2 * hidden + 3 * q + 4 * k,                   // dq, dk, dv, rotated back
            4 * hidden + q + 2 * k + layers(&[Q, K, V]),  // h, dh twice
        ];
        let most = moments.into_iter().max().unwrap_or_default();
        self.take(most);
        self.put(most);
    }

    /// The narrow products of an adapter, f32.
    fn narrow(&self, index: usize, projection: usize) -> u64 {
        8 * self.t * self.shape.ranks[index][projection] as u64
    }

    /// And the parts of its gradients.
    fn gradients(&self, index: usize, projection: usize) -> u64 {
        let rank = self.shape.ranks[index][projection] as u64;
        let wide = self.shape.widths(projection).into_iter().max().unwrap_or_default() as u64;
        self.narrow(index, projection) + 4 * self.t.div_ceil(SHARE as u64) * rank * wide
    }

    /// `T` rows.
    fn rows(&self, width: usize) -> u64 {
        self.t * width as u64 * self.size
    }

    fn take(&mut self, bytes: u64) {
        self.in_use += bytes;
        self.peak = self.peak.max(self.in_use);
    }

    fn put(&mut self, bytes: u64) {
        self.in_use -= bytes;
    }
}
