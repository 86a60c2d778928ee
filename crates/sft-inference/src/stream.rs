//! Notes through the model, several at a time and without padding.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use sft_model::{CachedInput, KvCache};

use crate::sampling::next_token;
use crate::{
    Event, FinishReason, Generation, GenerationParams, Generator, InferenceError, TextStream,
};

/// Notes decoded together: the weights are read once for all of them.
const MAX_SEQUENCES: usize = 8;
/// Prompt tokens in one pass, which bounds the activations; a single longer prompt goes alone.
const MAX_PREFILL_TOKENS: usize = 4096;

/// A running generation; see [`Generator::stream`].
///
/// Each step either takes waiting notes into the free slots of the cache and runs their prompts,
/// or gives every running note its next token. A note that ends leaves its slot at once.
pub struct GenerationStream<'g> {
    generator: &'g Generator,
    params: GenerationParams,
    waiting: VecDeque<(usize, Vec<u32>)>, // (note, prompt), in order
    running: Vec<Running<'g>>,
    free_slots: Vec<usize>,
    cache: KvCache,
    events: VecDeque<Event>,
}

/// One note that has a slot of the cache.
struct Running<'g> {
    note: usize,
    slot: usize,
    prompt_tokens: usize,
    max_new_tokens: usize,
    ids: Vec<u32>,
    seen: BTreeSet<u32>, // empty unless there is a repetition penalty
    text: TextStream<'g>,
    prefill_s: f64,
    first_token_at: Instant,
}

impl<'g> GenerationStream<'g> {
    pub(crate) fn new(
        generator: &'g Generator,
        prompts: Vec<Vec<u32>>,
        params: GenerationParams,
    ) -> Self {
        let slots = prompts.len().min(MAX_SEQUENCES);
        Self {
            generator,
            params,
            waiting: prompts.into_iter().enumerate().collect(),
            running: Vec::with_capacity(slots),
            free_slots: (0..slots).rev().collect(),
            cache: generator.decoder().new_cache(slots),
            events: VecDeque::new(),
        }
    }

    fn step(&mut self) -> Result<(), InferenceError> {
        let first_new = self.running.len();
        let (rows, started) = if self.waiting.is_empty() || self.free_slots.is_empty() {
            (self.decode()?, 0)
        } else {
            (self.prefill()?, first_new)
        };
        let tokens = rows
            .into_iter()
            .zip(&mut self.running[started..])
            .map(|(mut logits, running)| running.choose(&mut logits, &self.params))
            .collect::<Result<Vec<u32>, _>>()?;

        let mut still = Vec::with_capacity(self.running.len());
        for (index, mut running) in std::mem::take(&mut self.running).into_iter().enumerate() {
            let reason = match index.checked_sub(started) {
                Some(row) => self.accept(&mut running, tokens[row])?,
                None => None,
            };
            match reason {
                Some(reason) => self.finish(running, reason)?,
                None => still.push(running),
            }
        }
        self.running = still;
        Ok(())
    }

    /// Takes in waiting notes; returns the logits behind each of their prompts.
    fn prefill(&mut self) -> Result<Vec<Vec<f32>>, InferenceError> {
        let started = Instant::now();
        let first_new = self.running.len();
        let (mut ids, mut cu_seqlens, mut slots) = (Vec::new(), vec![0], Vec::new());
        while let Some((note, prompt)) = self.waiting.pop_front() {
            let Some(slot) = self.free_slots.pop() else {
                self.waiting.push_front((note, prompt));
                break;
            };
            if !ids.is_empty() && ids.len() + prompt.len() > MAX_PREFILL_TOKENS {
                self.free_slots.push(slot);
                self.waiting.push_front((note, prompt));
                break;
            }
            ids.extend_from_slice(&prompt);
            cu_seqlens.push(ids.len() as u32);
            slots.push(slot);
            self.running.push(self.begin(note, slot, prompt, started));
        }
        let rows = self.forward(&ids, &cu_seqlens, &slots)?;
        let now = Instant::now();
        for running in &mut self.running[first_new..] {
            running.prefill_s = (now - started).as_secs_f64();
            running.first_token_at = now;
        }
        Ok(rows)
    }

    /// One token on, for every running note.
    fn decode(&mut self) -> Result<Vec<Vec<f32>>, InferenceError> {
        let last = |running: &Running<'_>| running.ids.last().copied();
        let ids: Vec<u32> = self.running.iter().filter_map(last).collect();
        let cu_seqlens: Vec<u32> = (0..=ids.len() as u32).collect();
        let slots: Vec<usize> = self.running.iter().map(|running| running.slot).collect();
        self.forward(&ids, &cu_seqlens, &slots)
    }

    /// The logits behind the last token of each sequence, on the host.
    fn forward(
        &mut self,
        ids: &[u32],        // [T]
        cu_seqlens: &[u32], // [B + 1]
        slots: &[usize],    // [B]
    ) -> Result<Vec<Vec<f32>>, InferenceError> {
        let input = CachedInput { ids, cu_seqlens, slots };
        let logits = self.generator.decoder().forward_cached(&input, &mut self.cache)?; // [B, vocab]
        Ok(logits.to_vec2()?)
    }

    fn begin(&self, note: usize, slot: usize, prompt: Vec<u32>, now: Instant) -> Running<'g> {
        let room = self.generator.decoder().config().max_position_embeddings - prompt.len();
        let remember = self.params.repetition_penalty != 1.0;
        let prompts = self.generator.prompts();
        Running {
            note,
            slot,
            prompt_tokens: prompt.len(),
            max_new_tokens: self.params.max_new_tokens.min(room),
            ids: Vec::new(),
            seen: if remember { prompt.into_iter().collect() } else { BTreeSet::new() },
            text: TextStream::new(prompts.tokenizer()).without_lead(prompts.template().lead()),
            prefill_s: 0.0,
            first_token_at: now,
        }
    }

    /// Adds a token to a note; says whether the note ends with it.
    fn accept(
        &mut self,
        running: &mut Running<'g>,
        id: u32,
    ) -> Result<Option<FinishReason>, InferenceError> {
        running.ids.push(id);
        if self.params.repetition_penalty != 1.0 {
            running.seen.insert(id);
        }
        if self.generator.stop_ids().binary_search(&id).is_ok() {
            return Ok(Some(FinishReason::Eos));
        }
        let text = running.text.push(id)?;
        self.tell(running.note, text);
        let full = running.ids.len() >= running.max_new_tokens;
        Ok(full.then_some(FinishReason::Length))
    }

    fn finish(
        &mut self,
        running: Running<'g>,
        finish_reason: FinishReason,
    ) -> Result<(), InferenceError> {
        self.cache.clear_slot(running.slot);
        self.free_slots.push(running.slot);
        let seconds = running.first_token_at.elapsed().as_secs_f64();
        let decoded = running.ids.len() - 1;
        let (rest, generated_summary) = running.text.finish()?;
        self.tell(running.note, rest);
        let generation = Generation {
            generated_summary,
            prompt_tokens: running.prompt_tokens,
            generated_tokens: running.ids.len(),
            finish_reason,
            prefill_s: running.prefill_s,
            decode_tokens_per_s: if decoded == 0 { 0.0 } else { decoded as f64 / seconds },
            ids: running.ids,
        };
        self.events.push_back(Event::Finished { note: running.note, generation });
        Ok(())
    }

    fn tell(&mut self, note: usize, text: String) {
        if !text.is_empty() {
            self.events.push_back(Event::Text { note, text });
        }
    }
}

impl Running<'_> {
    fn choose(
        &self,
        logits: &mut [f32], // [vocab]
        params: &GenerationParams,
    ) -> Result<u32, InferenceError> {
        let (note, step) = (self.note, self.ids.len());
        next_token(logits, &self.seen, params, note, step)
            .ok_or(InferenceError::NonFiniteLogits { note, step })
    }
}

impl Iterator for GenerationStream<'_> {
    type Item = Result<Event, InferenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.events.is_empty() && !(self.waiting.is_empty() && self.running.is_empty()) {
            if let Err(error) = self.step() {
                self.waiting.clear();
                self.running.clear();
                return Some(Err(error));
            }
        }
        self.events.pop_front().map(Ok)
    }
}
