//! New tokens behind those whose keys and values are kept.

use candle_core::Tensor;
use rayon::prelude::*;
use sft_kernels::{
    AttentionSpec,
    cpu::{self, AttentionShape, Buffer},
    matmul::{Start, matmul_nt},
};

use super::{
    block::AttentionArgs,
    span::{Pass, Span, Tail},
};
use crate::{CachedInput, Decoder, LossSum, ModelError, Result};

/// The keys and values of one sequence, of every layer.
///
/// Their memory doubles as they grow; what no token has reached yet takes no memory, and a large
/// block moves by its addresses, not by its contents.
pub(crate) struct Slot {
    tokens: usize,
    layers: Vec<Layer>,
}

/// `[tokens, H_kv, head_dim]` each.
#[derive(Clone, Default)]
struct Layer {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Slot {
    pub(crate) fn new(layers: usize) -> Self {
        Self { tokens: 0, layers: vec![Layer::default(); layers] }
    }

    /// Tokens that every layer has.
    pub(crate) fn len(&self) -> usize {
        self.tokens
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.layers.len());
    }
}

impl Layer {
    /// Puts rows of `width` numbers behind the first `tokens` rows; what a pass that failed has left
    /// behind those is gone.
    fn append(&mut self, tokens: usize, width: usize, keys: &[f32], values: &[f32]) {
        for (held, new) in [(&mut self.keys, keys), (&mut self.values, values)] {
            held.truncate(tokens * width);
            held.extend_from_slice(new);
        }
    }

    /// Numbers for which there is memory.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.keys.capacity() + self.values.capacity()
    }
}

impl Decoder {
    /// [`Decoder::forward_cached`], for a well-formed input.
    pub(crate) fn host_forward_cached(
        &self,
        input: &CachedInput<'_>,
        slots: &mut [Slot],
    ) -> Result<Tensor> {
        let last: Vec<u32> = input.cu_seqlens[1..].iter().map(|&end| end - 1).collect();
        let x = self.host_over_slots(input, slots, &last)?;
        let (rows, vocab) = (last.len(), self.head.out_features());
        let normal = self.host_normed(&x)?;
        let mut logits = vec![0.0; rows * vocab];
        matmul_nt(&normal, rows, &self.head.lock().matrix()?, Start::Zero, &mut logits)?;
        Ok(Tensor::from_vec(logits, (rows, vocab), self.device())?)
    }

    /// [`Decoder::continuation_losses`]: the prefix is read once.
    pub(crate) fn host_continuation_losses(
        &self,
        prefix: &[u32],
        continuations: &[&[u32]],
    ) -> Result<Vec<LossSum>> {
        let Some((&last, head)) = prefix.split_last() else {
            return Err(ModelError::Batch("a continuation of nothing".into()));
        };
        let mut slots = [Slot::new(self.blocks.len())];
        let read = |ids: &[u32], slots: &mut [Slot], rows: &[u32]| {
            let borders = [0, ids.len() as u32];
            let input = CachedInput { ids, cu_seqlens: &borders, slots: &[0] };
            self.host_over_slots(&input, slots, rows)
        };
        if !head.is_empty() {
            read(head, &mut slots, &[head.len() as u32 - 1])?;
        }
        let one = |continuation: &&[u32]| {
            let Some((_, given)) = continuation.split_last() else {
                return Ok(LossSum::default());
            };
            let ids = [&[last], given].concat();
            let rows: Vec<u32> = (0..ids.len() as u32).collect();
            slots[0].tokens = head.len(); // what another continuation left behind the prefix goes
            let hidden = read(&ids, &mut slots, &rows)?;
            let nll = self.host_nll(&self.host_normed(&hidden)?, continuation)?;
            Ok(LossSum { nll, targets: continuation.len() })
        };
        continuations.iter().map(one).collect()
    }

    /// Reads new tokens behind those in the slots. The result is the last block's output for `rows`,
    /// which are the last ones of each sequence.
    fn host_over_slots(
        &self,
        input: &CachedInput<'_>,
        slots: &mut [Slot],
        rows: &[u32],
    ) -> Result<Buffer> {
        let borders = input.cu_seqlens;
        let positions = borders.windows(2).zip(input.slots).flat_map(|(span, &slot)| {
            let start = slots[slot].len() as u32;
            start..start + (span[1] - span[0])
        });
        let example = vec![0; input.ids.len()]; // only dropout asks for it
        let all = Span::of(example, positions.collect(), borders, &self.rotary);
        let pass = Pass { all: &all, mode: self.eval_mode(), buffers: &self.buffers };
        // The last block computes these rows alone.
        let tail =
            if rows.len() == input.ids.len() { None } else { Tail::of(rows, &all, &self.rotary) };

        let x = self.host_forward(input.ids, &pass, tail.as_ref(), |layer, args, out| {
            over_cache(args, layer, input.slots, slots, out)
        })?;
        for (span, &slot) in borders.windows(2).zip(input.slots) {
            slots[slot].tokens += (span[1] - span[0]) as usize;
        }
        Ok(x)
    }
}

/// Puts the new keys and values of a layer into the slots, and attends over all that is there.
fn over_cache(
    args: &AttentionArgs<'_>,
    layer: usize,
    chosen: &[usize],
    slots: &mut [Slot],
    out: &mut [f32],
) -> Result<()> {
    let (head_dim, window) = (args.block.head_dim, args.block.sliding_window);
    let width = args.k.len() / args.pass.all.len();
    for (span, &slot) in args.pass.all.cu_seqlens.windows(2).zip(chosen) {
        let new = span[0] as usize * width..span[1] as usize * width;
        let (tokens, layer) = (slots[slot].tokens, &mut slots[slot].layers[layer]);
        layer.append(tokens, width, &args.k[new.clone()], &args.v[new]);
    }

    let q_width = args.q.len() / args.queries.span.len();
    let mut left = (args.q, out);
    let mut sequences = Vec::with_capacity(chosen.len());
    for (span, &slot) in args.queries.span.cu_seqlens.windows(2).zip(chosen) {
        let n = (span[1] - span[0]) as usize;
        let (q, q_left) = left.0.split_at(n * q_width);
        let (out, out_left) = left.1.split_at_mut(n * q_width);
        left = (q_left, out_left);
        sequences.push((n, q, &slots[slot].layers[layer], out));
    }
    sequences.into_par_iter().with_max_len(1).try_for_each(|(n, q, layer, out)| {
        let Layer { keys, values } = layer;
        let (heads, kv_heads) = (q_width / head_dim, width / head_dim);
        let spec = AttentionSpec {
            cu_seqlens_q: &[0, n as u32],
            cu_seqlens_k: &[0, (keys.len() / width) as u32],
            sliding_window: window,
        };
        let shape = AttentionShape::new(heads, kv_heads, head_dim, &spec)?;
        cpu::attention(&shape, [q, keys, values], out)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_grows_forgets_a_failed_pass_and_frees_its_memory() {
        let mut slot = Slot::new(2);
        for tokens in 0..300 {
            slot.tokens = tokens;
            let row = [tokens as f32; 6];
            for layer in &mut slot.layers {
                layer.append(tokens, 6, &[-1.0; 12], &[-1.0; 12]);
                layer.append(tokens, 6, &row, &row);
            }
        }
        let expected: Vec<f32> = (0..300 * 6).map(|i| (i / 6) as f32).collect();
        for layer in &slot.layers {
            assert_eq!((&layer.keys, &layer.values), (&expected, &expected));
        }
        let held: usize = slot.layers.iter().map(Layer::capacity).sum();
        assert!((4 * 1800..=8 * 1806).contains(&held), "{held}");
        slot.clear();
        assert_eq!((slot.len(), slot.layers.iter().map(Layer::capacity).sum::<usize>()), (0, 0));
    }
}
