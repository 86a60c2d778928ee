//! Keys and values of what has been read, so that generation computes only new tokens.

use candle_core::{DType, Tensor};
use candle_nn::kv_cache::Cache;
use sft_kernels::{AttentionSpec, causal_attention, cpu::on_pool, frozen_linear};

use crate::{Decoder, LossSum, ModelError, Packed, Result, block::Context, host};

/// Tokens by which a slot of tensors grows.
const GROWTH: usize = 128;

/// The keys and values of several sequences, each in a slot of its own.
///
/// It is made for one way of computing ([`Decoder::new_cache`]) and stays with it.
pub struct KvCache(Slots);

enum Slots {
    /// For the functions on slices.
    Host(Vec<host::Slot>),
    /// For candle's operations: of each slot, of each layer, keys and values
    /// `[tokens, H_kv, head_dim]`.
    Tensors(Vec<Vec<(Cache, Cache)>>),
}

impl KvCache {
    fn new(slots: usize, layers: usize, on_host: bool) -> Self {
        Self(if on_host {
            Slots::Host((0..slots).map(|_| host::Slot::new(layers)).collect())
        } else {
            let layer = || (Cache::new(0, GROWTH), Cache::new(0, GROWTH));
            Slots::Tensors((0..slots).map(|_| (0..layers).map(|_| layer()).collect()).collect())
        })
    }

    fn slots(&self) -> usize {
        match &self.0 {
            Slots::Host(slots) => slots.len(),
            Slots::Tensors(slots) => slots.len(),
        }
    }

    /// Tokens that a slot holds; 0 for a slot that does not exist.
    pub fn len(&self, slot: usize) -> usize {
        match &self.0 {
            Slots::Host(slots) => slots.get(slot).map_or(0, host::Slot::len),
            Slots::Tensors(slots) => tokens(slots, slot),
        }
    }

    /// Whether every slot is empty.
    pub fn is_empty(&self) -> bool {
        (0..self.slots()).all(|slot| self.len(slot) == 0)
    }

    /// Forgets a slot's tokens and frees their memory.
    pub fn clear_slot(&mut self, slot: usize) {
        match &mut self.0 {
            Slots::Host(slots) => slots.get_mut(slot).into_iter().for_each(host::Slot::clear),
            Slots::Tensors(slots) => {
                for (keys, values) in slots.get_mut(slot).into_iter().flatten() {
                    *keys = Cache::new(0, GROWTH);
                    *values = Cache::new(0, GROWTH);
                }
            }
        }
    }
}

fn tokens(slots: &[Vec<(Cache, Cache)>], slot: usize) -> usize {
    let first = slots.get(slot).and_then(|layers| layers.first());
    first.map_or(0, |(keys, _)| keys.current_seq_len())
}

/// New tokens of several sequences.
#[derive(Clone, Copy, Debug)]
pub struct CachedInput<'a> {
    /// Token ids, `[T]`.
    pub ids: &'a [u32],
    /// Where each sequence's new tokens begin, and the end: `[B + 1]`.
    pub cu_seqlens: &'a [u32],
    /// The cache slot of each sequence, `[B]`, all different.
    pub slots: &'a [usize],
}

impl Decoder {
    /// An empty cache for `sequences` sequences.
    pub fn new_cache(&self, sequences: usize) -> KvCache {
        KvCache::new(sequences, self.config().num_hidden_layers, self.on_host())
    }

    /// Reads each sequence's new tokens behind those in its slot, and returns the logits, in f32, of
    /// each sequence's last row: `[B, vocab]`.
    ///
    /// # Errors
    /// When the borders and slots do not fit together, or the computation fails.
    pub fn forward_cached(&self, input: &CachedInput<'_>, cache: &mut KvCache) -> Result<Tensor> {
        let borders = input.cu_seqlens;
        let distinct = |(i, slot)| !input.slots[..i].contains(slot);
        let well_formed = borders.first() == Some(&0)
            && borders.last().map(|&end| end as usize) == Some(input.ids.len())
            && borders.windows(2).all(|pair| pair[0] < pair[1])
            && borders.len() == input.slots.len() + 1
            && input.slots.iter().all(|&slot| slot < cache.slots())
            && input.slots.iter().enumerate().all(distinct);
        if !well_formed || input.slots.is_empty() {
            return Err(ModelError::Batch(format!(
                "{} ids, cu_seqlens {borders:?}, slots {:?}, a cache of {} slots",
                input.ids.len(),
                input.slots,
                cache.slots()
            )));
        }
        match &mut cache.0 {
            Slots::Host(slots) => on_pool(|| self.host_forward_cached(input, slots)),
            Slots::Tensors(slots) => self.tensors_forward_cached(input, slots),
        }
    }

    /// The loss of each continuation of one prefix, each as if it stood alone behind it: the sum of
    /// the negative log-likelihoods of all its tokens. On the CPU the prefix is read once.
    ///
    /// # Errors
    /// When the prefix is empty, an id is out of range, or the computation fails.
    pub fn continuation_losses(
        &self,
        prefix: &[u32],
        continuations: &[&[u32]],
    ) -> Result<Vec<LossSum>> {
        if self.on_host() {
            return on_pool(|| self.host_continuation_losses(prefix, continuations));
        }
        let first = prefix.len();
        let one = |continuation: &&[u32]| {
            if continuation.is_empty() {
                return Ok(LossSum::default());
            }
            let ids = [prefix, continuation].concat();
            let n = ids.len() as u32;
            let positions: Vec<u32> = (0..n).collect();
            let input =
                Packed { ids: &ids, positions: &positions, cu_seqlens: &[0, n], example: &[0] };
            let targets: Vec<(u32, u32)> =
                (first..ids.len()).map(|at| (at as u32 - 1, ids[at])).collect();
            self.loss(&input, &targets)
        };
        if first == 0 {
            return Err(ModelError::Batch("a continuation of nothing".into()));
        }
        continuations.iter().map(one).collect()
    }

    /// [`Decoder::forward_cached`] composed of candle's operations.
    fn tensors_forward_cached(
        &self,
        input: &CachedInput<'_>,
        cache: &mut [Vec<(Cache, Cache)>],
    ) -> Result<Tensor> {
        let borders = input.cu_seqlens;
        let spans: Vec<(usize, usize)> = borders
            .windows(2)
            .map(|pair| (pair[0] as usize, (pair[1] - pair[0]) as usize))
            .collect();
        let positions: Vec<u32> = spans
            .iter()
            .zip(input.slots)
            .flat_map(|(&(_, n), &slot)| {
                let start = tokens(cache, slot) as u32;
                start..start + n as u32
            })
            .collect();
        let (cos, sin) = self.rotary.angles(&positions, self.activation_dtype(), self.device())?;
        let ctx = Context { cos: &cos, sin: &sin, cu_seqlens: borders, mode: self.eval_mode() };
        let mut x = self.embed(input.ids)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let [q, k, v] = block.qkv(&x, &ctx)?;
            let mut attended = Vec::with_capacity(spans.len());
            for (&(start, n), &slot) in spans.iter().zip(input.slots) {
                let (keys, values) = &mut cache[slot][layer];
                let (k, v) = (
                    append(keys, &k.narrow(0, start, n)?)?,
                    append(values, &v.narrow(0, start, n)?)?,
                );
                let spec = AttentionSpec {
                    cu_seqlens_q: &[0, n as u32],
                    cu_seqlens_k: &[0, k.dims()[0] as u32],
                    sliding_window: block.sliding_window(),
                };
                attended.push(causal_attention(&q.narrow(0, start, n)?, &k, &v, &spec)?);
            }
            x = block.finish(&x, &Tensor::cat(&attended, 0)?, &ctx)?;
        }
        let last: Vec<u32> = borders[1..].iter().map(|&end| end - 1).collect();
        let rows = x.index_select(&Tensor::new(last, self.device())?, 0)?;
        Ok(frozen_linear(&self.normed(&rows)?, &self.head, None)?.to_dtype(DType::F32)?)
    }
}

/// Appends and returns all that the cache now holds.
fn append(cache: &mut Cache, new: &Tensor) -> Result<Tensor> {
    cache.append(&new.contiguous()?)?;
    cache.current_data()?.ok_or(ModelError::State("the key/value cache is empty after an append"))
}
