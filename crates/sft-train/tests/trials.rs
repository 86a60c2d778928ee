//! `--cross_validate` and `--suggest` as users run them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fixture, csv, rows, tree};

/// A number behind a word of a line.
fn number(line: &str, word: &str) -> f64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("{word}: {line}"));
    let end = rest.trim_start().find(|c: char| !"0123456789.".contains(c));
    let rest = rest.trim_start();
    rest[..end.unwrap_or(rest.len())].parse().unwrap()
}

const RUN: [&str; 4] =
    ["--max_length=128", "--num_epochs=2", "--batch_size=2", "--learning_rate=1e-2"];

#[test]
fn folds_are_trained_in_turn_and_nothing_is_written() {
    let fixture = Fixture::new();
    let before = tree(&fixture.path(""));
    let flags = [&RUN[..], &["--cross_validate=3", "--val_split=0"]].concat();
    let ended = fixture.train(&flags).ok();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let folds: Vec<&&str> = lines.iter().filter(|line| line.starts_with("Fold ")).collect();
    assert_eq!(folds.len(), 3, "{}", ended.stdout);
    let held: f64 = folds.iter().map(|line| number(line, "rows,")).sum();
    let trained: f64 = folds.iter().map(|line| number(line, "(")).sum();
    assert_eq!(trained, 2.0 * held, "each row is held out once and trained on twice");
    let losses: Vec<f64> = folds.iter().map(|line| number(line, "Val Loss")).collect();
    let result = lines.iter().find(|line| line.starts_with("Cross validation:")).unwrap();
    let mean = losses.iter().sum::<f64>() / 3.0;
    assert!((number(result, "Val Loss") - mean).abs() < 2e-3, "{result}: {losses:?}");
    assert!(number(result, "interval") < mean && number(result, "to ") > mean, "{result}");
    for part in ["Val Loss by epoch: ", "Recited: "] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part}: {}", ended.stdout);
    }
    assert_eq!(tree(&fixture.path("")).len(), before.len(), "nothing is written");
    assert_eq!(fixture.train(&flags).ok().stdout, ended.stdout, "the same each time");

    // A fold is what a run on the other rows is.
    let mut reversed = rows();
    reversed.reverse();
    fixture.write("reversed.csv", csv(&reversed));
    let other = fixture
        .run(&[&["--model_name=model", "--train_csv=reversed.csv"], &flags[..]].concat())
        .ok();
    assert_ne!(other.stdout, ended.stdout, "notes are dealt in the order of the file");
}

#[test]
fn a_rate_and_a_rank_are_suggested_within_the_time() {
    let fixture = Fixture::new();
    let flags = [&RUN[..], &["--suggest=10m", "--lora_r=4", "--val_split=0.3"]].concat();
    let ended = fixture.train(&flags).ok();
    let tried: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("learning_rate ")).collect();
    assert_eq!(tried.len(), 9, "{}", ended.stdout);
    for (rate, rank) in [("1.00e-2", 4), ("3.00e-2", 8), ("3.33e-3", 2)] {
        let name = format!("learning_rate {rate}, lora_r {rank}: ");
        assert!(tried.iter().any(|line| line.starts_with(&name)), "{name}: {tried:?}");
    }
    let lowest = tried.iter().map(|line| number(line, "Val Loss")).fold(f64::INFINITY, f64::min);
    let advice = ended.stdout.lines().last().unwrap();
    let rank = number(advice, "--lora_r");
    let chosen = tried
        .iter()
        .filter(|line| number(line, "lora_r") == rank)
        .map(|line| number(line, "Val Loss"))
        .fold(f64::INFINITY, f64::min);
    assert!(advice.starts_with("Use --learning_rate ") && chosen <= 1.021 * lowest, "{advice}");

    let short = [&RUN[..], &["--suggest=0.001s", "--val_split=0.3", "--lora_r=4"]].concat();
    let ended = fixture.train(&short).ok();
    assert_eq!(ended.stdout.lines().filter(|l| l.starts_with("learning_rate ")).count(), 1);
    assert!(ended.stderr.contains("1 of 9 settings"), "{}", ended.stderr);
    assert!(
        ended.stdout.ends_with("Nothing to compare with: give more time\n"),
        "{}",
        ended.stdout
    );
    assert!(!fixture.path("models").exists());
}

#[test]
fn a_setting_that_diverges_is_one_of_several() {
    let fixture = Fixture::new();
    let flags = [
        "--max_length=128",
        "--num_epochs=2",
        "--learning_rate=1e30",
        "--max_grad_norm=0",
        "--lora_r=4",
    ];
    let ended = fixture.train(&[&flags[..], &["--suggest=10m", "--val_split=0.3"]].concat()).ok();
    assert_eq!(ended.stdout.matches(": diverged").count(), 9, "{}", ended.stdout);
    assert!(ended.stdout.contains("lower --learning_rate"), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let fixture = Fixture::new();
    for (flags, code, part) in [
        (&["--cross_validate=1"][..], 2, "from 2 to"),
        (&["--cross_validate=1000"], 2, "from 2 to"),
        (&["--suggest=10m", "--val_split=0"], 2, "--val_csv"),
        (&["--suggest=soon"], 2, "90s, 10m or 2h"),
        (&["--suggest=10m", "--cross_validate=3"], 2, "cannot be used with"),
        (&["--cross_validate=3", "--dry_run"], 2, "cannot be used with"),
    ] {
        let refused = fixture.train(flags);
        assert_eq!(refused.code, Some(code), "{flags:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(part), "{flags:?}: {}", refused.stderr);
    }
}
