//! A record as one sequence of ids with a border between what is given and what is learnt.

use super::border;
use super::template::PromptTemplate;
use super::text::TextEncoder;
use crate::limited::{TOKENIZER, read_limited};
use crate::{DatasetError, Example, Record};
use rayon::prelude::*;
use std::path::Path;
use std::sync::OnceLock;
use tokenizers::Tokenizer;

/// Turns notes into prompts and records into examples.
///
/// * Prompt and summary are tokenised together, and the border is found from offsets.
/// * The BOS that the tokenizer's post-processor adds comes first, once, also where the template
///   writes it too; the EOS comes last, once.
/// * A control string (`</s>`, `[INST]`, `<|eot_id|>`) is a control token where the template
///   writes it and plain text in a note or a summary.
pub struct PromptTokenizer {
    text: TextEncoder,
    template: PromptTemplate,
    prefix: Vec<u32>,
    eos_id: u32,
    /// Set when [`PromptTokenizer::check_border`] has found nothing.
    border: OnceLock<()>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// It fits, whole or with the end of its note cut off.
    Fits {
        /// The example.
        example: Example,
        /// How many tokens were cut from the note; 0 for a whole row.
        tokens_cut: usize,
    },
    /// Template, summary and EOS alone are longer than the limit.
    TooLong {
        /// Tokens with an empty note.
        tokens: usize,
    },
}

/// A part of an example as text, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The decoded text, special tokens included.
    pub text: String,
    /// Whether the model is trained to produce it.
    pub trained: bool,
}

/// Prompt and summary in one sequence, without the final EOS.
struct Joint {
    ids: Vec<u32>,
    /// For each of `ids` behind the prefix, the byte of the joint text where it starts.
    starts: Vec<usize>,
    first_target: usize,
    /// Whether a token holds bytes of both prompt and summary.
    straddles: bool,
}

impl PromptTokenizer {
    /// Loads a `tokenizer.json`. Its truncation and padding are ignored, and so is
    /// `add_bos_token` of a `tokenizer_config.json`, as in every fast tokenizer.
    ///
    /// Any template is accepted here, since a prompt alone is always well defined; training needs
    /// more, see [`PromptTokenizer::check_border`].
    ///
    /// # Errors
    /// If the file cannot be read as a tokenizer, or has no token `eos_id`.
    pub fn from_file(
        path: &Path,
        template: PromptTemplate,
        eos_id: u32,
    ) -> Result<Self, DatasetError> {
        let bytes = read_limited(path, TOKENIZER)
            .map_err(|source| DatasetError::Read { path: path.into(), source })?;
        let load = || -> tokenizers::Result<(TextEncoder, Vec<u32>)> {
            let text = TextEncoder::from_json(&bytes)?;
            let prefix = text.prefix()?;
            Ok((text, prefix))
        };
        let (text, prefix) =
            load().map_err(|source| DatasetError::Tokenizer { path: path.into(), source })?;
        if text.tokenizer().id_to_token(eos_id).is_none() {
            let (path, vocab_size) = (path.into(), text.vocab_size());
            return Err(DatasetError::UnknownEos { path, eos_id, vocab_size });
        }
        Ok(Self { text, template, prefix, eos_id, border: OnceLock::new() })
    }

    /// The ids of the prompt for a note, BOS included, never cut. The note is trimmed.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn prompt_ids(&self, note: &str) -> Result<Vec<u32>, DatasetError> {
        let note = note.trim();
        let ids = self.encode(&self.template.render(note), note.len())?.ids;
        Ok(self.with_prefix(ids))
    }

    /// The example of a record: prompt, summary and EOS in at most `max_length` tokens, BOS and
    /// EOS included. `index` is the example's stable number, see [`Example::index`].
    ///
    /// Only the end of the note is ever cut.
    ///
    /// # Errors
    /// [`DatasetError::RowFuses`] if prompt and summary share a token, or if the ids before the
    /// border are not those that [`PromptTokenizer::prompt_ids`] makes; and if the tokenizer fails.
    pub fn example(
        &self,
        record: &Record,
        index: u64,
        max_length: usize,
    ) -> Result<Encoded, DatasetError> {
        let (mut note, summary) = (record.clinical_note.trim(), record.model_summary.trim());
        let mut joint = self.joint(note, summary)?;
        let whole = joint.tokens();
        while joint.tokens() > max_length {
            if note.is_empty() {
                return Ok(Encoded::TooLong { tokens: joint.tokens() });
            }
            note = self.shorten(note, &joint, joint.tokens() - max_length);
            joint = self.joint(note, summary)?;
        }
        if self.fuses(note, &joint)? {
            return Err(DatasetError::RowFuses);
        }
        let tokens_cut = whole.saturating_sub(joint.tokens());
        let Joint { mut ids, first_target, .. } = joint;
        ids.push(self.eos_id);
        let example = Example { ids, first_target, index, line: record.line };
        Ok(Encoded::Fits { example, tokens_cut })
    }

    /// Refuses a template whose end can become one token with the first characters of a summary:
    /// training would then see other prompt ids than generation.
    ///
    /// # Errors
    /// [`DatasetError::TemplateFuses`] with the characters found; and if the tokenizer fails.
    pub fn check_border(&self) -> Result<(), DatasetError> {
        if self.border.get().is_some() {
            return Ok(());
        }
        // Any note will do, as long as its end cannot be what fuses.
        let note = "Note.";
        let prompt = self.template.render(note);
        let found =
            border::probes(&prompt, self.tokenizer()).into_par_iter().find_map_first(|start| {
                match self.joint(note, &start).and_then(|joint| self.fuses(note, &joint)) {
                    Ok(false) => None,
                    Ok(true) => {
                        Some(DatasetError::TemplateFuses { end: self.template.end(), start })
                    }
                    Err(error) => Some(error),
                }
            });
        if let Some(error) = found {
            return Err(error);
        }
        self.border.get_or_init(|| ());
        Ok(())
    }

    /// An example as text: what is given, and what the model is trained to produce.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn pieces(&self, example: &Example) -> Result<[Piece; 2], DatasetError> {
        let (given, learnt) = example.ids.split_at(example.first_target);
        let piece = |ids: &[u32], trained| match self.tokenizer().decode(ids, false) {
            Ok(text) => Ok(Piece { text, trained }),
            Err(source) => Err(DatasetError::Encode { source }),
        };
        Ok([piece(given, false)?, piece(learnt, true)?])
    }

    /// The tokenizer itself, without truncation and padding; for decoding.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.text.tokenizer()
    }

    /// The template in use.
    pub fn template(&self) -> &PromptTemplate {
        &self.template
    }

    /// The ids that the tokenizer's post-processor puts before a text: normally BOS or nothing.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// The id that ends each example.
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// The highest id plus one, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.text.vocab_size()
    }

    fn joint(&self, note: &str, summary: &str) -> Result<Joint, DatasetError> {
        let mut text = self.template.render(note);
        let border = text.len();
        text.push_str(self.template.lead());
        text.push_str(summary);
        let encoded = self.encode(&text, note.len())?;
        let prompt = encoded.offsets.partition_point(|&(start, _)| start < border);
        let straddles = encoded.offsets[..prompt].iter().any(|&(_, end)| end > border);
        let tokens = encoded.ids.len();
        let ids = self.with_prefix(encoded.ids);
        let first_target = prompt + ids.len() - tokens;
        let starts = encoded.offsets.into_iter().map(|(start, _)| start).collect();
        Ok(Joint { ids, starts, first_target, straddles })
    }

    /// Offsets alone do not prove the border: a pre-tokenizer may look ahead. GPT-2's takes two line
    /// breaks at the end of a text as one piece, and as two before a letter.
    fn fuses(&self, note: &str, joint: &Joint) -> Result<bool, DatasetError> {
        Ok(joint.straddles || joint.ids[..joint.first_target] != self.prompt_ids(note)?)
    }

    /// The note without about `excess` tokens at its end, and at least one character shorter.
    fn shorten<'a>(&self, note: &'a str, joint: &Joint, excess: usize) -> &'a str {
        let start = self.template.before().len();
        let in_note = |at: &&usize| (start..start + note.len()).contains(*at);
        let starts: Vec<usize> = joint.starts.iter().filter(in_note).copied().collect();
        let kept = starts.len().saturating_sub(excess);
        let end = starts.get(kept).filter(|_| kept > 0).map_or(0, |at| at - start);
        note[..note.floor_char_boundary(end)].trim_end()
    }

    fn encode(&self, text: &str, note_len: usize) -> Result<super::text::TextIds, DatasetError> {
        self.text
            .encode(text, &self.template.own_bytes(note_len))
            .map_err(|source| DatasetError::Encode { source })
    }

    /// Exactly one BOS: added in front unless the template begins with it.
    fn with_prefix(&self, ids: Vec<u32>) -> Vec<u32> {
        if ids.starts_with(&self.prefix) { ids } else { [self.prefix.as_slice(), &ids].concat() }
    }
}

impl Joint {
    /// The length of the example: BOS and EOS included.
    fn tokens(&self) -> usize {
        self.ids.len() + 1
    }
}
