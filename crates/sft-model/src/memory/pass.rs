//! A training pass of [`crate::host`], matrix by matrix, without the arithmetic.
//!
//! It takes and gives back what `host/block.rs` and `host/chain.rs` do, in their order.

use super::{
    TrainingShape,
    shelves::{Held, Number, Shelves},
};
use crate::modules::{DOWN, GATE, K, O, Q, UP, V};

/// What the matrices of a pass take.
pub(super) struct PassBytes {
    /// What is kept from the forward pass for the backward pass.
    pub(super) kept: u64,
    /// Everything, at the worst moment.
    pub(super) held: u64,
}

/// What a block keeps, as `host::block::Kept`.
struct Kept {
    wide: Vec<Held>,
    q: Held,
    k: Held,
    v: Held,
    mid: Held,
    gate: Held,
    up: Held,
    narrow: Vec<Held>,
}

impl Kept {
    fn all(self) -> Vec<Held> {
        let mut all = vec![self.q, self.k, self.v];
        all.extend(self.wide);
        all.extend([self.mid, self.gate, self.up]);
        all.extend(self.narrow);
        all
    }
}

struct Walk<'a> {
    shape: &'a TrainingShape,
    shelves: Shelves,
    /// Tokens.
    t: usize,
}

/// Simulates two steps (the first finds no memory, the second what the first has left) with so many
/// blocks computed again.
pub(super) fn simulate(shape: &TrainingShape, recomputed: usize) -> PassBytes {
    let mut walk = Walk { shape, shelves: Shelves::default(), t: shape.batch.tokens };
    walk.step(recomputed);
    let kept = walk.step(recomputed);
    PassBytes { kept, held: walk.shelves.held() }
}

impl Walk<'_> {
    /// One step; the bytes kept at its middle.
    fn step(&mut self, recomputed: usize) -> u64 {
        let (t, width) = (self.t, self.shape.hidden);
        let (blocks, first) = (self.shape.ranks.len(), self.shape.first());
        let mut saved = Vec::new();
        let mut x = self.shelves.take(t, width); // the embeddings
        for index in 0..blocks {
            let (kept, y) = self.forward(index);
            let x = std::mem::replace(&mut x, y);
            if index < first {
                self.put([x]);
                self.put(kept.all());
            } else if index - first < recomputed {
                self.put(kept.all());
                saved.push((x, None));
            } else {
                saved.push((x, Some(self.put_away(kept))));
            }
        }
        let in_use = self.shelves.in_use();
        let mut dx = self.head();
        self.put([x]);
        for (index, (x, kept)) in saved.into_iter().enumerate().rev() {
            let index = first + index;
            let kept = kept.unwrap_or_else(|| {
                let mut kept = self.kept(index);
                let n = self.rows(index);
                let inner = self.shelves.take(n, self.shape.inner);
                kept.narrow.extend(self.down(index, DOWN, n));
                self.put([inner]);
                self.put_away(kept)
            });
            dx = self.backward(index, dx, kept, index > first);
            self.put([x]);
        }
        self.put([dx]);
        in_use
    }

    /// `Kept::rounded`, where activations are.
    fn put_away(&mut self, kept: Kept) -> Kept {
        if !self.shape.rounds {
            return kept;
        }
        let Kept { wide, q, k, v, mid, gate, up, narrow } = kept;
        let mut rounded = |held: Held| {
            let half = self.shelves.take_of(Number::Bf16, held.rows, held.width);
            self.shelves.put([held]);
            half
        };
        let [q, k, v] = [q, k, v].map(&mut rounded);
        let wide = wide.into_iter().map(&mut rounded).collect();
        let [gate, up] = [gate, up].map(&mut rounded);
        Kept { wide, q, k, v, mid, gate, up, narrow }
    }

    /// `Waiting::open`.
    fn open(&mut self, held: Held) -> Held {
        if !self.shape.rounds {
            return held;
        }
        let whole = self.shelves.take(held.rows, held.width);
        self.shelves.put([held]);
        whole
    }

    /// `host_loss` on rows of targets.
    fn head(&mut self) -> Held {
        let (n, width) = (self.shape.batch.targets, self.shape.hidden);
        let [normal, dnormal] = self.pair(n, width);
        let logits = self.shelves.take(n.min(super::HEAD_ROWS), self.shape.vocab);
        self.put([logits]);
        let dx = self.shelves.take(n, width);
        self.put([normal, dnormal]);
        dx
    }

    fn forward(&mut self, index: usize) -> (Kept, Held) {
        let n = self.rows(index);
        let mut kept = self.kept(index);
        let inner = self.shelves.take(n, self.shape.inner);
        let y = self.shelves.take(n, self.shape.hidden);
        kept.narrow.extend(self.down(index, DOWN, n));
        self.put([inner]);
        (kept, y)
    }

    /// `host_kept`.
    fn kept(&mut self, index: usize) -> Kept {
        let (t, n, width) = (self.t, self.rows(index), self.shape.hidden);
        let (q_width, k_width) = (self.shape.queries, self.shape.keys);
        let mut narrow = Vec::new();
        let h = self.shelves.take(t, width);
        let k = self.shelves.take(t, k_width);
        narrow.extend(self.down(index, K, t));
        let v = self.shelves.take(t, k_width);
        narrow.extend(self.down(index, V, t));
        let picked = self.is_last(index).then(|| self.shelves.take(n, width));
        let q = self.shelves.take(n, q_width);
        narrow.extend(self.down(index, Q, n));
        self.put(picked);
        self.put([h]);
        let wide = if self.shape.qk_norm {
            vec![self.shelves.take(n, q_width), self.shelves.take(t, k_width)]
        } else {
            Vec::new()
        };
        let attended = self.shelves.take(n, q_width);
        let [mid, h] = self.pair(n, width);
        narrow.extend(self.down(index, O, n));
        self.put([attended]);
        let gate = self.shelves.take(n, self.shape.inner);
        narrow.extend(self.down(index, GATE, n));
        let up = self.shelves.take(n, self.shape.inner);
        narrow.extend(self.down(index, UP, n));
        self.put([h]);
        Kept { wide, q, k, v, mid, gate, up, narrow }
    }

    /// `host_backward`: the gradient of the input, or of anything where none is needed.
    fn backward(&mut self, index: usize, dy: Held, kept: Kept, need_dx: bool) -> Held {
        let (t, n, width) = (self.t, self.rows(index), self.shape.hidden);
        let (q_width, k_width) = (self.shape.queries, self.shape.keys);
        let Kept { wide, q, k, v, mid, gate, up, narrow } = kept;
        let [gate, up] = [gate, up].map(|held| self.open(held));
        let [dinner, inner] = self.pair(n, self.shape.inner);
        self.linear_backward(index, DOWN, n);
        self.put([inner]);
        self.put([dinner]);
        let [h, dh] = self.pair(n, width);
        self.linear_backward(index, GATE, n);
        self.linear_backward(index, UP, n);
        self.put([gate, up, h]);
        self.put([mid, dh]);

        let [q, k, v] = [q, k, v].map(|held| self.open(held));
        let dattended = self.shelves.take(n, q_width);
        self.linear_backward(index, O, n);
        let dq = self.shelves.take(n, q_width);
        let [dk, dv] = self.pair(t, k_width);
        let attended = self.shelves.take(n, q_width);
        self.put([attended, dattended, v]);
        let wide: Vec<Held> = wide.into_iter().map(|held| self.open(held)).collect();
        self.put(wide);
        self.put([q, k]);

        let h = self.shelves.take(t, width);
        let dh = need_dx.then(|| self.shelves.take(t, width));
        self.linear_backward(index, K, t);
        self.linear_backward(index, V, t);
        let is_last = self.is_last(index);
        let picked = is_last.then(|| self.pair(n, width));
        self.linear_backward(index, Q, n);
        self.put(picked.into_iter().flatten());
        self.put([h]);
        let dx = if is_last && need_dx {
            let dx = self.shelves.take(t, width);
            self.put([dy]);
            dx
        } else {
            dy
        };
        self.put(dh);
        self.put([dk, dv, dq]);
        self.put(narrow);
        dx
    }

    /// `lora_down`: the narrow product of an adapter.
    fn down(&mut self, index: usize, projection: usize, rows: usize) -> Option<Held> {
        let rank = self.shape.ranks[index][projection];
        if rank == 0 {
            return None;
        }
        let down = self.shelves.take(rows, rank);
        if self.shape.dropout {
            let dropped = self.shelves.take(rows, self.shape.widths(projection)[1]);
            self.put([dropped]);
        }
        Some(down)
    }

    /// `lora_backward`.
    fn linear_backward(&mut self, index: usize, projection: usize, rows: usize) {
        let rank = self.shape.ranks[index][projection];
        if rank == 0 {
            return;
        }
        let [out, input] = self.shape.widths(projection);
        let [v, narrow] = self.pair(rows, rank);
        let db = self.shelves.take(rank, out);
        self.put([db]);
        if self.shape.dropout {
            let wide = self.shelves.take(rows, input);
            self.put([wide]);
        }
        self.put([narrow, v]);
    }

    /// The last block computes the rows of targets alone.
    fn rows(&self, index: usize) -> usize {
        if self.is_last(index) { self.shape.batch.targets } else { self.t }
    }

    fn is_last(&self, index: usize) -> bool {
        index + 1 == self.shape.ranks.len()
    }

    fn pair(&mut self, rows: usize, width: usize) -> [Held; 2] {
        [self.shelves.take(rows, width), self.shelves.take(rows, width)]
    }

    fn put(&mut self, held: impl IntoIterator<Item = Held>) {
        self.shelves.put(held);
    }
}
