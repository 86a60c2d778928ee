//! Small tokenizers with the structure of real ones, trained here so that no file is needed.

use serde_json::{Value, json};
use sft_dataset::{PromptTemplate, PromptTokenizer};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer, Trainer,
};

const CORPUS: &str = "The patient is a 64-year-old man with chest pain and shortness of breath. \
    He has a history of hypertension, diabetes and heart failure. The patient denies fever. \
    Temperature 38.5 °C, 5 µg of fentanyl. Summary: the patient was admitted with chest pain. \
    Discharged home in stable condition. Clinical note: no known allergies. ### Summary of note. \
    The patient presents with a café-au-lait spot and pain in the chest. She denies chest pain.\n\n\
    axyz bxyz cxyz dxyz exyz fxyz yz yz\n\n";

/// A tokenizer.json as JSON, and the ids of its BOS and EOS.
pub(crate) struct Built {
    pub(crate) json: Value,
    pub(crate) bos: u32,
    pub(crate) eos: u32,
}

impl Built {
    pub(crate) fn load(&self, template: PromptTemplate) -> PromptTokenizer {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, self.json.to_string()).unwrap();
        PromptTokenizer::from_file(&path, template, self.eos).unwrap()
    }

    pub(crate) fn with_template(&self, template: &str) -> PromptTokenizer {
        self.load(PromptTemplate::new(template).unwrap())
    }

    /// The tokenizers library's own view of the file, without the truncation in it.
    pub(crate) fn reference(&self) -> Tokenizer {
        let mut json = self.json.clone();
        json["truncation"] = Value::Null;
        Tokenizer::from_bytes(json.to_string()).unwrap()
    }
}

/// Like Llama 2 and Mistral 7B v0.1: SentencePiece BPE with byte fallback, `▁` put in front by the
/// normaliser, BOS by a template processor. The file also truncates, which must be ignored.
pub(crate) fn sentencepiece() -> Built {
    let mut specials = vec!["<unk>".to_owned(), "<s>".to_owned(), "</s>".to_owned()];
    specials.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    let words = CORPUS.split_whitespace().map(|word| format!("▁{word}"));
    let mut model = trained(&specials, words.collect(), 500, false);
    model["unk_token"] = json!("<unk>");
    model["fuse_unk"] = json!(true);
    model["byte_fallback"] = json!(true);
    let json = json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": bos_first("<s>", 1),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": model,
    });
    Built { json, bos: 1, eos: 2 }
}

/// Like Mistral 7B v0.3: the same, but `▁` comes from a pre-tokenizer, at the start of the text
/// only, and `[INST]` is a control token.
pub(crate) fn metaspace() -> Built {
    let mut built = sentencepiece();
    let next = built.json["model"]["vocab"].as_object().unwrap().len();
    built.json["normalizer"] = Value::Null;
    built.json["pre_tokenizer"] =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false});
    let tokens = built.json["added_tokens"].as_array_mut().unwrap();
    tokens.push(added(next, "[INST]"));
    tokens.push(added(next + 1, "[/INST]"));
    built
}

/// Like Llama 3: byte-level BPE whose post-processor trims offsets and adds BOS. Some added tokens
/// are less usual: markup not marked special, one that takes white space with it, and a word.
pub(crate) fn byte_level() -> Built {
    let mut words = PreTokenizedString::from(CORPUS);
    ByteLevel::new(false, true, true).pre_tokenize(&mut words).unwrap();
    let words = words
        .get_splits(OffsetReferential::Original, OffsetType::Byte)
        .into_iter()
        .map(|(word, _, _)| word.to_owned())
        .collect();
    let model = trained(&[], words, 420, true);
    let first = model["vocab"].as_object().unwrap().len();
    let mut markup = added(first + 3, "<|im_start|>");
    markup["special"] = json!(false);
    let mut greedy = added(first + 4, "<|end|>");
    greedy["rstrip"] = json!(true);
    let mut word = added(first + 5, "dyspnoea");
    word["special"] = json!(false);
    word["normalized"] = json!(true);
    word["single_word"] = json!(true);
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [
            added(first, "<|begin_of_text|>"), added(first + 1, "<|end_of_text|>"),
            added(first + 2, "<|eot_id|>"), markup, greedy, word],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "Sequence", "processors": [
            {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            bos_first("<|begin_of_text|>", first)]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": model,
    });
    Built { json, bos: first as u32, eos: first as u32 + 2 }
}

pub(crate) fn all() -> [Built; 3] {
    [sentencepiece(), metaspace(), byte_level()]
}

fn trained(specials: &[String], words: Vec<String>, vocab_size: usize, bytes: bool) -> Value {
    let alphabet = if bytes { ByteLevel::alphabet().into_iter().collect() } else { [].into() };
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab_size)
        .initial_alphabet(alphabet)
        .special_tokens(specials.iter().map(|text| AddedToken::from(text, true)).collect())
        .build();
    trainer.feed(words.into_iter(), |word| Ok(vec![word.to_owned()])).unwrap();
    let mut model = BPE::default();
    trainer.train(&mut model).unwrap();
    serde_json::to_value(&model).unwrap()
}

fn added(id: usize, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true})
}

fn bos_first(token: &str, id: usize) -> Value {
    json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}}})
}
