//! Signals: stop, stop at once, save.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Ended, Fixture};

const RUN: [&str; 8] = [
    "--model_name=model",
    "--train_csv=train.csv",
    "--batch_size=2",
    "--lora_r=4",
    "--val_split=0",
    "--max_length=128",
    "--max_steps=300",
    "--output_dir=out",
];
const ADAPTER: &str = "out/final_model/adapter_model.safetensors";

fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

fn wait_for_steps(fixture: &Fixture, child: &mut Child, steps: usize) {
    let start = Instant::now();
    let done = || {
        std::fs::read_to_string(fixture.path("out/metrics.jsonl"))
            .unwrap_or_default()
            .lines()
            .count()
    };
    while done() < steps {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it got a signal");
        assert!(start.elapsed() < Duration::from_mins(1), "the run does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_polite_signal_saves_and_says_how_to_go_on() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let fixture = Fixture::new();
        let mut child = fixture.command(&RUN).spawn().unwrap();
        wait_for_steps(&fixture, &mut child, 3);
        send(&child, signal);
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(130), "{signal}: {}", ended.stderr);
        assert!(ended.stderr.contains("to go on: sft-train"), "{signal}: {}", ended.stderr);
    }
}

#[test]
fn usr1_saves_and_the_run_goes_on_to_the_same_bytes() {
    let whole = Fixture::new();
    whole.run(&RUN).ok();
    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 3);
    // Folders come and go meanwhile.
    let steps = || {
        let names =
            std::fs::read_dir(fixture.path("out")).unwrap().flatten().map(|entry| entry.path());
        let is_step =
            |path: &std::path::PathBuf| path.to_string_lossy().contains("/checkpoint_step_");
        names.filter(|path| is_step(path) && path.join("manifest.json").exists()).count()
    };
    let start = Instant::now();
    while steps() == 0 {
        // At the end of an epoch a checkpoint is saved anyway: ask again.
        send(&child, "-USR1");
        std::thread::sleep(Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none(), "the run ended without having saved");
        assert!(start.elapsed() < Duration::from_mins(1));
    }
    Ended::from(child.wait_with_output().unwrap()).ok();
    assert!(steps() >= 1);
    assert!(whole.read(ADAPTER) == fixture.read(ADAPTER));
}

/// Also when nobody reads what the program prints.
#[test]
fn a_second_signal_leaves_at_once() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 3);
    send(&child, "-STOP"); // so that both signals come before the end of the step
    send(&child, "-INT");
    std::thread::sleep(Duration::from_millis(20));
    send(&child, "-CONT");
    // The step under way is finished within milliseconds here: only that a second one harms nothing can be seen.
    send(&child, "-INT");
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    fixture.run(&["--output_dir=out", "--resume=auto"]).ok();
}
