//! Adapter folders, their base, their template, and merging.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{EOS, TEMPLATE, write_adapter, write_model};
use sft_dataset::{PromptTemplate, TemplateChoice};
use sft_inference::{
    Generation, GenerationParams, Generator, InferenceError, OpenOptions, merge_adapter,
};
use sft_model::ModelError;
use sft_model::source::{HubOptions, SourceError, SourceOptions};

struct Folders {
    root: tempfile::TempDir,
    base: PathBuf,
    adapter: PathBuf,
}

fn folders() -> Folders {
    let root = tempfile::tempdir().unwrap();
    let (base, adapter) = (root.path().join("base"), root.path().join("adapter"));
    write_model(&base, 1);
    write_adapter(&adapter, &base, base.to_str().unwrap());
    Folders { root, base, adapter }
}

fn generate(options: &OpenOptions) -> Vec<Generation> {
    let notes = ["Fever and cough.", "SpO2 97 %, no pain at all", "x"].map(str::to_owned);
    let params = GenerationParams { max_new_tokens: 20, ..GenerationParams::default() };
    Generator::open(options).unwrap().generate(&notes, &params, &mut |_, _| {}).unwrap()
}

fn ids(generations: &[Generation]) -> Vec<&[u32]> {
    generations.iter().map(|g| g.ids.as_slice()).collect()
}

fn refused(options: &OpenOptions) -> InferenceError {
    Generator::open(options).err().unwrap()
}

#[test]
fn an_adapter_folder_brings_its_base_and_template() {
    let folders = folders();
    let adapted = generate(&OpenOptions::new(&folders.adapter));
    let template = Some(PromptTemplate::new(TEMPLATE).unwrap().into());
    let base =
        generate(&OpenOptions { prompt_template: template, ..OpenOptions::new(&folders.base) });
    // the same prompts, another text
    let prompts = |g: &[Generation]| g.iter().map(|g| g.prompt_tokens).collect::<Vec<_>>();
    assert_eq!(prompts(&adapted), prompts(&base));
    assert_ne!(ids(&adapted), ids(&base));
    // a template that is given wins, and a model alone has the default one
    let short = generate(&OpenOptions {
        prompt_template: Some(PromptTemplate::new("{clinical_note}\n").unwrap().into()),
        ..OpenOptions::new(&folders.adapter)
    });
    assert!(short[0].prompt_tokens < adapted[0].prompt_tokens);
    let generator = Generator::open(&OpenOptions::new(&folders.base)).unwrap();
    assert_eq!(generator.prompts().template(), &PromptTemplate::default());
}

#[test]
fn another_base_can_be_given() {
    let folders = folders();
    let expected = generate(&OpenOptions::new(&folders.adapter));
    let elsewhere = folders.root.path().join("elsewhere");
    write_adapter(&elsewhere, &folders.base, "some/hub-id");
    let error = refused(&offline(&folders, &elsewhere));
    assert!(matches!(&error, InferenceError::Base { source, .. }
        if matches!(**source, SourceError::Offline { .. })));
    assert!(
        error.to_string().contains("some/hub-id") && error.to_string().contains("--base-model")
    );

    let given =
        OpenOptions { base_model: Some(folders.base.clone()), ..OpenOptions::new(&elsewhere) };
    assert_eq!(ids(&generate(&given)), ids(&expected));
    // another base, another text
    let other = folders.root.path().join("other");
    write_model(&other, 2);
    let given = OpenOptions { base_model: Some(other), ..OpenOptions::new(&folders.adapter) };
    assert_ne!(ids(&generate(&given)), ids(&expected));
}

#[test]
fn the_tokenizer_saved_with_the_adapter_comes_first() {
    let folders = folders();
    let expected = generate(&OpenOptions::new(&folders.adapter));
    fs::remove_file(folders.base.join("tokenizer.json")).unwrap();
    assert_eq!(ids(&generate(&OpenOptions::new(&folders.adapter))), ids(&expected));
    // without it the base's serves
    fs::rename(folders.adapter.join("tokenizer.json"), folders.base.join("tokenizer.json"))
        .unwrap();
    assert_eq!(ids(&generate(&OpenOptions::new(&folders.adapter))), ids(&expected));
}

#[test]
fn merged_it_generates_the_same_text() {
    let folders = folders();
    let expected = generate(&OpenOptions::new(&folders.adapter));
    let merged = folders.root.path().join("merged");
    merge_adapter(&folders.adapter, None, &merged).unwrap();
    assert!(!merged.join("adapter_config.json").exists());
    // the template went along
    let generations = generate(&OpenOptions::new(&merged));
    assert_eq!(ids(&generations), ids(&expected));
    assert_eq!(generations[0].prompt_tokens, expected[0].prompt_tokens);

    let before = fs::read(merged.join("model.safetensors")).unwrap();
    let error = merge_adapter(&folders.adapter, None, &merged).unwrap_err();
    assert!(matches!(error, InferenceError::MergeTargetInUse { .. }));
    assert_eq!(fs::read(merged.join("model.safetensors")).unwrap(), before);
    let error = merge_adapter(&merged, None, &folders.root.path().join("again")).unwrap_err();
    assert!(matches!(error, InferenceError::NothingToMerge { .. }));
    let empty = folders.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    merge_adapter(&folders.adapter, Some(&folders.base), &empty).unwrap();
    assert_eq!(fs::read(empty.join("model.safetensors")).unwrap(), before);
}

/// Without a network, and with caches that nobody else uses.
fn offline(folders: &Folders, model_path: impl Into<PathBuf>) -> OpenOptions {
    let cache = folders.root.path().join("cache");
    let hub = HubOptions { offline: true, cache: Some(cache.clone()), ..HubOptions::default() };
    let source = SourceOptions { revision: None, cache_dirs: vec![cache], hub };
    OpenOptions { source, ..OpenOptions::new(model_path) }
}

#[test]
fn names_that_lead_nowhere() {
    let folders = folders();
    let source = |error| match error {
        InferenceError::Model(ModelError::Source(source)) => source,
        other => panic!("{other}"),
    };
    let error = source(refused(&offline(&folders, "meta-llama/Llama-2-7b")));
    assert!(matches!(error, SourceError::Offline { .. }), "{error}");
    assert!(error.to_string().contains("meta-llama/Llama-2-7b-hf "), "{error}");
    let no_base =
        OpenOptions { base_model: Some("org/model".into()), ..offline(&folders, &folders.adapter) };
    assert!(matches!(source(refused(&no_base)), SourceError::Offline { .. }));
    let twice =
        OpenOptions { base_model: Some(folders.base.clone()), ..offline(&folders, &folders.base) };
    assert!(matches!(refused(&twice), InferenceError::BaseWithoutAdapter { .. }));
    for path in [folders.root.path().join("nowhere"), "nowhere".into()] {
        let error = source(refused(&offline(&folders, path)));
        assert!(matches!(error, SourceError::NoFolder { .. }), "{error}");
    }
    // The folder `src` is there, so this is no id of the hub.
    let hidden = source(refused(&offline(&folders, "src/nowhere")));
    assert!(matches!(hidden, SourceError::Hidden { .. }), "{hidden}");
}

#[test]
fn the_embedded_model_and_an_adapter_on_it() {
    let folders = folders();
    let base = Generator::open(&offline(&folders, "embedded")).unwrap();
    assert!(!base.has_adapter());
    // An adapter of another shape shows by its error that it meets the embedded model.
    let adapter = folders.root.path().join("on_embedded");
    write_adapter(&adapter, &folders.base, "embedded");
    let error = refused(&offline(&folders, &adapter)).to_string();
    assert!(error.contains("q_proj.lora_A has shape [3, 32]"), "{error}");
}

#[test]
fn the_folder_of_a_run_is_not_its_adapter() {
    let folders = folders();
    let run = folders.root.path().join("run");
    write_adapter(&run.join("final_model"), &folders.base, "base");
    let error = refused(&OpenOptions::new(&run));
    assert!(matches!(error, InferenceError::RunFolder { .. }), "{error}");
    assert!(error.to_string().ends_with("run/final_model"), "{error}");
}

#[test]
fn the_adapter_can_be_switched_off_and_on() {
    let folders = folders();
    let options = OpenOptions::new(&folders.adapter);
    let notes = ["Fever and cough.", "x"].map(str::to_owned);
    let params = GenerationParams { max_new_tokens: 20, ..GenerationParams::default() };
    let run = |generator: &Generator| generator.generate(&notes, &params, &mut |_, _| {}).unwrap();

    let mut generator = Generator::open(&options).unwrap();
    assert!(generator.has_adapter());
    let on = run(&generator);
    generator.set_adapter_enabled(false);
    let off = run(&generator);
    generator.set_adapter_enabled(true);
    assert_eq!(ids(&run(&generator)), ids(&on));
    assert_ne!(ids(&off), ids(&on));

    // off it is the base, also when the adapter is merged
    let mut removed = Generator::open(&options).unwrap();
    removed.decoder_mut().remove_lora().unwrap();
    assert!(!removed.has_adapter());
    assert_eq!(ids(&off), ids(&run(&removed)));
    generator.decoder_mut().merge_lora().unwrap();
    generator.set_adapter_enabled(false);
    assert_eq!(ids(&off), ids(&run(&generator)));
}

#[test]
fn what_an_adapter_learnt_to_end_at_is_enough() {
    let folders = folders();
    let mut config = common::config();
    config["eos_token_id"] = serde_json::Value::Null;
    common::write_json(&folders.base.join("config.json"), &config);
    let generator = Generator::open(&OpenOptions::new(&folders.adapter)).unwrap();
    assert_eq!((generator.prompts().eos_id(), generator.stop_ids()), (EOS, &[EOS][..]));
    // nothing is known of the base alone
    let error = refused(&OpenOptions::new(&folders.base)).to_string();
    assert!(error.contains("eos_token_id"), "{error}");
    // merged, other tools know it too
    let merged = folders.root.path().join("merged");
    merge_adapter(&folders.adapter, None, &merged).unwrap();
    for name in ["config.json", "generation_config.json"] {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(merged.join(name)).unwrap()).unwrap();
        assert_eq!(json["eos_token_id"], EOS, "{name}");
    }
    let generator = Generator::open(&OpenOptions::new(&merged)).unwrap();
    assert_eq!(generator.stop_ids(), [EOS]);
}

#[test]
fn a_chat_template_may_lie_beside_the_base_alone() {
    let folders = folders();
    let options = OpenOptions {
        prompt_template: Some(TemplateChoice::Chat),
        ..OpenOptions::new(&folders.adapter)
    };
    let error = refused(&options).to_string();
    assert!(error.contains("has no chat template"), "{error}");
    let chat = "{% for m in messages %}{{ m.content + '<|end|>\\n' }}{% endfor %}";
    fs::write(folders.base.join("chat_template.jinja"), chat).unwrap();
    let generator = Generator::open(&options).unwrap();
    assert!(generator.prompts().template().text().ends_with("{clinical_note}<|end|>\n"));
    assert_eq!((generator.prompts().eos_id(), generator.stop_ids()), (3, &[EOS, 3][..]));
    // the adapter's own comes first
    let own = chat.replace("<|end|>", "</s>");
    fs::write(folders.adapter.join("chat_template.jinja"), own).unwrap();
    assert_eq!(Generator::open(&options).unwrap().prompts().eos_id(), EOS);
}
