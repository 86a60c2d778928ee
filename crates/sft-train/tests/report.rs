//! What shows a run: its report, its curve in the terminal, its events for TensorBoard.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Child;
use std::time::{Duration, Instant};

use common::{Ended, Fixture, tree};

const RUN: [&str; 8] = [
    "--model_name=model",
    "--train_csv=train.csv",
    "--batch_size=2",
    "--lora_r=4",
    "--max_length=128",
    "--val_split=0.2",
    "--max_steps=400",
    "--output_dir=out",
];

fn wait_for_steps(fixture: &Fixture, child: &mut Child, steps: usize) {
    let start = Instant::now();
    let lines = || std::fs::read_to_string(fixture.path("out/metrics.jsonl")).unwrap_or_default();
    while lines().lines().count() < steps {
        assert!(child.try_wait().unwrap().is_none(), "the run ended too early");
        assert!(start.elapsed() < Duration::from_mins(1), "the run does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn short(fixture: &Fixture, args: &[&str]) -> Ended {
    fixture.run(&[&RUN[..], &["--max_steps=6"], args].concat())
}

#[test]
fn a_complete_run_leaves_its_report_and_names_it_last() {
    let fixture = Fixture::new();
    let ended = short(&fixture, &["--early_stopping_patience=1", "--eval_steps=1"]).ok();
    assert_eq!(ended.stderr.lines().last(), Some("report: out/report.html"), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let [.., completed, saved] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((completed, saved), ("Training completed!", "Saved to out/final_model"));
    let report = fixture.text("out/report.html");
    for text in [
        ">Complete<",
        "data-key=\"/stats/train_seconds\"",
        "data-key=\"/data/validation/prompt_tokens/median\"",
        "held out of train.csv",
        "<code>6</code></td><td>flag",
        "base weights",
        "--report_examples 3",
    ] {
        assert!(report.contains(text), "{text} is missing");
    }
}

#[test]
fn examples_are_summarised_with_and_without_the_adapter() {
    let fixture = Fixture::new();
    // A rate at which the adapter changes what is said.
    let changed = ["--report_examples=1", "--learning_rate=0.05", "--val_split=0"];
    let ended = short(&fixture, &changed).ok();
    assert!(ended.stderr.contains("summarising "), "{}", ended.stderr);
    let report = fixture.text("out/report.html");
    assert_eq!(report.matches("<h4>Note</h4>").count(), 1, "no more than were asked for");
    let summary = |heading: &str| {
        let (_, rest) = report.split_once(&format!("<h4>{heading}</h4><p>")).unwrap();
        rest.split_once("</p>").unwrap().0.to_owned()
    };
    let (tuned, base) = (summary("Fine-tuned model"), summary("Untouched base"));
    assert_ne!(tuned, base);
    assert!(report.contains("<h4>Note</h4><p>") && report.contains("<h4>Reference</h4><p>"));
    // The adapter on disk is the one of the run, though the model was used without it.
    let adapter = fixture.read("out/final_model/adapter_model.safetensors");
    let other = Fixture::new();
    short(&other, &changed[1..]).ok();
    assert!(adapter == other.read("out/final_model/adapter_model.safetensors"));
    assert!(!other.text("out/report.html").contains("<h4>"));
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_has_a_report_too_and_its_curve_can_be_seen_meanwhile() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&[&RUN[..], &["--tensorboard"]].concat()).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 5);
    let before = fixture.text("out/metrics.jsonl").lines().count();
    let shown = fixture.run(&["--show", "out"]).ok();
    assert!(shown.stdout.starts_with("out (not complete)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("train      first "), "{}", shown.stdout);
    let step = shown.stdout.split("step ").nth(1).unwrap().split(',').next().unwrap();
    assert!(step.parse::<usize>().unwrap() * 2 >= before, "{}", shown.stdout);

    let id = child.id().to_string();
    let killed = std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(killed.success());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("report: out/report.html"), "{}", ended.stderr);
    let report = fixture.text("out/report.html");
    assert!(report.contains("Not complete") && report.contains("/derived/planned_steps"));

    let resumed = fixture.run(&["--output_dir=out", "--resume=auto"]).ok();
    assert!(resumed.stderr.contains("report: out/report.html"), "{}", resumed.stderr);
    assert!(fixture.text("out/report.html").contains(">Complete<"));
    let events = tree(&fixture.path("out/tensorboard"));
    assert_eq!(events.len(), 2, "a file for each process");
    for (path, bytes) in &events {
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        for tag in ["brain.Event:2", "loss/train", "learning_rate", "grad_norm", "tokens_per_s"] {
            assert!(has(tag), "{}: {tag}", path.display());
        }
    }
    let last = &events[1].1;
    assert!(last.windows(9).any(|window| window == b"loss/eval"));

    let shown = fixture.run(&["--show", "out"]).ok();
    assert!(shown.stdout.starts_with("out (complete)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("validation first "), "{}", shown.stdout);
}

/// The training is what took hours.
#[test]
fn a_report_that_cannot_be_written_fails_nothing() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 3);
    fixture.write("out/report.html/in_the_way", "");
    let ended = Ended::from(child.wait_with_output().unwrap()).ok();
    assert!(ended.stdout.ends_with("Saved to out/final_model\n"), "{}", ended.stdout);
    let warning = ended.stderr.lines().find(|line| line.starts_with("warning: the report"));
    assert!(warning.is_some_and(|line| line.contains("out/report.html")), "{}", ended.stderr);
}

#[test]
fn where_no_run_is_nothing_can_be_shown() {
    let fixture = Fixture::new();
    let ended = fixture.run(&["--show", "nowhere"]);
    assert_eq!(ended.code, Some(1));
    let line = ended.error_line();
    assert!(line.contains("nowhere/metrics.jsonl") && line.contains("folder of a run"), "{line}");
    assert_eq!(ended.stdout, "");
    assert!(!fixture.path("nowhere").exists());
}
