//! Text to ids, where control strings are control tokens in the template and text elsewhere.

use super::{added_tokens::AddedTokens, precompiled};
use std::ops::Range;
use tokenizers::models::bpe::BPE;
use tokenizers::tokenizer::{Model, Normalizer, PreTokenizer};
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, OffsetType, PostProcessorWrapper, PreTokenizedString,
    PreTokenizerWrapper, Tokenizer, TokenizerImpl,
};

/// A tokenizer whose file can be read without a detour.
type BpeTokenizer = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Ids with the bytes of the text that each stands for.
pub(super) struct TextIds {
    pub(super) ids: Vec<u32>,
    pub(super) offsets: Vec<(usize, usize)>,
}

/// A tokenizer's stages, run one by one.
///
/// `Tokenizer::encode` finds control strings anywhere or nowhere; a prompt needs them found in the
/// template alone. So the first stage, the search for added tokens, is this crate's, and the
/// others (normaliser, pre-tokenizer, model) are the tokenizer's own. Without a control string in
/// the note the ids are those of `Tokenizer::encode`. No post-processor runs: offsets stay exact
/// (a byte-level one would trim spaces off them) and BOS is added where it is known to belong.
pub(super) struct TextEncoder {
    tokenizer: Tokenizer,
    raw: AddedTokens,
    normalized: AddedTokens,
}

impl TextEncoder {
    /// Reads a `tokenizer.json`.
    pub(super) fn from_json(bytes: &[u8]) -> tokenizers::Result<Self> {
        precompiled::check(bytes)?;
        // The library tries one kind of model after the other on a copy of the file as a tree, which
        // takes several times as long as knowing the kind. Nearly every file's is BPE.
        let tokenizer = match serde_json::from_slice::<BpeTokenizer>(bytes) {
            Ok(tokenizer) => tokenizer.into(),
            Err(_) => Tokenizer::from_bytes(bytes)?,
        };
        Self::new(tokenizer)
    }

    fn new(mut tokenizer: Tokenizer) -> tokenizers::Result<Self> {
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let (raw, normalized) = (AddedTokens::raw(&tokenizer), AddedTokens::normalized(&tokenizer));
        Ok(Self { tokenizer, raw, normalized })
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The highest id plus one, added tokens included.
    pub(super) fn vocab_size(&self) -> usize {
        let ids = self.tokenizer.get_vocab(true);
        ids.values().max().map_or(0, |&highest| highest as usize + 1)
    }

    /// The ids of a text in which control strings count inside the `trusted` byte ranges only.
    pub(super) fn encode(
        &self,
        text: &str,
        trusted: &[Range<usize>],
    ) -> tokenizers::Result<TextIds> {
        let mut string = PreTokenizedString::from(text);
        string.split(|_, piece| Ok(self.raw.split(piece, trusted)))?;
        string.split(|_, mut piece| {
            if let Some(normalizer) = self.tokenizer.get_normalizer() {
                normalizer.normalize(&mut piece)?;
            }
            Ok(self.normalized.split(piece, &[]))
        })?;
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut string)?;
        }
        string.tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get()))?;
        let encoding = string.into_encoding(None, 0, OffsetType::Byte)?;
        Ok(TextIds { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }

    /// The ids that the post-processor puts before a text, normally BOS or nothing.
    pub(super) fn prefix(&self) -> tokenizers::Result<Vec<u32>> {
        let with = self.tokenizer.encode("a", true)?;
        let without = self.tokenizer.encode("a", false)?;
        let (with, without) = (with.get_ids(), without.get_ids());
        let text = with.windows(without.len().max(1)).position(|window| window == without);
        Ok(with[..text.unwrap_or(0)].to_vec())
    }
}
