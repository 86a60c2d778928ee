//! Several examples as one padding-free sequence.

use crate::Example;

/// A batch: the concatenation of its sequences, without padding. With `B` sequences and `T` rows:
/// attention is causal within a sequence and blind across the borders in `cu_seqlens`.
///
/// The last token of an example, its EOS, is only ever a label: no row predicts from it, and in a
/// causal model no other row sees it. It is therefore not an input row. A reference that feeds it
/// computes the same loss and the same gradients, with one more row a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids of all rows. `[T]`
    pub ids: Vec<u32>,
    /// The position of each row in its own sequence, from 0. `[T]`
    pub positions: Vec<u32>,
    /// Where each sequence starts, and `T` at the end. `[B + 1]`
    pub cu_seqlens: Vec<u32>,
    /// The number of each example, [`Example::index`]. `[B]`
    pub example: Vec<u64>,
    /// What is learnt, in row order.
    pub targets: Vec<Target>,
}

/// One prediction that counts in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The row whose hidden state predicts: the one before the label's.
    pub row: u32,
    /// The id to predict.
    pub label: u32,
}

impl Batch {
    /// Packs examples in the order given. `hidden[t]` predicts `token[t + 1]`, so the first target
    /// is predicted by the last token of the prompt.
    pub fn pack<'a>(examples: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut batch = Self {
            ids: Vec::new(),
            positions: Vec::new(),
            cu_seqlens: vec![0],
            example: Vec::new(),
            targets: Vec::new(),
        };
        for example in examples {
            let start = batch.ids.len() as u32;
            let rows = example.ids.len().saturating_sub(1);
            batch.ids.extend_from_slice(&example.ids[..rows]);
            batch.positions.extend(0..rows as u32);
            batch.cu_seqlens.push(start + rows as u32);
            batch.example.push(example.index);
            // Nothing predicts the first token of a sequence.
            let first = example.first_target.max(1);
            batch.targets.extend(
                (first as u32..)
                    .zip(example.ids.iter().skip(first))
                    .map(|(position, &label)| Target { row: start + position - 1, label }),
            );
        }
        batch
    }

    /// The number of real tokens of the examples, each EOS included: what throughput counts.
    pub fn tokens(&self) -> usize {
        self.ids.len() + self.example.len()
    }
}
