//! What a run may take, what it is planned to take, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Fixture;

const ADAPTER: &str = "final_model/adapter_model.safetensors";

/// A model of 6.5 B parameters whose weights are missing: only its config.json can be read.
fn large() -> Fixture {
    let fixture = Fixture::new();
    let mut config = fixture.json("model/config.json");
    for (name, value) in [
        ("hidden_size", 4096),
        ("intermediate_size", 11008),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("num_key_value_heads", 32),
        ("head_dim", 128),
    ] {
        config[name] = value.into();
    }
    fixture.write("model/config.json", config.to_string());
    fixture.write("model/model.safetensors", "not weights");
    fixture
}

/// The first number of gigabytes after a word.
fn gigabytes(line: &str, word: &str) -> f64 {
    let rest = line.split_once(word).unwrap_or_else(|| panic!("no `{word}` in: {line}")).1;
    rest.trim_start().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_run_that_cannot_fit_is_refused_before_any_weight_is_read() {
    let fixture = large();
    let ended = fixture.train(&["--val_split=0", "--dtype=f32", "--memory_budget=20GB"]);
    assert_eq!(ended.code, Some(1));
    let line = ended.error_line().to_owned();
    for part in ["the 20.00 GB of --memory_budget", "--dtype bf16 (", "--quantize nf4 ("] {
        assert!(line.contains(part), "no `{part}` in: {line}");
    }
    assert!(!fixture.path("models").exists(), "nothing is written");

    let just_less = format!("--memory_budget={}GB", gigabytes(&line, "training takes") - 0.05);
    let ended = fixture.train(&["--val_split=0", "--dtype=f32", &just_less]);
    let line = ended.error_line();
    assert!(line.contains("--batch_size 4 --gradient_accumulation_steps 2 ("), "{line}");

    let ended = fixture.train(&["--val_split=0", "--memory_budget=1GB", "--dry_run"]);
    assert!(ended.error_line().contains("take a smaller model"), "{}", ended.error_line());

    // What fits is refused by its weights.
    let ended = fixture.train(&["--val_split=0", "--dtype=bf16", "--memory_budget=40GB"]);
    assert!(ended.error_line().contains("model.safetensors"), "{}", ended.error_line());
}

#[test]
fn the_plan_is_printed_and_kept_and_changes_no_byte() {
    let fixture = Fixture::new();
    let short = ["--max_steps=2", "--val_split=0"];
    let run = |out: &str, more: &[&str]| {
        let out = format!("--output_dir={out}");
        fixture.train(&[&short[..], &[&out], more].concat()).ok()
    };
    let ended = run("kept", &[]);
    assert!(ended.stderr.contains("(0 of 2 blocks recomputed)"), "{}", ended.stderr);
    assert!(ended.stderr.contains(" free: weights 0.00"), "{}", ended.stderr);
    let ended = run("again", &["--gradient_checkpointing", "--memory_budget=30GB"]);
    assert!(ended.stderr.contains("predicted of 30.00 GB allowed"), "{}", ended.stderr);
    assert!(ended.stderr.contains("(2 of 2 blocks recomputed)"), "{}", ended.stderr);
    assert_eq!(fixture.read(&format!("kept/{ADAPTER}")), fixture.read(&format!("again/{ADAPTER}")));
    let stats = fixture.json("again/training_stats.json");
    assert_eq!(stats["recomputed_blocks"], 2);
    assert!(stats["predicted_memory_mb"].as_f64().unwrap() > 1.0);

    let ended = fixture.train(&[&short[..], &["--dry_run"]].concat()).ok();
    assert!(ended.stdout.contains("blocks recomputed"), "{}", ended.stdout);
}
