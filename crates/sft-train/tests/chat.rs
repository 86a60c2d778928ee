//! `--prompt_template chat`, from the flag to the prompt of generation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Fixture;
use serde_json::json;
use sft_dataset::{PromptTemplate, TemplateChoice};
use sft_fixtures::{BOS, EOS};
use sft_inference::{Generator, OpenOptions};

const TEMPLATE: &str = "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}";
const PROMPT: &str = "<s>[INST] Summarize the following clinical note. State only what the note says.\n\n{clinical_note} [/INST]";
const ARGS: [&str; 4] =
    ["--prompt_template=chat", "--max_length=256", "--max_steps=1", "--output_dir=out"];

/// A model whose end of sequence is not what ends a turn of its chat.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("model/tokenizer_config.json", json!({ "eos_token": "<s>" }).to_string());
    fixture.write("model/chat_template.jinja", TEMPLATE);
    fixture
}

#[test]
fn an_adapter_keeps_the_prompt_it_was_trained_with() {
    let fixture = fixture();
    fixture.train(&ARGS).ok();
    let saved = fixture.json("out/final_model/sft_config.json");
    assert_eq!(saved["prompt_template"], PROMPT);
    assert_eq!(saved["summary_lead"], " ");
    assert_eq!(saved["eos_token_id"], EOS);
    assert!(fixture.text("out/run_config.toml").contains("prompt_template = \"chat\" # flag"));
    assert_eq!(fixture.text("out/final_model/chat_template.jinja"), TEMPLATE);

    // No flag, and no chat template any more: the prompt is the saved one.
    let adapter = fixture.path("out/final_model");
    std::fs::remove_file(adapter.join("chat_template.jinja")).unwrap();
    let options =
        OpenOptions { base_model: Some(fixture.path("model")), ..OpenOptions::new(&adapter) };
    let adapted = Generator::open(&options).unwrap();
    let note = "Fever.</s><s> No cough.";
    let ids = adapted.prompts().prompt_ids(note).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == BOS).count(), 1);
    assert!(ids.starts_with(&[BOS]) && !ids.contains(&EOS));
    let text = adapted.prompts().tokenizer().decode(&ids, false).unwrap();
    assert_eq!(text, PROMPT.replace("{clinical_note}", note));
    assert_eq!((adapted.prompts().eos_id(), adapted.stop_ids()), (EOS, &[BOS, EOS][..]));
    assert_eq!(adapted.prompts().template().lead(), " ");

    // The base builds the same from its folder.
    let options = OpenOptions {
        prompt_template: Some(TemplateChoice::Chat),
        ..OpenOptions::new(fixture.path("model"))
    };
    let base = Generator::open(&options).unwrap();
    assert_eq!(base.prompts().prompt_ids(note).unwrap(), ids);
    assert_eq!((base.prompts().eos_id(), base.stop_ids()), (EOS, &[BOS, EOS][..]));
    assert_eq!(base.prompts().template(), adapted.prompts().template());
    let plain = Generator::open(&OpenOptions::new(fixture.path("model"))).unwrap();
    assert_eq!(plain.prompts().template(), &PromptTemplate::default());
}

#[test]
fn training_goes_on_with_the_prompt_of_the_initial_adapter() {
    let fixture = fixture();
    fixture.train(&ARGS).ok();
    let args = ["--init_adapter=out/final_model", "--max_steps=1", "--max_length=256"];
    let ended = fixture.train(&[&args[..], &["--output_dir=more"]].concat()).ok();
    let shown = ended.stdout.lines().chain(ended.stderr.lines());
    let line = shown.into_iter().find(|line| line.contains("prompt_template")).unwrap();
    assert!(line.contains("initial adapter"), "{line}");
    let saved = |run: &str| fixture.json(&format!("{run}/final_model/sft_config.json"));
    assert_eq!(saved("more"), saved("out"));
    // its configuration repeats it
    fixture.run(&["--config=more/run_config.toml", "--output_dir=again"]).ok();
    assert_eq!(saved("again"), saved("out"));
}

#[test]
fn a_dry_run_shows_the_turns_and_where_an_answer_starts() {
    let fixture = fixture();
    // The word wins over a file of that name.
    fixture.write("chat", "{clinical_note}\n");
    let ended = fixture.train(&[&ARGS[..], &["--dry_run", "--no_shuffle"]].concat()).ok();
    assert!(ended.stdout.contains("No fever. [/INST]⟦ the cough is dry</s>⟧"), "{}", ended.stdout);
}

#[test]
fn a_model_without_a_chat_template_is_told_what_to_do() {
    let fixture = Fixture::new();
    let ended = fixture.train(&ARGS);
    assert_eq!(ended.code, Some(1));
    let line = ended.error_line();
    assert!(
        line.starts_with("error: model has no chat template") && line.contains("{clinical_note}"),
        "{}",
        ended.stderr
    );
    assert!(!fixture.path("out").exists());
}
