//! The first command of a stranger: no flags, no network, and summaries that are right.
#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::Fixture;
use sft_dataset::Dataset;
use sft_eval::findings::{NoteFindings, check, read_jsonl};
use sft_inference::{GenerationParams, Generator, OpenOptions};
use sft_model::source::SourceOptions;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// The notes of a CSV file that the sidecar lists, with their findings.
fn notes(csv: &str, findings: &str) -> Vec<(String, NoteFindings)> {
    let rows = Dataset::read_csv(&fixtures(csv)).unwrap().records;
    let find = |id: &str| rows.iter().find(|row| row.id == id).unwrap().clinical_note.clone();
    let findings = read_jsonl(&fixtures(findings)).unwrap();
    findings.into_iter().map(|note| (find(&note.id), note)).collect()
}

/// The share of summaries that are complete and supported.
fn share(generator: &Generator, notes: &[(String, NoteFindings)]) -> f64 {
    let texts: Vec<String> = notes.iter().map(|(text, _)| text.clone()).collect();
    let summaries =
        generator.generate(&texts, &GenerationParams::default(), &mut |_, _| {}).unwrap();
    let good = notes.iter().zip(&summaries).filter(|((text, note), summary)| {
        let verdict = check(text, &note.findings, &summary.generated_summary);
        verdict.complete() && verdict.supported()
    });
    good.count() as f64 / notes.len() as f64
}

#[test]
fn the_first_command_teaches_the_small_base_its_task() {
    let fixture = Fixture::new();
    let mut command = fixture.command(&[]);
    let ended: common::Ended = command.env_remove("RAYON_NUM_THREADS").output().unwrap().into();
    let ended = ended.ok();

    // The contract's lines, and losses that fall.
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [epochs @ .., completed, saved] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(*completed, "Training completed!");
    assert_eq!(*saved, "Saved to ./models/sft_specialist/final_model");
    let stats = fixture.json("models/sft_specialist/training_stats.json");
    let stats = stats["epochs"].as_array().unwrap();
    assert_eq!(stats.len(), epochs.len());
    for loss in ["train_loss", "val_loss"] {
        let first = stats.first().unwrap()[loss].as_f64().unwrap();
        let last = stats.last().unwrap()[loss].as_f64().unwrap();
        assert!(last < first / 2.0, "{loss}: {first} -> {last}");
    }
    // Nobody's notes: the report shows three of them, with both summaries.
    let report = fixture.text("models/sft_specialist/report.html");
    assert_eq!(report.matches("<h4>Untouched base</h4>").count(), 3);
    assert!(ended.stderr.ends_with("report: ./models/sft_specialist/report.html\n"));
    let origin = |name: &str| {
        let line = ended.stderr.lines().find(|line| line.trim().starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!((origin("learning_rate "), origin("num_epochs ")), ("model".into(), "model".into()));

    let source =
        SourceOptions { cache_dirs: vec![fixture.path("cache/sft")], ..SourceOptions::from_env() };
    let options = OpenOptions {
        source,
        ..OpenOptions::new(fixture.path("models/sft_specialist/final_model"))
    };
    let mut generator = Generator::open(&options).unwrap();
    let readme = "Patient reports fever of 38.5°C and cough.".to_owned();
    let answer = generator.generate(&[readme], &GenerationParams::default(), &mut |_, _| {});
    assert_eq!(answer.unwrap()[0].generated_summary, "The patient has fever and cough.");

    let test =
        notes("phase1_data/sft/test_set_processed.csv", "phase1_data/sft/test_set_findings.jsonl");
    assert_eq!(test.len(), 150);
    let adapted = share(&generator, &test);
    assert!(adapted >= 0.9, "complete and supported: {adapted}");
    // Words that people use and the program that wrote the sample does not: 24 of 40 when this was written.
    let by_hand = notes("handwritten/notes.csv", "handwritten/findings.jsonl");
    assert_eq!(by_hand.len(), 40);
    let adapted = share(&generator, &by_hand);
    assert!(adapted >= 0.5, "complete and supported, of notes written by hand: {adapted}");
    generator.set_adapter_enabled(false);
    let base = share(&generator, &test);
    assert!(base < 0.2, "the untouched base: {base}");
}
