//! Adapter folders, their base, their template, and merging.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{TEMPLATE, write_adapter, write_model};
use sft_dataset::PromptTemplate;
use sft_inference::{
    Generation, GenerationParams, Generator, InferenceError, OpenOptions, merge_adapter,
};

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
    let template = Some(PromptTemplate::new(TEMPLATE).unwrap());
    let base =
        generate(&OpenOptions { prompt_template: template, ..OpenOptions::new(&folders.base) });
    // the same prompts, another text
    let prompts = |g: &[Generation]| g.iter().map(|g| g.prompt_tokens).collect::<Vec<_>>();
    assert_eq!(prompts(&adapted), prompts(&base));
    assert_ne!(ids(&adapted), ids(&base));
    // a template that is given wins, and a model alone has the default one
    let short = generate(&OpenOptions {
        prompt_template: Some(PromptTemplate::new("{clinical_note}\n").unwrap()),
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
    let error = refused(&OpenOptions::new(&elsewhere));
    assert!(matches!(error, InferenceError::BaseNotAFolder { .. }));
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

#[test]
fn names_that_are_no_folders() {
    let folders = folders();
    let error = refused(&OpenOptions::new("mistralai/Mistral-7B-v0.1"));
    assert!(error.to_string().contains("hf download mistralai/Mistral-7B-v0.1"), "{error}");
    assert!(matches!(refused(&OpenOptions::new("embedded")), InferenceError::EmbeddedBase));
    let embedded = folders.root.path().join("on_embedded");
    write_adapter(&embedded, &folders.base, "embedded");
    assert!(matches!(refused(&OpenOptions::new(&embedded)), InferenceError::EmbeddedBase));
    let twice =
        OpenOptions { base_model: Some(folders.base.clone()), ..OpenOptions::new(&folders.base) };
    assert!(matches!(refused(&twice), InferenceError::BaseWithoutAdapter { .. }));
    let no_base = OpenOptions {
        base_model: Some(Path::new("org/model").to_owned()),
        ..OpenOptions::new(&folders.adapter)
    };
    assert!(matches!(refused(&no_base), InferenceError::HubId { .. }));
    let no_base = OpenOptions { base_model: Some("meta-llama/Llama-2-7b".into()), ..no_base };
    let message = refused(&no_base).to_string();
    assert!(message.contains("hf download meta-llama/Llama-2-7b-hf "), "{message}");
    for path in [folders.root.path().join("nowhere"), "src/nowhere".into(), "nowhere".into()] {
        let error = refused(&OpenOptions::new(path));
        assert!(matches!(error, InferenceError::NotAFolder { .. }), "{error}");
        assert!(!error.to_string().contains("hf download"), "{error}");
    }
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
