//! Notes as no one would write them, by every way in which a note comes.
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{write_adapter, write_model};
use serde_json::Value;

/// Characters and words that programs stumble over; each fits into the model.
const ODD: [&str; 8] = [
    "a NUL \0 in it \0",
    "first line\n\n\r\n\tlast line",
    "\u{202e}ימין\u{202c} والعربية",
    "👩🏽‍⚕️ 9/10 e\u{301} \u{fffd} \u{10ffff}",
    r#"{"n": "\ud83d \udc00"}"#,
    "</s> <s> <|eot_id|> [INST] {clinical_note}",
    "\u{1b}[2J\u{7}\u{8}\u{85}\u{2028}",
    "\"\"quotes\"\", commas,,",
];

fn long() -> String {
    "fever ".repeat(100_000)
}

fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"), 1);
    write_adapter(&folder.path().join("adapter"), &folder.path().join("model"), "model");
    folder
}

fn infer(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sft-infer"));
    command.current_dir(folder).env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1");
    command.args(["--model_path", "adapter", "--max_new_tokens", "8"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read is no fault here.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// One JSON object a line, each with a summary.
fn summaries(stdout: &str) -> Vec<Value> {
    let objects: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(objects.iter().all(|object| object["generated_summary"].is_string()), "{stdout}");
    objects
}

#[test]
fn odd_notes_are_summarised_from_a_flag_and_a_pipe() {
    let folder = workplace();
    for note in ODD {
        let (code, piped, stderr) = text(&infer(folder.path(), &["--json"], note.as_bytes()));
        assert_eq!(code, Some(0), "{note:?}: {stderr}");
        let tokens = |stdout: &str| summaries(stdout)[0]["prompt_tokens"].clone();
        // No argument of a process can hold a NUL.
        if !note.contains('\0') {
            let output = infer(folder.path(), &["--json", "--clinical_note", note], b"");
            let (code, flag, stderr) = text(&output);
            assert_eq!(code, Some(0), "{note:?}: {stderr}");
            assert_eq!(tokens(&piped), tokens(&flag), "{note:?}");
        }
    }
    let (code, stdout, stderr) = text(&infer(folder.path(), &[], long().as_bytes()));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("tokens") && stderr.contains("shorten the note"), "{stderr}");
}

#[test]
fn odd_notes_are_summarised_from_files_and_one_that_is_too_long_is_named() {
    let folder = workplace();
    let cell = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut csv = String::from("id,clinical_note\n");
    let mut txt = String::new();
    for (index, note) in ODD.iter().enumerate() {
        csv.extend([&index.to_string(), ",", &cell(note), "\n"]);
        txt += &note.replace(['\n', '\r'], " ");
        txt += "\n";
    }
    let line = csv.matches('\n').count() + 1;
    csv.extend(["long,", &long(), "\nlast,Fever\n"]);
    txt.extend([&long(), "\n\nFever\n"]);
    fs::write(folder.path().join("notes.csv"), csv).unwrap();
    fs::write(folder.path().join("notes.txt"), txt).unwrap();
    for (file, line) in [("notes.csv", line), ("notes.txt", ODD.len() + 1)] {
        let (code, stdout, stderr) =
            text(&infer(folder.path(), &["--input_file", file, "--json"], b""));
        assert_eq!(code, Some(1), "{file}: {stderr}");
        assert_eq!(summaries(&stdout).len(), ODD.len() + 1, "{file}");
        assert!(stderr.contains(&format!("{file}:{line}")), "{stderr}");
        assert!(stderr.contains("1 of 10 notes could not be summarised"), "{stderr}");
        let (_, lines, _) = text(&infer(folder.path(), &["--input_file", file], b""));
        let rows = ODD.len() + if file == "notes.csv" { 2 } else { 3 };
        assert_eq!(lines.lines().count(), rows, "{file}: {lines}");
    }
}
