//! `--quantize_to` as users run it.
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{write_adapter, write_model};

fn infer(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sft-infer"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", folder.join("hf"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(run: Output) -> String {
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!((run.status.code(), said.as_str()), (Some(0), ""));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn a_base_is_quantised_once_and_then_taken_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_model(&path.join("model"), 1);
    write_adapter(&path.join("adapter"), &path.join("model"), "model");
    for quantize in ["nf4", "int8"] {
        let flags = ["--model_path", "model", "--quantize", quantize, "--quantize_to", quantize];
        assert_eq!(text(infer(path, &flags)), format!("Model in {quantize} saved to {quantize}\n"));
        let note = ["--clinical_note", "Fever, cough", "--max_new_tokens", "12", "--json"];
        let summary = |flags: &[&str]| {
            let line = text(infer(path, &[flags, &note].concat()));
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            line["generated_summary"].clone()
        };
        let now = summary(&["--model_path", "model", "--quantize", quantize]);
        assert_eq!(summary(&["--model_path", quantize]), now);
        let adapted = summary(&["--model_path", "adapter", "--quantize", quantize]);
        assert_eq!(summary(&["--model_path", "adapter", "--base_model", quantize]), adapted);

        // merged into it, the model is a dense one
        let merged = format!("merged-{quantize}");
        let merge = ["--model_path", "adapter", "--base_model", quantize, "--merge_to", &merged];
        text(infer(path, &merge));
        let config = fs::read_to_string(path.join(&merged).join("config.json")).unwrap();
        assert!(!config.contains("quantization_config"));
        summary(&["--model_path", &merged]);
    }

    for (flags, words) in [
        (
            &["--model_path", "model", "--quantize", "nf4", "--quantize_to", "int8"][..],
            "already exists",
        ),
        (&["--model_path", "nf4", "--quantize", "nf4", "--quantize_to", "new"], "nf4 already"),
        (
            &["--model_path", "adapter", "--quantize", "nf4", "--quantize_to", "new"],
            "--merge_to first",
        ),
        (&["--model_path", "nf4", "--quantize", "int8", "--clinical_note", "x"], "stored in nf4"),
        (
            &["--model_path", "nf4", "--dtype", "f32", "--clinical_note", "x"],
            "leave out --dtype f32",
        ),
    ] {
        let run = infer(path, flags);
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
        assert!(!path.join("new").exists());
    }
}
