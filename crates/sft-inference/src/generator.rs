//! A model ready to summarise.

use std::sync::Once;

use sft_dataset::PromptTokenizer;
use sft_model::Decoder;

use crate::stream::GenerationStream;
use crate::{Event, Generation, GenerationParams, InferenceError};

/// A decoder, the one place that makes prompts for it, and the ids it stops at.
pub struct Generator {
    decoder: Decoder,
    prompts: PromptTokenizer,
    stop_ids: Vec<u32>,
    max_length: usize,
    /// Of settings without effect a conversation hears once.
    warned: Once,
}

impl Generator {
    /// From parts that belong together; see [`Generator::open`] for folders.
    pub fn new(decoder: Decoder, prompts: PromptTokenizer, mut stop_ids: Vec<u32>) -> Self {
        stop_ids.sort_unstable();
        stop_ids.dedup();
        let max_length = decoder.config().max_position_embeddings;
        Self { decoder, prompts, stop_ids, max_length, warned: Once::new() }
    }

    /// The model.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Whether the model has an adapter, switched on or off.
    pub fn has_adapter(&self) -> bool {
        self.decoder.lora_config().is_some()
    }

    /// Switches the adapter off, so that the untouched base generates with the same weights, and on
    /// again. Without an adapter it changes nothing.
    pub fn set_adapter_enabled(&mut self, enabled: bool) {
        self.decoder.set_lora_enabled(enabled);
    }

    /// The model for itself.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// The model, to take its adapter off.
    pub fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Tokens that a prompt with its summary had in training at most, else that the model takes.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Lowers [`Generator::max_length`] to the limit of a training run.
    pub(crate) fn limited_to(mut self, max_length: usize) -> Self {
        self.max_length = self.max_length.min(max_length);
        self
    }

    /// The tokenizer with its template.
    pub fn prompts(&self) -> &PromptTokenizer {
        &self.prompts
    }

    /// Every id that ends a summary, ascending.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// Summarises `notes`; `on_text(note, text)` hears each piece of text as it is certain. The
    /// results stand in the order of the notes.
    ///
    /// # Errors
    /// As [`Generator::stream`] and each of its items.
    pub fn generate(
        &self,
        notes: &[String],
        params: &GenerationParams,
        on_text: &mut dyn FnMut(usize, &str),
    ) -> Result<Vec<Generation>, InferenceError> {
        let mut finished = Vec::with_capacity(notes.len());
        for event in self.stream(notes, params)? {
            match event? {
                Event::Text { note, text } => on_text(note, &text),
                Event::Finished { note, generation } => finished.push((note, generation)),
            }
        }
        finished.sort_by_key(|(note, _)| *note);
        Ok(finished.into_iter().map(|(_, generation)| generation).collect())
    }

    /// Summarises `notes`, some at a time, as an iterator of [`Event`]s: the model runs when the
    /// next one is asked for, and dropping the iterator stops it. Notes finish in any order.
    ///
    /// # Errors
    /// Before anything runs: parameters out of range, or a note that is empty or too long.
    pub fn stream(
        &self,
        notes: &[String],
        params: &GenerationParams,
    ) -> Result<GenerationStream<'_>, InferenceError> {
        params.validate()?;
        if params.is_greedy() && (params.top_k.is_some() || params.top_p.is_some()) {
            self.warned.call_once(|| {
                tracing::warn!(
                    "top_k and top_p have no effect at temperature 0 (greedy): give a temperature"
                );
            });
        }
        let prompts = notes
            .iter()
            .enumerate()
            .map(|(note, text)| self.prompt_ids(note, text))
            .collect::<Result<_, _>>()?;
        Ok(GenerationStream::new(self, prompts, params.clone()))
    }

    /// Whether [`Generator::stream`] would take a note; `note` is its index in an error.
    ///
    /// # Errors
    /// The note is empty or too long.
    pub fn check_note(&self, note: usize, text: &str) -> Result<(), InferenceError> {
        self.prompt_ids(note, text).map(drop)
    }

    /// The prompt of one note, as training makes it, if the model can take it.
    fn prompt_ids(&self, note: usize, text: &str) -> Result<Vec<u32>, InferenceError> {
        if text.trim().is_empty() {
            return Err(InferenceError::EmptyNote { note });
        }
        let ids = self.prompts.prompt_ids(text)?;
        let config = self.decoder.config();
        let limit = config.max_position_embeddings;
        if ids.len() >= limit {
            return Err(InferenceError::PromptTooLong { note, prompt_tokens: ids.len(), limit });
        }
        let vocab_size = config.vocab_size;
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(InferenceError::IdOutsideVocabulary { note, id, vocab_size }),
            None => Ok(ids),
        }
    }
}
