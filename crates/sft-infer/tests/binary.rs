//! The program as users run it: what it prints, what it writes, and what it says to bad input.
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::{MAX_POSITIONS, config, weights, write_adapter, write_json, write_model};
use serde_json::{Value, json};

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// The standard output of a run that went well.
    fn text(self) -> String {
        assert_eq!(self.status, 0, "{}", self.stderr);
        assert_eq!(self.stderr, "");
        self.stdout
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sft-infer"));
    command.current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null());
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", folder.join("hf"));
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

fn infer(folder: &Path, arguments: &[&str]) -> Run {
    command(folder).args(arguments).output().unwrap().into()
}

fn infer_with_stdin(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Run {
    let mut command = command(folder);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // a program that refuses its arguments does not read
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap().into()
}

/// A folder with `model`, `adapter` (over `model`) and `notes.txt`.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"), 1);
    write_adapter(&folder.path().join("adapter"), &folder.path().join("model"), "model");
    fs::write(folder.path().join("notes.txt"), "Fever, cough\n\nNo pain at all\nx\n").unwrap();
    folder
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SHORT: [&str; 4] = ["--model_path", "adapter", "--max_new_tokens", "12"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&SHORT, arguments].concat()
}

#[test]
fn one_note_from_the_flag_a_pipe_and_a_file() {
    let folder = workplace();
    let flag = infer(folder.path(), &with(&["--clinical_note", "Fever, cough"])).text();
    assert!(flag.ends_with('\n') && flag.len() > 5, "{flag:?}");
    let pipe = infer_with_stdin(folder.path(), &with(&[]), b"\xEF\xBB\xBFFever, cough\n").text();
    assert_eq!(pipe, flag);
    infer(folder.path(), &with(&["--clinical-note", "Fever, cough", "--output-file", "out.txt"]))
        .text();
    assert_eq!(fs::read_to_string(folder.path().join("out.txt")).unwrap(), flag);
}

#[test]
fn json_has_the_fields_of_the_contract() {
    let folder = workplace();
    let plain = infer(folder.path(), &with(&["--clinical_note", "Fever, cough"])).text();
    let json = infer(folder.path(), &with(&["--clinical_note", "Fever, cough", "--json"])).text();
    let [object] = objects(&json).try_into().unwrap();
    let mut keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(
        keys,
        [
            "decode_tokens_per_s",
            "finish_reason",
            "generated_summary",
            "generated_tokens",
            "prefill_s",
            "prompt_tokens"
        ]
    );
    assert_eq!(object["generated_summary"].as_str().unwrap(), plain.strip_suffix('\n').unwrap());
    assert_eq!(object["generated_tokens"], 12);
    assert_eq!(object["finish_reason"], "length");
    assert!(object["prefill_s"].as_f64().unwrap() > 0.0);
    assert!(object["decode_tokens_per_s"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_file_of_notes() {
    let folder = workplace();
    let arguments = with(&["--input_file", "notes.txt"]);
    let lines = infer(folder.path(), &arguments).text();
    let lines: Vec<&str> = lines.split('\n').collect();
    assert_eq!(lines.len(), 5, "a line for each row, and the end");
    assert!(lines[1].is_empty() && lines[4].is_empty());
    let json = infer(folder.path(), &[&arguments[..], &["--json"]].concat()).text();
    let objects = objects(&json);
    let places: Vec<_> = objects.iter().map(|o| o["line"].as_u64().unwrap()).collect();
    assert_eq!(places, [1, 3, 4]);
    for (object, line) in objects.iter().zip([lines[0], lines[2], lines[3]]) {
        let summary = object["generated_summary"].as_str().unwrap();
        assert_eq!(
            summary.split_whitespace().collect::<String>(),
            line.split_whitespace().collect::<String>()
        );
    }

    fs::write(
        folder.path().join("notes.csv"),
        "label,clinical_note,id\r\nf,\"Fever, cough\",a\r\nf, ,b\r\nf,x,c\r\n",
    )
    .unwrap();
    let run = infer(
        folder.path(),
        &with(&["--input-file", "notes.csv", "--json", "--output_file", "out.jsonl"]),
    );
    assert_eq!((run.status, run.stdout.as_str()), (0, ""));
    assert!(run.stderr.contains("notes.csv:3: the row has no note"), "{}", run.stderr);
    let written = self::objects(&fs::read_to_string(folder.path().join("out.jsonl")).unwrap());
    assert_eq!(written[0]["generated_summary"], objects[0]["generated_summary"]);
    assert_eq!((&written[0]["id"], &written[0]["line"]), (&json!("a"), &json!(2)));
    assert_eq!((&written[1]["id"], &written[1]["line"]), (&json!("c"), &json!(4)));
    assert!(!folder.path().join("out.jsonl.partial").exists());
}

#[test]
fn a_note_that_is_too_long_does_not_stop_a_file() {
    let folder = workplace();
    let path = folder.path();
    let long = "x".repeat(MAX_POSITIONS);
    fs::write(path.join("long.txt"), format!("Fever\n\n{long}\nx\n")).unwrap();
    fs::write(path.join("short.txt"), "Fever\n\n\nx\n").unwrap();
    let expected = infer(path, &with(&["--input_file", "short.txt"])).text();
    let run = infer(path, &with(&["--input_file", "long.txt", "--output_file", "out.txt"]));
    assert_eq!((run.status, run.stdout.as_str()), (1, ""));
    assert_eq!(fs::read_to_string(path.join("out.txt")).unwrap(), expected);
    let [warning, error] = run.stderr.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(warning.contains("long.txt:3") && warning.contains("160"), "{warning}");
    assert!(!warning.contains('\u{1b}'), "{warning:?}");
    assert!(error.starts_with("error: 1 of 3 notes could not be summarised"), "{error}");

    let run = infer(path, &with(&["--input_file", "long.txt", "--json"]));
    let lines: Vec<_> = objects(&run.stdout).iter().map(|o| o["line"].as_u64().unwrap()).collect();
    assert_eq!((run.status, lines), (1, vec![1, 4]));

    fs::write(path.join("all.txt"), &long).unwrap();
    let run = infer(path, &with(&["--input_file", "all.txt", "--output_file", "none.txt"]));
    assert!(run.status == 1 && run.stderr.contains("1 of 1 notes"), "{}", run.stderr);
    assert!(!path.join("none.txt").exists() && !path.join("none.txt.partial").exists());
}

#[test]
fn common_names_are_corrected_with_a_notice() {
    let folder = workplace();
    let path = folder.path();
    let run = infer(path, &["--model_path", "mistralai/Mistral-7B", "--clinical_note", "x"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("taking mistralai/Mistral-7B-v0.1\n"), "{}", run.stderr);
    assert!(run.stderr.contains("error: mistralai/Mistral-7B-v0.1 "), "{}", run.stderr);
    write_model(&path.join("meta-llama/Llama-2-7b-hf"), 1);
    let base = ["--base_model", "meta-llama/Llama-2-7b", "--clinical_note", "x"];
    let run = infer(path, &with(&base));
    assert!(run.status == 0 && run.stderr.contains("taking meta-llama/"), "{}", run.stderr);
}

#[test]
fn somebody_s_partial_file_stays() {
    let folder = workplace();
    fs::write(folder.path().join("out.txt.partial"), "precious").unwrap();
    let arguments = with(&["--clinical_note", "x", "--output_file", "out.txt"]);
    refuses(folder.path(), &arguments, b"", 1, &["out.txt.partial", "another output"]);
}

#[test]
fn merge_and_generate() {
    let folder = workplace();
    let note = ["--max_new_tokens", "12", "--clinical_note", "Fever, cough", "--model_path"];
    let adapted = infer(folder.path(), &[&note[..], &["adapter"]].concat()).text();
    let said = infer(folder.path(), &["--model_path", "adapter", "--merge_to", "merged"]).text();
    assert!(said.contains("merged"));
    assert_eq!(infer(folder.path(), &[&note[..], &["merged"]].concat()).text(), adapted);
    let other = ["model", "--prompt_template", common::TEMPLATE];
    assert_ne!(infer(folder.path(), &[&note[..], &other].concat()).text(), adapted);
}

#[test]
fn sampling_follows_the_seed() {
    let folder = workplace();
    let sample = |seed| {
        let flags =
            ["--clinical_note", "Fever", "--temperature", "0.9", "--top_p", "0.9", "--seed", seed];
        infer(folder.path(), &with(&flags)).text()
    };
    assert_eq!(sample("1"), sample("1"));
    assert_ne!(sample("1"), sample("2"));
    let run = infer(folder.path(), &with(&["--clinical_note", "Fever", "--top_k", "3"]));
    assert!(run.status == 0 && run.stderr.contains("no effect"), "{}", run.stderr);
}

#[test]
fn help_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let help = infer(folder.path(), &["--help"]).text();
    for part in ["--model-path", "--merge-to", "Examples:", "standard input", "greedy"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
    assert!(infer(folder.path(), &["-V"]).text().starts_with("sft-infer "));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = workplace();
    let mut command = command(folder.path());
    command
        .args(with(&["--input_file", "notes.txt"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

/// Every file under a folder with its content.
fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// A refusal: one line with a reason and a remedy, the exit status, and nothing touched.
fn refuses(folder: &Path, arguments: &[&str], stdin: &[u8], status: i32, parts: &[&str]) {
    let before = snapshot(folder);
    let run = infer_with_stdin(folder, arguments, stdin);
    let what = format!("{arguments:?}: {}", run.stderr);
    assert_eq!(run.status, status, "{what}");
    assert_eq!(run.stdout, "", "{what}");
    assert!(run.stderr.starts_with("error: "), "{what}");
    assert!(!run.stderr.contains("panicked"), "{what}");
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{what}");
    for part in parts {
        assert!(run.stderr.contains(part), "`{part}` is missing in {what}");
    }
    assert!(snapshot(folder) == before, "files changed: {what}");
}

#[test]
fn bad_models() {
    let folder = workplace();
    let path = folder.path();
    let copy = |name: &str| {
        write_model(&path.join(name), 1);
        path.join(name)
    };
    fs::write(copy("broken_config").join("config.json"), "{\"model_type\": \"llama\",").unwrap();
    write_json(&copy("other_type").join("config.json"), &{
        let mut config = config();
        config["model_type"] = json!("gpt2");
        config
    });
    let weights_file = copy("truncated").join("model.safetensors");
    let bytes = fs::read(&weights_file).unwrap();
    fs::write(&weights_file, &bytes[..bytes.len() / 2]).unwrap();
    fs::write(copy("garbage").join("model.safetensors"), [0xFF; 64]).unwrap();
    fs::remove_file(copy("no_weights").join("model.safetensors")).unwrap();
    let sharded = copy("missing_shard");
    fs::remove_file(sharded.join("model.safetensors")).unwrap();
    let map: serde_json::Map<String, Value> = weights(1)
        .into_keys()
        .map(|name| (name, json!("model-00001-of-00001.safetensors")))
        .collect();
    write_json(
        &sharded.join("model.safetensors.index.json"),
        &json!({"metadata": {}, "weight_map": map}),
    );
    let mut fewer = weights(1);
    fewer.remove("model.layers.1.mlp.up_proj.weight");
    let file = copy("missing_tensor").join("model.safetensors");
    candle_core::safetensors::save(&fewer, file).unwrap();
    fs::remove_file(copy("no_tokenizer").join("tokenizer.json")).unwrap();
    fs::write(copy("broken_tokenizer").join("tokenizer.json"), "{}").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    write_adapter(&path.join("run/final_model"), &path.join("model"), "model");
    write_adapter(&path.join("broken_adapter"), &path.join("model"), "model");
    fs::write(path.join("broken_adapter/adapter_config.json"), "{").unwrap();
    write_adapter(&path.join("no_matrices"), &path.join("model"), "model");
    fs::remove_file(path.join("no_matrices/adapter_model.safetensors")).unwrap();
    fs::remove_file(path.join("no_matrices/adapter_model.bin")).unwrap();
    write_adapter(&path.join("hub_base"), &path.join("model"), "org/base");
    write_adapter(&path.join("embedded_base"), &path.join("model"), "embedded");
    write_adapter(&path.join("broken_sft_config"), &path.join("model"), "model");
    fs::write(path.join("broken_sft_config/sft_config.json"), "[]").unwrap();

    for (model, parts) in [
        ("nowhere", &["no folder nowhere", "--model_path"][..]),
        ("run", &["run/final_model"]),
        ("org/model", &["org/model", "HF_HUB_OFFLINE", "--model_path"]),
        ("empty", &["empty", "config.json"]),
        ("broken_config", &["config.json"]),
        ("other_type", &["gpt2", "llama"]),
        ("truncated", &["model.safetensors"]),
        ("garbage", &["model.safetensors"]),
        ("no_weights", &["no_weights", "safetensors"]),
        ("missing_shard", &["model-00001-of-00001.safetensors"]),
        ("missing_tensor", &["model.layers.1.mlp.up_proj.weight"]),
        ("no_tokenizer", &["tokenizer.json"]),
        ("broken_tokenizer", &["tokenizer.json"]),
        ("broken_adapter", &["adapter_config.json"]),
        ("no_matrices", &["no_matrices", "adapter_model.safetensors"]),
        ("hub_base", &["org/base", "--base-model", "HF_HUB_OFFLINE"]),
        ("embedded_base", &["q_proj.lora_A", "base model"]),
        ("broken_sft_config", &["sft_config.json"]),
    ] {
        refuses(path, &["--model_path", model, "--clinical_note", "x"], b"", 1, parts);
    }
}

#[test]
fn bad_notes() {
    let folder = workplace();
    let path = folder.path();
    let write = |name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).unwrap();
    write("bad.txt", b"ok\nbad \xff\n");
    write("bad.csv", b"id,clinical_note\n1,ok\n2,bad \xff\n");
    write("short.csv", b"id,clinical_note\n1,ok\n2\n");
    write("column.csv", b"id,note\n1,ok\n");
    write("empty.csv", b"");
    write("empty.txt", b"\n\n");
    write("notes.docx", b"PK");

    for (file, status, parts) in [
        ("missing.txt", 1, &["missing.txt", "--input-file"][..]),
        ("bad.txt", 1, &["bad.txt:2", "UTF-8"]),
        ("bad.csv", 1, &["bad.csv", "3", "UTF-8"]),
        ("short.csv", 1, &["short.csv", "3", "fields"]),
        ("column.csv", 1, &["clinical_note", "id", "note"]),
        ("empty.csv", 1, &["empty.csv", "clinical_note"]),
        ("empty.txt", 1, &["empty.txt", "a note a line"]),
        ("notes.docx", 2, &[".txt", ".csv"]),
    ] {
        let output = ["--input_file", file, "--output_file", "out.txt"];
        refuses(path, &with(&output), b"", status, parts);
    }
    refuses(path, &with(&[]), b"", 2, &["--clinical-note", "--input-file", "standard input"]);
    refuses(path, &with(&[]), b" \n", 2, &["--clinical-note", "--input-file", "standard input"]);
    refuses(path, &with(&[]), b"bad \xff", 1, &["standard input", "UTF-8"]);
    refuses(path, &with(&["--clinical_note", "  "]), b"", 2, &["--clinical-note", "empty"]);
    let long = "x".repeat(MAX_POSITIONS);
    refuses(path, &with(&["--clinical_note", &long]), b"", 1, &["tokens", "160", "shorten"]);
}

#[test]
fn bad_flags() {
    let folder = workplace();
    let path = folder.path();
    fs::create_dir(path.join("full")).unwrap();
    fs::write(path.join("full/precious"), "data").unwrap();
    let note = |arguments: &[&'static str]| with(&[&["--clinical_note", "x"], arguments].concat());

    let wrong = ["--temperature", "-1", "--top_p", "1.5", "--repetition_penalty", "0"];
    refuses(path, &note(&wrong), b"", 2, &["temperature", "top_p", "repetition_penalty"]);
    refuses(path, &note(&["--temperature", "nan"]), b"", 2, &["temperature", "greedy"]);
    refuses(path, &note(&["--prompt_template", "no place"]), b"", 2, &["{clinical_note}"]);
    refuses(path, &note(&["--dtype", "f16", "--device", "cpu"]), b"", 1, &["f16", "f32"]);
    if !candle_core::utils::cuda_is_available() {
        refuses(path, &note(&["--device", "cuda"]), b"", 1, &["CUDA", "cpu"]);
    }
    refuses(
        path,
        &note(&["--output_file", "no/out.txt"]),
        b"",
        1,
        &["no/out.txt", "--output-file"],
    );
    refuses(path, &note(&["--output_file", "full"]), b"", 1, &["full", "another output"]);
    let same = ["--input_file", "notes.txt", "--output_file", "./notes.txt"];
    refuses(path, &with(&same), b"", 2, &["notes.txt", "another"]);
    refuses(path, &["--model_path", "adapter", "--merge_to", "full"], b"", 1, &["full", "new one"]);
    refuses(path, &["--model_path", "adapter", "--merge_to", "notes.txt"], b"", 1, &["notes.txt"]);
    refuses(path, &["--model_path", "model", "--merge_to", "new"], b"", 1, &["nothing to merge"]);

    // what clap refuses has a usage note below the reason
    for arguments in [
        &["--clinical_note", "x"][..],
        &with(&["--clinical_note", "x", "--input_file", "notes.txt"]),
        &with(&["--clinical_note", "x", "--dtype", "f64"]),
        &with(&["--clinical_note", "x", "--max_new_tokens", "many"]),
        &with(&["--merge_to", "new", "--clinical_note", "x"]),
        &with(&["--nonsense"]),
    ] {
        let run = infer(path, arguments);
        assert_eq!(run.status, 2, "{arguments:?}");
        assert!(run.stderr.starts_with("error: ") && !run.stderr.contains("panicked"));
    }
    assert!(!path.join("new").exists());
}
