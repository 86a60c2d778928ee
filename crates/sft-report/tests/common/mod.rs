//! A run as it lies on disk, and everything that a caller may add to it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    reason = "each test file uses a part of it"
)]

use std::fmt::Write;
use std::path::Path;

use serde_json::json;
use sft_report::{
    Check, DataShape, DroppedRows, ExampleText, Quantiles, Report, Run, SetShape, Status,
};

pub(crate) const EPOCHS: usize = 3;
pub(crate) const STEPS: usize = 20;

/// The files of a run of three epochs; without statistics where it was interrupted. One step was skipped.
pub(crate) fn write_run(dir: &Path, complete: bool) {
    let mut metrics = String::new();
    for step in 1..=EPOCHS * STEPS {
        let (epoch, tokens, targets) = ((step - 1) / STEPS + 1, 900 + step % 7, 140 + step % 5);
        let loss = 2.5 / (step as f64).sqrt();
        let seconds = 0.11 + 0.003 * (step % 4) as f64;
        let skipped = step == 31;
        let number = |value: f64| if skipped { "null".to_owned() } else { value.to_string() };
        let mark = if skipped { ",\"skipped\":true" } else { "" };
        writeln!(
            metrics,
            "{{\"step\":{step},\"epoch\":{epoch},\"loss\":{},\"grad_norm\":{},\"learning_rate\":{},\"tokens\":{tokens},\
             \"target_tokens\":{targets},\"seconds\":{seconds},\"tokens_per_s\":{},\"peak_memory_mb\":{}{mark}}}",
            number(loss),
            number(1.3 / step as f64),
            2e-4 * (1.0 - step as f64 / 61.0),
            tokens as f64 / seconds,
            90.5 + epoch as f64,
        )
        .unwrap();
        if step.is_multiple_of(STEPS) {
            let eval = 1.234_567 - 0.3 * epoch as f64;
            writeln!(metrics, "{{\"step\":{step},\"epoch\":{epoch},\"eval_loss\":{eval}}}")
                .unwrap();
        }
    }
    std::fs::write(dir.join("metrics.jsonl"), metrics).unwrap();
    let config = "# Repeat this run\nmodel_name = \"embedded\" # default\nlearning_rate = 0.0002 # flag\n\
                  prompt_template = \"\"\"\n### Note <b>:\n{clinical_note}\n\"\"\" # default\n\
                  output_dir = \"./models/a & b\" # flag\ntrain_csv = \"notes.csv\" # config file\n";
    std::fs::write(dir.join("run_config.toml"), config).unwrap();
    if complete {
        let epoch = |epoch: usize| {
            json!({
                "epoch": epoch, "train_loss": 1.987_654_321 / epoch as f64, "val_loss": 0.934_567 / epoch as f64,
                "learning_rate": 1.234e-4 / epoch as f64, "steps": STEPS, "skipped_steps": 0, "tokens": 18_060,
                "target_tokens": 2840, "seconds": 43.21 * epoch as f64, "tokens_per_s": 418.2 * epoch as f64,
            })
        };
        let stats = json!({
            "completed": true, "epochs": (1..=EPOCHS).map(epoch).collect::<Vec<_>>(), "steps": 60, "total_steps": 60,
            "skipped_steps": 1, "stopped_early": false, "final_model": "last step", "final_model_step": 60,
            "best_evaluation": {"step": 60, "epoch": 3, "eval_loss": 0.311_522_3, "checkpoint": "checkpoint_epoch_3"},
            "trainable_parameters": 123_456, "total_parameters": 3_123_456, "tokens": 54_180, "target_tokens": 8520,
            "train_seconds": 7_259.26, "peak_memory_mb": 93.5, "predicted_memory_mb": null, "recomputed_blocks": null,
        });
        std::fs::write(dir.join("training_stats.json"), stats.to_string()).unwrap();
    }
}

/// Everything that a report can show.
pub(crate) fn full(run: Run) -> Report {
    let set = |source: &str, rows: usize| SetShape {
        source: source.into(),
        rows,
        examples: rows - 45,
        labels: [("factual".to_owned(), rows - 40), ("halluci/nated".to_owned(), 40)].into(),
        hallucination_types: [("invented ~ finding".to_owned(), 25), ("wrong dose".to_owned(), 15)]
            .into(),
        dropped: vec![
            DroppedRows { reason: "empty note".into(), rows: 3 },
            DroppedRows { reason: "longer than 512 tokens".into(), rows: 2 },
        ],
        truncated: 11,
        prompt_tokens: Some(Quantiles { min: 17, median: 130, p90: 260, max: 488 }),
        target_tokens: Some(Quantiles { min: 5, median: 24, p90: 41, max: 77 }),
    };
    Report {
        run,
        planned_steps: Some(90),
        parameters: Some((123_456, 3_123_456)),
        data: Some(DataShape {
            training: set("notes.csv", 1234),
            validation: Some(set("val.csv", 210)),
        }),
        examples: vec![ExampleText {
            id: "row-7".into(),
            note: "Fever of 38.5 °C & cough.\nNo <chest> pain.".into(),
            reference: "The patient has fever and cough.".into(),
            base: Some(String::new()),
            tuned: Some("The patient has fever, cough and nausea.".into()),
            unsupported: vec![33..39],
        }],
        evaluation: Some(json!({
            "rows": 1060, "skipped": 2, "factual": 530, "hallucinated": 530, "loss_factual": 0.123_456,
            "loss_hallucinated": 0.98, "perplexity_factual": 1.131_4, "auroc": 0.912_34, "auroc_paired": 0.95,
            "auroc_by_type": {"invented / finding": 0.88, "wrong dose": null, "side ~ swapped": 0.500_4},
            "base": {
                "rows": 1060, "skipped": 2, "factual": 530, "hallucinated": 530, "loss_factual": 1.5,
                "loss_hallucinated": 1.4, "perplexity_factual": 4.481_7, "auroc": 0.45, "auroc_paired": 0.51,
                "auroc_by_type": {"invented / finding": 0.41, "wrong dose": 0.6, "side ~ swapped": 0.5},
            },
            "auroc_gain": 0.462_34,
        })),
        checks: vec![
            Check {
                name: "Losses fell".into(),
                status: Status::Passed,
                measured: "2.50 to 0.31".into(),
                why: "it learned".into(),
            },
            Check {
                name: "Nothing invented".into(),
                status: Status::Failed,
                measured: "1 of 3".into(),
                why: "patients".into(),
            },
            Check {
                name: "Read by a person".into(),
                status: Status::Unknown,
                measured: "-".into(),
                why: "figures are not enough".into(),
            },
        ],
        verdict: Some("Not ready".into()),
        fingerprints: vec![("base weights".into(), "00ff".into())],
        versions: vec![("sft".into(), "0.1.0".into())],
    }
}
