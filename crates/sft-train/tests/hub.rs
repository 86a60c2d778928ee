//! Training from a model of a hub, over a stand-in, and from nothing but the program.
#![cfg(all(feature = "hub", feature = "embedded"))]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../sft-model/tests/stand_in/mod.rs"]
mod stand_in;

use common::{Ended, Fixture};
use stand_in::{Repo, StandIn, files};

fn over(hub: &StandIn, fixture: &Fixture, args: &[&str]) -> Ended {
    let mut command = fixture.command(args);
    command.env("HF_ENDPOINT", &hub.url).env_remove("HF_HUB_OFFLINE").env_remove("HF_HUB_CACHE");
    command.output().unwrap().into()
}

#[test]
fn a_model_of_the_hub_trains_at_a_revision() {
    let fixture = Fixture::new();
    fixture.write("model/recommended_sft.toml", "lora_r = 2\nnum_epochs = 7\n");
    let repo = Repo::default().revision("v1", "abcd", files(&fixture.path("model")));
    let hub = StandIn::new([("owner/base", repo)]);
    let args = |more: &[&'static str]| {
        let usual = ["--model_name=owner/base", "--train_csv=train.csv", "--max_steps=2"];
        [&usual, more].concat()
    };
    let refused = over(&hub, &fixture, &args(&[]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.error_line().contains("no revision `main`"), "{}", refused.stderr);
    // A slip in the settings shows before anything is fetched.
    hub.requests();
    assert_eq!(over(&hub, &fixture, &args(&["--revision=v1", "--batch_size=0"])).code, Some(2));
    assert!(hub.requests().is_empty());

    let ended = over(&hub, &fixture, &args(&["--revision=v1", "--output_dir=out"])).ok();
    assert!(ended.stderr.contains("downloading model.safetensors"), "{}", ended.stderr);
    assert!(ended.stderr.contains("lora_r"), "{}", ended.stderr);
    let shown = ended.stderr.lines().find(|line| line.trim().starts_with("lora_r ")).unwrap();
    assert!(shown.contains('2') && shown.ends_with("model"), "{shown}");
    let config = fixture.json("out/final_model/adapter_config.json");
    assert_eq!(config["base_model_name_or_path"], "owner/base");
    assert_eq!(config["revision"], "v1");
    assert_eq!(config["r"], 2);
    assert_eq!(fixture.json("out/training_stats.json")["completed"], true);

    // The cache serves the next run, also without the hub.
    let args = args(&["--revision=v1", "--output_dir=again"]);
    let ended = fixture.run(&args).ok();
    assert!(!ended.stderr.contains("downloading"), "{}", ended.stderr);
    let adapter = "final_model/adapter_model.safetensors";
    assert!(fixture.read(&format!("out/{adapter}")) == fixture.read(&format!("again/{adapter}")));
}

#[test]
fn the_commit_is_recorded_and_a_bad_recommendation_is_named() {
    let fixture = Fixture::new();
    let first = files(&fixture.path("model"));
    fixture.write("model/recommended_sft.toml", "num_epochs = 0\n");
    let repo = Repo::new(first.clone()).revision("bad", "dead", files(&fixture.path("model")));
    let hub = StandIn::new([("owner/base", repo)]);
    let args = ["--model_name=owner/base", "--train_csv=train.csv", "--max_steps=1"];
    over(&hub, &fixture, &[&args[..], &["--output_dir=out"]].concat()).ok();
    assert_eq!(fixture.json("out/final_model/adapter_config.json")["revision"], "c0ffee00");
    assert!(fixture.text("out/run_config.toml").contains("revision = \"c0ffee00\""));

    let refused = over(&hub, &fixture, &[&args[..2], &["--revision=bad"]].concat());
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let line = refused.error_line();
    assert!(line.contains("recommended_sft.toml") && line.contains("num_epochs"), "{line}");
}

#[test]
fn without_any_flag_the_embedded_model_and_sample_are_used() {
    let fixture = Fixture::new();
    let ended = fixture.run(&["--max_steps=1", "--batch_size=1", "--max_length=512"]).ok();
    assert!(ended.stderr.contains("synthetic sample data"), "{}", ended.stderr);
    assert!(ended.stdout.contains("Val Loss"), "{}", ended.stdout);
    let config = fixture.json("models/sft_specialist/final_model/adapter_config.json");
    assert_eq!(config["base_model_name_or_path"], "embedded");
    let saved = fixture.text("models/sft_specialist/run_config.toml");
    assert!(saved.contains("train_csv = \"embedded\"") && saved.contains("val_csv = \"embedded\""));
    fixture.run(&["--config=models/sft_specialist/run_config.toml", "--output_dir=again"]).ok();
}

#[test]
fn a_file_in_the_place_of_phase_1_comes_before_the_sample() {
    let fixture = Fixture::new();
    fixture.write("phase1_data/sft/train_set_processed.csv", fixture.read("train.csv"));
    let ended = fixture.run(&["--model_name=model", "--dry_run"]).ok();
    assert!(!ended.stdout.contains("synthetic"), "{}", ended.stdout);
    assert!(ended.stdout.contains("phase1_data/sft/train_set_processed.csv"), "{}", ended.stdout);
}

#[test]
fn the_token_is_nowhere_in_what_is_said_or_written() {
    const TOKEN: &str = "hf_Zebrafinch4711secret";
    let fixture = Fixture::new();
    let hub = StandIn::new([
        ("owner/base", Repo::new(files(&fixture.path("model"))).gated(TOKEN)),
        ("owner/closed", Repo::new(files(&fixture.path("model"))).gated("another")),
    ]);
    let mut asked = 0;
    for (model, code) in [("owner/base", 0), ("owner/closed", 1), ("owner/missing", 1)] {
        let name = format!("--model_name={model}");
        let mut command =
            fixture.command(&[&name, "--train_csv=train.csv", "--max_steps=1", "--output_dir=out"]);
        command
            .env("HF_ENDPOINT", &hub.url)
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("HF_HUB_CACHE");
        command.env("HF_TOKEN", TOKEN).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        let ended = Ended::from(command.output().unwrap());
        assert_eq!(ended.code, Some(code), "{model}: {}", ended.stderr);
        for text in [&ended.stdout, &ended.stderr] {
            assert!(
                !text.contains(TOKEN) && !text.contains("Zebrafinch"),
                "{model} shows the token"
            );
        }
        // It was used, or this test would say nothing.
        let with_token = hub.with_token().len();
        assert!(with_token > asked, "{model}: no request had the token");
        asked = with_token;
    }
    for (path, content) in common::tree(&fixture.path("")) {
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("Zebrafinch"), "{} has the token", path.display());
    }
}
