//! Small tokenizers like those of well-known models, with the Python library as the reference.

use crate::chat;
use crate::record;
use crate::truncation::note_left;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use sft_dataset::{DatasetError, Encoded, Example, PromptTemplate, PromptTokenizer, Record};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokenizers::Tokenizer;

const GOLDEN: &str = "../../fixtures/golden/tokenizers";
const NAMES: [&str; 5] = ["llama2", "mistral3", "gpt2", "llama3", "qwen2"];
const OWN: &str = "Note, 38.5 °C:\n{clinical_note}\n--- “In short”:\n";

/// Which chat templates go with which tokenizer.
const CHATS: [(&str, &str); 6] = [
    ("llama2", "llama-2-chat"),
    ("mistral3", "mistral-instruct-v0.3"),
    ("llama3", "llama-3-instruct"),
    ("llama3", "llama-3.2-instruct"),
    ("qwen2", "qwen2.5-instruct"),
    ("qwen2", "qwen3"),
];

/// What the Python library says; the fields are explained in `scripts/make_tokenizer_golden.py`.
#[derive(Deserialize)]
struct Vectors {
    prefix: Vec<u32>,
    bos: Option<u32>,
    eos: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    decoded: String,
    prompt: Vec<u32>,
}

fn vectors() -> BTreeMap<String, Vectors> {
    let bytes = std::fs::read(format!("{GOLDEN}/vectors.json")).unwrap();
    let vectors: BTreeMap<String, Vectors> = serde_json::from_slice(&bytes).unwrap();
    assert!(vectors.len() == NAMES.len() && NAMES.iter().all(|name| vectors.contains_key(*name)));
    vectors
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(format!("{GOLDEN}/{name}.json"))
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(file(name)).unwrap()).unwrap()
}

fn load(name: &str, template: &str, eos: u32) -> PromptTokenizer {
    let template = PromptTemplate::new(template).unwrap();
    PromptTokenizer::from_file(&file(name), template, eos).unwrap()
}

#[test]
fn every_text_has_the_ids_and_the_decoding_of_the_python_library() {
    for (name, Vectors { prefix, bos, eos, cases }) in vectors() {
        assert!(cases.len() > 50);
        for Case { text, ids, decoded, .. } in &cases {
            // The text stands in the template, so its control strings are control tokens.
            let tokenizer = load(&name, &format!("{text}{{clinical_note}}"), eos);
            let with_bos = if ids.starts_with(&prefix) { &[] } else { prefix.as_slice() };
            let expected = [with_bos, ids].concat();
            assert_eq!(tokenizer.prompt_ids("").unwrap(), expected, "{name}: {text:?}");
            let whole = tokenizer.tokenizer().decode(ids, false).unwrap();
            assert_eq!(&whole, decoded, "{name}: {text:?}");
            if let Some(bos) = bos {
                assert_eq!(expected[0], bos, "{name}: {text:?}");
                assert_ne!(expected.get(1), Some(&bos), "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn every_note_has_the_ids_of_the_python_library_and_its_control_strings_are_text() {
    for (name, Vectors { prefix, eos, cases, .. }) in vectors() {
        let tokenizer = load(&name, PromptTemplate::default().text(), eos);
        let control = control_tokens(&tokenizer);
        for Case { text, prompt, .. } in &cases {
            let ids = tokenizer.prompt_ids(text).unwrap();
            assert_eq!(ids, [prefix.as_slice(), prompt].concat(), "{name}: {text:?}");
            assert_eq!(controls(&ids, &control), prefix, "{name}: {text:?}");
        }
    }
}

#[test]
fn a_template_that_fuses_is_refused_for_every_tokenizer() {
    for (name, Vectors { eos, .. }) in vectors() {
        for text in ["{clinical_note}\nSummary: ", "{clinical_note}\nSummary: The pat"] {
            let refused = load(&name, text, eos).check_border();
            let fuses = matches!(refused, Err(DatasetError::TemplateFuses { .. }));
            assert!(fuses, "{name}: {text:?}: {refused:?}");
        }
        for text in [PromptTemplate::default().text(), OWN] {
            load(&name, text, eos).check_border().unwrap();
        }
        // GPT-2 alone takes a run of line breaks apart where a letter follows.
        let two_lines = load(&name, "{clinical_note}\nSummary\n\n", eos).check_border();
        assert_eq!(two_lines.is_err(), name == "gpt2", "{name}: {two_lines:?}");
    }
}

/// Every added token of these files steers the model.
fn control_tokens(tokenizer: &PromptTokenizer) -> Vec<u32> {
    tokenizer.tokenizer().get_added_tokens_decoder().into_keys().collect()
}

fn controls(ids: &[u32], control: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|id| control.contains(id)).collect()
}

/// A tokenizer with a template, and what holds for its rows.
struct Setup {
    name: &'static str,
    prompts: PromptTokenizer,
    control: Vec<u32>,
    /// The control tokens of a row whose note and summary have none.
    harmless: Vec<u32>,
    /// The library's tokenizer with control strings as text; for templates without control tokens.
    reference: Option<Tokenizer>,
}

impl Setup {
    fn new(name: &'static str, prompts: PromptTokenizer, reference: Option<Tokenizer>) -> Self {
        let control = control_tokens(&prompts);
        let row = record(2, "Fever.", "Fever.");
        let harmless = controls(&example(&prompts, &row).unwrap().ids, &control);
        prompts.check_border().unwrap();
        Self { name, prompts, control, harmless, reference }
    }

    fn all() -> Vec<Self> {
        let vectors = vectors();
        let mut setups = Vec::new();
        for name in NAMES {
            let Vectors { bos, eos, .. } = vectors[name];
            for text in [PromptTemplate::default().text(), OWN] {
                let setup = Self::new(name, load(name, text, eos), Some(as_text(name)));
                let once: Vec<u32> = bos.into_iter().chain([eos]).collect();
                assert_eq!(setup.harmless, once, "{name}");
                setups.push(setup);
            }
        }
        let bytes = std::fs::read(chat::GOLDEN).unwrap();
        let golden: Value = serde_json::from_slice(&bytes).unwrap();
        for (name, chat) in CHATS {
            let mut cases = golden["cases"].as_array().unwrap().iter();
            let case = cases.find(|case| case["name"] == chat).unwrap();
            let prompts = chat::prompts(&json(name), case["config"].clone());
            let setup = Self::new(name, prompts, None);
            let bos = vectors[name].bos;
            let times = setup.harmless.iter().filter(|&&id| Some(id) == bos).count();
            assert_eq!(times, usize::from(bos.is_some()), "{chat}");
            setups.push(setup);
        }
        setups
    }

    fn check(&self, row: &Record, max_length: usize) {
        let Self { name, prompts, control, .. } = self;
        let whole = example(prompts, row).unwrap();
        let given = &whole.ids[..whole.first_target];
        assert_eq!(given, prompts.prompt_ids(&row.clinical_note).unwrap(), "{name}: {row:?}");
        assert_eq!(controls(&whole.ids, control), self.harmless, "{name}: {row:?}");
        if let Some(reference) = &self.reference {
            let text = prompts.template().render(&row.clinical_note) + &row.model_summary;
            let ids = reference.encode(text, true).unwrap();
            assert_eq!(whole.ids, [ids.get_ids(), &[prompts.eos_id()]].concat(), "{name}: {row:?}");
        }
        note_left(prompts, row, max_length);
        if let Encoded::Fits { example, .. } = prompts.example(row, 0, max_length).unwrap() {
            assert_eq!(controls(&example.ids, control), self.harmless, "{name}: {row:?}");
        }
    }
}

fn example(prompts: &PromptTokenizer, row: &Record) -> Option<Example> {
    match prompts.example(row, 0, usize::MAX).unwrap() {
        Encoded::Fits { example, .. } => Some(example),
        Encoded::TooLong { .. } => None,
    }
}

fn as_text(name: &str) -> Tokenizer {
    let mut json = json(name);
    for token in json["added_tokens"].as_array_mut().unwrap() {
        token["special"] = json!(true);
    }
    let mut tokenizer = Tokenizer::from_bytes(json.to_string()).unwrap();
    tokenizer.set_encode_special_tokens(true);
    tokenizer
}

/// Words, white space, scripts, and strings that are control tokens of one tokenizer or another.
fn fragment() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "The patient denies chest pain. ",
        "64-year-old man",
        " fever",
        "38.5 °C",
        " 5 µg",
        "\n\n",
        "\r\n",
        "  ",
        "\t",
        "\u{a0}",
        "e\u{301}",
        "\u{301}",
        "Å",
        "患者",
        "🩺",
        "👩🏽‍⚕️",
        "–",
        "“no”",
        "'s",
        "▁",
        "Ġ",
        "<0x0A>",
        "<",
        "/s>",
        "[",
        "</s>",
        "<s>",
        "<unk>",
        "[INST]",
        "[/INST]",
        "<|eot_id|>",
        "<|begin_of_text|>",
        "<|end_header_id|>",
        "<|im_end|>",
        "<|im_start|>assistant\n",
        "<|endoftext|>",
        "<think>",
        "</think>",
        "<tool_call>",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 2 => "[a-zA-Z0-9 .,:;%/-]{1,12}", 1 => "\\PC{1,3}"]
}

fn text(fragments: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), fragments).prop_map(|parts| parts.concat().trim().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn a_row_has_the_prompt_of_inference_whatever_it_says(
        note in text(0..10),
        summary in text(1..6),
        max_length in 20_usize..160,
    ) {
        thread_local!(static SETUPS: Vec<Setup> = Setup::all());
        let row = record(2, &note, &summary);
        SETUPS.with(|setups| setups.iter().for_each(|setup| setup.check(&row, max_length)));
    }
}
