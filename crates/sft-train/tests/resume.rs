//! Runs that are stopped, killed, resumed or repeated into the same folder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Child;
use std::time::{Duration, Instant};

use common::{Ended, Fixture, tree};

const ADAPTER: &str = "out/final_model/adapter_model.safetensors";

/// 200 steps of two batches, with dropout, and a checkpoint every third step.
const RUN: [&str; 13] = [
    "--model_name=model",
    "--train_csv=train.csv",
    "--batch_size=2",
    "--gradient_accumulation_steps=2",
    "--lora_r=4",
    "--lora_alpha=12",
    "--lora_dropout=0.2",
    "--learning_rate=0.01",
    "--max_length=128",
    "--val_split=0.2",
    "--max_steps=200",
    "--save_steps=3",
    "--output_dir=out",
];

/// Lets a run work until it has written so many lines of metrics.
fn wait_for_steps(fixture: &Fixture, child: &mut Child, steps: usize) {
    wait_for_lines(fixture, "out/metrics.jsonl", child, steps);
}

fn wait_for_lines(fixture: &Fixture, file: &str, child: &mut Child, steps: usize) {
    let start = Instant::now();
    let done = || std::fs::read_to_string(fixture.path(file)).unwrap_or_default().lines().count();
    while done() < steps {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be stopped");
        assert!(start.elapsed() < Duration::from_mins(1), "the run does not get on");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let whole = Fixture::new();
    whole.run(&RUN).ok();

    let killed = Fixture::new();
    for steps in [8, 20] {
        let mut child = killed.command(&RUN).arg("--resume=auto").spawn().unwrap();
        wait_for_steps(&killed, &mut child, steps);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!killed.path("out/final_model").exists(), "killed too late");
    }
    // What was typed for the run is known to it: only where it lies has to be said.
    let ended = killed.run(&["--output_dir=out", "--resume=auto"]).ok();
    assert!(
        ended.stderr.contains("resuming") && ended.stderr.contains("resumed run"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stdout.ends_with("Training completed!\nSaved to out/final_model\n"),
        "{}",
        ended.stdout
    );
    assert_eq!(whole.read(ADAPTER), killed.read(ADAPTER));

    let losses = |fixture: &Fixture| -> Vec<(i64, String)> {
        let lines = fixture.text("out/metrics.jsonl");
        let lines =
            lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter(|l| l.get("grad_norm").is_some())
            .map(|l| (l["step"].as_i64().unwrap(), l["loss"].to_string()))
            .collect()
    };
    assert_eq!(losses(&whole), losses(&killed));
}

#[test]
fn a_checkpoint_can_be_named_and_knows_its_run() {
    let whole = Fixture::new();
    whole.run(&RUN).ok();

    let killed = Fixture::new();
    let mut child = killed.command(&RUN).spawn().unwrap();
    wait_for_steps(&killed, &mut child, 11);
    child.kill().unwrap();
    child.wait().unwrap();
    killed.run(&["--resume=out/checkpoint_step_3"]).ok();
    assert_eq!(whole.read(ADAPTER), killed.read(ADAPTER));
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let whole = Fixture::new();
    whole.run(&RUN).ok();

    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 5);
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(!ended.stdout.contains("Training completed!"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("stopped; the checkpoint is out/checkpoint_"),
        "{}",
        ended.stderr
    );
    let command = ended
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("note: to go on: sft-train "))
        .unwrap();
    fixture.run(&command.split(' ').collect::<Vec<_>>()).ok();
    assert_eq!(whole.read(ADAPTER), fixture.read(ADAPTER));
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let fixture = Fixture::new();
    let run = [&RUN[..], &["--max_steps=2"]].concat();
    let run: Vec<&str> = run.into_iter().filter(|arg| *arg != "--max_steps=200").collect();
    fixture.run(&[&run[..], &["--resume=auto"]].concat()).ok();
    let before = tree(&fixture.path("out"));
    let ended = fixture.run(&[&run[..], &["--resume", "auto"]].concat()).ok();
    assert!(ended.stderr.contains("already finished"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    assert_eq!(tree(&fixture.path("out")), before);

    // Nothing else is looked at: neither the model nor the data need be there any more.
    std::fs::remove_dir_all(fixture.path("model")).unwrap();
    std::fs::remove_file(fixture.path("train.csv")).unwrap();
    for resume in ["--resume=auto", "--resume=out/checkpoint_epoch_1"] {
        let ended = fixture.run(&["--output_dir=out", resume]).ok();
        assert!(ended.stderr.contains("already finished"), "{}", ended.stderr);
        assert_eq!(tree(&fixture.path("out")), before);
    }
}

#[test]
fn an_interrupted_replacement_is_resumed() {
    let finish = |fixture: &Fixture| {
        let first = ["--model_name=model", "--train_csv=train.csv", "--max_steps=1", "--lora_r=2"];
        fixture.run(&[&first[..], &["--output_dir=out"]].concat()).ok();
    };
    let whole = Fixture::new();
    finish(&whole);
    whole.run(&RUN).ok();

    let killed = Fixture::new();
    finish(&killed);
    let mut child = killed.command(&RUN).spawn().unwrap();
    wait_for_lines(&killed, "out/next_run/metrics.jsonl", &mut child, 8);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(killed.json("out/final_model/adapter_config.json")["r"], 2);
    let ended = killed.run(&["--output_dir=out", "--resume=auto"]).ok();
    assert!(ended.stderr.contains("resuming out/next_run/checkpoint_"), "{}", ended.stderr);
    assert_eq!(whole.read(ADAPTER), killed.read(ADAPTER));
    assert!(!killed.path("out/next_run").exists());
}

#[test]
fn a_diverged_run_fails_and_a_finished_one_stays() {
    let fixture = Fixture::new();
    let run = ["--model_name=model", "--train_csv=train.csv", "--max_steps=1", "--output_dir=out"];
    fixture.run(&run).ok();
    let before = tree(&fixture.path("out/final_model"));
    let ended = fixture.run(&[&run[..], &["--learning_rate=1e39", "--warmup_ratio=0"]].concat());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let line = ended.error_line();
    assert!(line.contains("diverged") && line.contains("lower --learning_rate"), "{line}");
    assert!(!ended.stdout.contains("Training completed!"), "{}", ended.stdout);
    assert_eq!(tree(&fixture.path("out/final_model")), before);
    assert!(fixture.path("out/next_run/checkpoint_epoch_1/trainer_state.json").is_file());
    // Each warning is said once, and in plain text where no terminal is.
    let warning = "the validation loss after step 1 is not finite";
    assert_eq!(ended.stderr.matches(warning).count(), 1, "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

#[test]
fn a_new_run_replaces_a_finished_one_when_it_is_complete() {
    let fixture = Fixture::new();
    let common = [
        "--model_name=model",
        "--train_csv=train.csv",
        "--val_split=0",
        "--max_steps=2",
        "--output_dir=out",
    ];
    fixture.run(&[&common[..], &["--lora_r=2"]].concat()).ok();
    fixture.run(&[&common[..], &["--lora_r=3"]].concat()).ok();
    assert_eq!(fixture.json("out/final_model/adapter_config.json")["r"], 3);
    assert!(fixture.text("out/run_config.toml").contains("lora_r = 3"));
}

#[test]
fn other_rows_and_settings_are_taken_where_that_is_allowed() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 8);
    child.kill().unwrap();
    child.wait().unwrap();
    fixture.write("train.csv", common::csv(&common::rows()[..4]));
    let resume = ["--output_dir=out", "--resume=auto", "--learning_rate=0.002"];
    let refused = fixture.run(&resume);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.error_line().contains("--allow_changes"), "{}", refused.stderr);

    let rank = [&resume[..], &["--allow-changes", "--lora_r=8", "--lora_alpha=12"]].concat();
    let refused = fixture.run(&rank);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.error_line().contains("no run can change r,"), "{}", refused.stderr);

    let ended = fixture.run(&[&resume[..], &["--allow_changes"]].concat()).ok();
    for name in ["training_data", "learning_rate was 0.01, now 0.002"] {
        let warned = |line: &&str| line.starts_with("warning: ") && line.contains(name);
        assert_eq!(ended.stderr.lines().filter(warned).count(), 1, "{name}: {}", ended.stderr);
    }
    let saved = fixture.text("out/run_config.toml");
    assert!(saved.contains("learning_rate = 0.002") && !saved.contains("allow_changes"), "{saved}");
    assert_eq!(fixture.json("out/training_stats.json")["steps"], 200);
}

#[test]
fn a_file_of_rows_that_changes_meanwhile_is_named() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&RUN).spawn().unwrap();
    wait_for_steps(&fixture, &mut child, 3);
    fixture.write("train.csv", common::csv(&common::rows()[..4]));
    let ended = Ended::from(child.wait_with_output().unwrap()).ok();
    let warned = |line: &&str| line.starts_with("warning: train.csv has changed since this run");
    assert_eq!(ended.stderr.lines().filter(warned).count(), 1, "{}", ended.stderr);
}
