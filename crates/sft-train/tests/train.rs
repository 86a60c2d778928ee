//! Whole runs of the binary: what they write, say and repeat.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fixture, tree};

const ADAPTER: &str = "final_model/adapter_model.safetensors";

/// Settings under which everything random is at work.
const SHORT: [&str; 10] = [
    "--batch_size=2",
    "--gradient_accumulation_steps=2",
    "--lora_r=4",
    "--lora_alpha=12",
    "--lora_dropout=0.2",
    "--learning_rate=0.01",
    "--max_length=128",
    "--val_split=0.2",
    "--seed=7",
    "--num_epochs=2",
];

#[test]
fn a_run_leaves_its_files_and_says_so() {
    let fixture = Fixture::new();
    let ended = fixture.train(&[&SHORT[..], &["--output_dir", "./out"]].concat()).ok();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", ended.stdout);
    for (line, start) in lines.iter().zip(["Epoch 1/2: Train Loss ", "Epoch 2/2: Train Loss "]) {
        let (train, val) = line.strip_prefix(start).unwrap().split_once(", Val Loss ").unwrap();
        for loss in [train, val] {
            assert!(
                loss.parse::<f64>().unwrap() > 0.0 && loss.split_once('.').unwrap().1.len() == 2,
                "{line}"
            );
        }
    }
    assert_eq!(lines[2..], ["Training completed!", "Saved to ./out/final_model"]);
    for name in [
        "final_model/adapter_config.json",
        ADAPTER,
        "final_model/adapter_model.bin",
        "final_model/tokenizer.json",
        "final_model/tokenizer_config.json",
        "final_model/sft_config.json",
        "training_stats.json",
        "metrics.jsonl",
        "run_config.toml",
        "checkpoint_epoch_1/adapter_model.safetensors",
        "checkpoint_epoch_2/adapter_config.json",
    ] {
        assert!(fixture.path("out").join(name).is_file(), "{name} is missing");
    }
    let config = fixture.json("out/final_model/adapter_config.json");
    assert_eq!((&config["r"], &config["lora_alpha"]), (&4.into(), &12.into()));
    assert_eq!(config["base_model_name_or_path"], "model");
    assert_eq!(fixture.json("out/final_model/sft_config.json")["max_length"], 128);
    let run_config = fixture.text("out/run_config.toml");
    assert!(
        run_config.contains("lora_r = 4 # flag")
            && run_config.contains("dtype = \"f32\" # default"),
        "{run_config}"
    );
    // The settings with their origins, the data and the plan stand on standard error.
    for text in [
        "lora_alpha",
        "12.0",
        "flag",
        "default",
        "labels: factual 9, hallucinated 1",
        "trainable",
        "optimizer steps",
    ] {
        assert!(ended.stderr.contains(text), "{text} is missing in:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("Diabetes"), "no text of a note");
}

#[test]
fn without_validation_there_is_no_validation_loss() {
    let fixture = Fixture::new();
    let ended = fixture.train(&["--val_split=0", "--max_steps=2", "--output_dir", "out/"]).ok();
    assert!(
        ended.stdout.starts_with("Epoch 1/1: Train Loss ")
            || ended.stdout.starts_with("Epoch 1/2: Train Loss ")
    );
    assert!(!ended.stdout.contains("Val Loss"), "{}", ended.stdout);
    assert!(
        ended.stdout.ends_with("Training completed!\nSaved to out/final_model\n"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_validation_file_is_used_and_shared_notes_are_noted() {
    let fixture = Fixture::new();
    fixture.write("val.csv", common::csv(&common::rows()[..3]));
    let ended = fixture.train(&["--val_csv=val.csv", "--max_steps=1", "--output_dir=out"]).ok();
    assert!(ended.stdout.contains(", Val Loss "), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("3 notes of val.csv are also in the training file"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_dry_run_shows_everything_and_writes_nothing() {
    let fixture = Fixture::new();
    let before = tree(&fixture.path(""));
    let ended = fixture
        .train(&["--dry_run", "--no_shuffle", "--lora_target_modules=q_proj,down_proj"])
        .ok();
    assert!(!fixture.path("models").exists());
    assert_eq!(tree(&fixture.path("")), before);
    for text in [
        "./models/sft_specialist",
        "flag",
        "default",
        "2 layers, hidden size 16",
        "trainable",
        "%",
        "q_proj: 2 layers, r 16",
        "down_proj: 2 layers, r 16",
        "labels: factual 9, hallucinated 1",
        "tokens a row",
        "p50",
        "optimizer steps",
        "2 epochs",
        "### Clinical note:\nPatient has a cough.\nNo fever.",
        "### Summary:\n⟦the cough is dry</s>⟧",
    ] {
        assert!(ended.stdout.contains(text), "{text} is missing in:\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("⟧\n").count(), 2, "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "no colour into a pipe");
    assert!(!ended.stdout.contains("v_proj: "), "{}", ended.stdout);
}

#[test]
fn the_saved_configuration_repeats_the_run() {
    let fixture = Fixture::new();
    fixture.write("template.txt", "Note: {clinical_note}\nIn short:\n");
    fixture
        .train(&[&SHORT[..], &["--prompt_template=template.txt", "--output_dir=one"]].concat())
        .ok();
    fixture.write("template.txt", "something else");
    fixture.run(&["--config=one/run_config.toml", "--output_dir=two"]).ok();
    assert_eq!(fixture.read(&format!("one/{ADAPTER}")), fixture.read(&format!("two/{ADAPTER}")));
    assert_eq!(
        fixture.json("two/final_model/sft_config.json")["prompt_template"],
        "Note: {clinical_note}\nIn short:\n"
    );
}

#[test]
fn threads_and_recomputation_change_no_byte() {
    let fixture = Fixture::new();
    let adapter = |threads: &str, extra: &[&str], out: &str| {
        let args = [
            &["--model_name=model", "--train_csv=train.csv", "--output_dir", out],
            &SHORT[..],
            extra,
        ]
        .concat();
        let output = fixture.command(&args).env("RAYON_NUM_THREADS", threads).output().unwrap();
        common::Ended::from(output).ok();
        fixture.read(&format!("{out}/{ADAPTER}"))
    };
    let one = adapter("1", &[], "one");
    assert_eq!(adapter("2", &[], "two"), one);
    assert_eq!(adapter("2", &["--gradient_checkpointing"], "recomputed"), one);
    assert_ne!(
        adapter("1", &["--seed=8"], "other"),
        one,
        "the seed matters, so equal bytes mean something"
    );
}

/// Nine rows of uneven length: every second window is the single row that is left over.
#[test]
fn a_window_gives_the_same_ten_losses_however_it_is_cut() {
    let fixture = Fixture::new();
    let losses = |batch: usize, windows: usize, threads: &str, checkpointing: bool| {
        let out = format!("out_{batch}_{windows}_{threads}_{checkpointing}");
        let args = [
            "--model_name=model",
            "--train_csv=train.csv",
            "--max_length=160",
            "--lora_dropout=0.1",
            "--learning_rate=0.01",
            "--max_steps=10",
            "--val_split=0",
            &format!("--batch_size={batch}"),
            &format!("--gradient_accumulation_steps={windows}"),
            &format!("--output_dir={out}"),
        ];
        let mut command = fixture.command(&args);
        command.env("RAYON_NUM_THREADS", threads);
        if checkpointing {
            command.arg("--gradient_checkpointing");
        }
        common::Ended::from(command.output().unwrap()).ok();
        let metrics = fixture.text(&format!("{out}/metrics.jsonl"));
        let lines = metrics.lines().map(|line| serde_json::from_str(line).unwrap());
        let losses: Vec<f64> =
            lines.filter_map(|line: serde_json::Value| line["loss"].as_f64()).collect();
        assert_eq!(losses.len(), 10);
        losses
    };
    let whole = losses(8, 1, "1", false);
    assert!(whole[9] < whole[0] - 0.05, "ten steps change the loss: {whole:?}");
    for (batch, windows) in [(8, 1), (4, 2), (2, 4), (1, 8)] {
        let cut = losses(batch, windows, "1", false);
        for (step, (cut, whole)) in cut.iter().zip(&whole).enumerate() {
            let off = (cut / whole - 1.0).abs();
            assert!(off < 1e-5, "{batch}x{windows}, step {}: {cut} for {whole}", step + 1);
        }
        // One shape, one result: neither threads nor recomputation may show.
        for (threads, checkpointing) in [("1", true), ("2", false), ("2", true)] {
            let again = losses(batch, windows, threads, checkpointing);
            assert_eq!(again, cut, "{batch}x{windows}, {threads} threads, {checkpointing}");
        }
    }
}

#[test]
fn an_initial_adapter_gives_rank_and_targets() {
    let fixture = Fixture::new();
    fixture
        .train(&[&SHORT[..], &["--lora_target_modules=v_proj,q_proj", "--output_dir=one"]].concat())
        .ok();
    let ended = fixture
        .train(&[
            "--init_adapter=one/final_model",
            "--max_steps=2",
            "--val_split=0",
            "--output_dir=two",
        ])
        .ok();
    assert!(ended.stderr.contains("initial adapter"), "{}", ended.stderr);
    let config = fixture.json("two/final_model/adapter_config.json");
    assert_eq!((&config["r"], &config["lora_alpha"]), (&4.into(), &12.into()));
    assert_eq!(config["target_modules"], serde_json::json!(["q_proj", "v_proj"]));
    assert_ne!(fixture.read(&format!("one/{ADAPTER}")), fixture.read(&format!("two/{ADAPTER}")));
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_run() {
    let fixture = Fixture::new();
    let args = ["--model_name=model", "--train_csv=train.csv", "--max_steps=3", "--output_dir=out"];
    let mut child = fixture.command(&args).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(fixture.path("out").join(ADAPTER).is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn a_dry_run_whose_output_is_lost_fails() {
    let fixture = Fixture::new();
    let args = ["--model_name=model", "--train_csv=train.csv", "--dry_run"];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = common::Ended::from(fixture.command(&args).stdout(full).output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.error_line().contains("cannot write to standard output"), "{}", ended.stderr);

    let mut child = fixture.command(&args).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that went away had enough");
}

#[test]
fn a_target_name_that_matches_nothing_is_noted() {
    let fixture = Fixture::new();
    let ended = fixture.train(&["--dry_run", "--lora_target_modules=q_proj,foo"]).ok();
    let note = ended.stderr.lines().find(|line| line.contains("lora_target_modules"));
    let note = note.unwrap_or_default();
    assert!(note.starts_with("note: ") && note.contains("model: foo;"), "{}", ended.stderr);
    assert!(note.contains("down_proj, gate_proj, k_proj"), "{note}");
}

#[test]
fn a_validation_file_beside_the_training_file_wins_over_a_split() {
    let fixture = Fixture::new();
    fixture.write("data/train_set_processed.csv", common::csv(&common::rows()));
    fixture.write("data/val_set_processed.csv", common::csv(&common::rows()[..2]));
    let data = "--train_csv=data/train_set_processed.csv";
    let ended = fixture.run(&["--model_name=model", data, "--val_split=0.5", "--dry_run"]).ok();
    assert!(ended.stdout.contains("9 to train on, 2 to validate on"), "{}", ended.stdout);
    assert!(
        ended.stderr.contains(
            "note: val_split is not used: data/val_set_processed.csv is the validation file"
        ),
        "{}",
        ended.stderr
    );
}

#[test]
fn version_and_help_go_to_standard_output() {
    let fixture = Fixture::new();
    assert!(fixture.run(&["-V"]).ok().stdout.starts_with("sft-train "));
    let help = fixture.run(&["--help"]).ok().stdout;
    assert!(
        help.contains("--gradient-accumulation-steps")
            && help.contains("always the newest and the best")
            && help.contains("Examples:"),
        "{help}"
    );
}
