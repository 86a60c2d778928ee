//! What a run says when there is no memory left.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::fs::File;
use std::process::Command;

use common::{Ended, Fixture};

const RUN: [&str; 4] =
    ["--model_name=model", "--train_csv=train.csv", "--max_steps=2", "--output_dir=out"];

/// A run in an address space of so many KiB.
fn within(fixture: &Fixture, kib: usize) -> Ended {
    let plain = fixture.command(&RUN);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &kib.to_string()]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(fixture.path(""));
    command.env("RAYON_NUM_THREADS", "1").env("HF_HUB_OFFLINE", "1").env("RUST_BACKTRACE", "1");
    Ended::from(command.output().unwrap())
}

#[test]
fn the_size_asked_for_and_the_remedies_are_named() {
    let fixture = Fixture::new();
    File::create(fixture.path("train.csv")).unwrap().set_len(1 << 30).unwrap();
    let ended = within(&fixture, 800_000);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let line = ended.error_line();
    assert!(line.starts_with("error: there is no memory left: 1024 MB more were asked"), "{line}");
    for remedy in ["--batch_size", "--gradient_checkpointing", "--memory_budget", "--quantize"] {
        assert!(line.contains(remedy), "{line}");
    }
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn with_any_amount_of_memory_a_run_ends_well_or_with_one_line() {
    let (mut exhausted, mut completed) = (0, 0);
    // Below this, the system cannot even load the program.
    for kib in (40_000..400_000).step_by(15_000) {
        let fixture = Fixture::new();
        let ended = within(&fixture, kib);
        match ended.code {
            Some(0) => completed += 1,
            Some(1) => {
                let errors =
                    ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
                assert_eq!(errors, 1, "{kib} KiB: {}", ended.stderr);
                assert!(
                    !ended.stderr.contains("fault in the program"),
                    "{kib} KiB: {}",
                    ended.stderr
                );
                exhausted += usize::from(ended.stderr.contains("there is no memory left"));
            }
            // The loader's own words.
            Some(127) => {
                assert!(ended.stderr.contains("shared librar"), "{kib} KiB: {}", ended.stderr);
            }
            other => panic!("{kib} KiB: {other:?}: {}", ended.stderr),
        }
    }
    println!("{exhausted} runs without enough memory said so, {completed} had enough");
    assert!(exhausted > 0 && completed > 0, "{exhausted} and {completed}");
}
