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
fn within(fixture: &Fixture, kib: usize, args: &[&str]) -> Ended {
    let plain = fixture.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &kib.to_string()]);
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(fixture.path(""));
    command.env("RAYON_NUM_THREADS", "1").env("HF_HUB_OFFLINE", "1").env("RUST_BACKTRACE", "1");
    command.env("XDG_CACHE_HOME", fixture.path("cache"));
    Ended::from(command.output().unwrap())
}

#[test]
fn the_size_asked_for_and_the_remedies_are_named() {
    let fixture = Fixture::new();
    File::create(fixture.path("train.csv")).unwrap().set_len(1 << 30).unwrap();
    let ended = within(&fixture, 800_000, &RUN);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let line = ended.error_line();
    assert!(line.starts_with("error: there is no memory left: 1024 MB more were asked"), "{line}");
    for remedy in ["--batch_size", "--gradient_checkpointing", "--memory_budget", "--quantize"] {
        assert!(line.contains(remedy), "{line}");
    }
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[cfg(feature = "embedded")]
#[test]
fn with_any_amount_of_memory_a_run_ends_well_or_with_one_line() {
    let fixture = Fixture::new();
    let (mut exhausted, mut completed, mut not_loaded) = (0, 0, 0);
    for kib in (35_000..190_000).step_by(5_000) {
        let out = format!("--output_dir=out-{kib}");
        let args = ["--model_name=embedded", "--train_csv=train.csv", "--max_steps=2", &out];
        let ended = within(&fixture, kib, &args);
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        match ended.code {
            Some(0) => completed += 1,
            Some(1) if errors == 1 => {
                exhausted += usize::from(ended.stderr.contains("there is no memory left"));
            }
            // The system cannot load the program.
            None | Some(127) if errors == 0 && exhausted + completed == 0 => not_loaded += 1,
            other => panic!("{kib} KiB: {other:?}: {}", ended.stderr),
        }
        assert!(!ended.stderr.contains("fault in the program"), "{kib} KiB: {}", ended.stderr);
    }
    println!(
        "no memory left: {exhausted} said so, {completed} had enough, {not_loaded} not loaded"
    );
    assert!(exhausted > 5 && completed > 0, "{exhausted} and {completed}");
}
