//! The conversation in a pseudo-terminal, key by key.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use candle_core::{Device, Tensor};
use common::{EOS, config, weights, write_adapter, write_json, write_model};
use nix::sys::termios::{LocalFlags, tcgetattr};
use rexpect::process::{Signal, WaitStatus};
use rexpect::session::{PtySession, spawn_command};
use serde_json::json;

const PROMPT: &str = "note> ";
const MODEL: [&str; 4] = ["--model_path", "adapter", "--max_new_tokens", "12"];

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sft-infer"));
    command.current_dir(folder).args(MODEL).args(arguments);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1").env("TERM", "xterm").env("HOME", folder);
    command
}

/// What the program prints about one note without a terminal, as a terminal would show it.
fn summary(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.trim().is_empty());
    text.strip_suffix('\n').unwrap().replace('\n', "\r\n")
}

/// The program in a terminal, asking for a note.
fn converse(folder: &Path) -> PtySession {
    converse_at(folder, "xterm")
}

fn converse_at(folder: &Path, terminal: &str) -> PtySession {
    let mut command = command(folder, &[]);
    command.env("TERM", terminal);
    let mut session = spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("the adapter adapter on the base model; f32 on the CPU").unwrap();
    session.exp_string("/help").unwrap();
    session.exp_string(PROMPT).unwrap();
    session
}

fn type_in(session: &mut PtySession, keys: &str) {
    session.send(keys).unwrap();
    session.flush().unwrap();
}

/// Types a line and waits for `parts` in this order, and for the prompt.
fn ask(session: &mut PtySession, keys: &str, parts: &[&str]) {
    type_in(session, &format!("{keys}\r"));
    for part in parts.iter().chain(&[PROMPT]) {
        if let Err(error) = session.exp_string(part) {
            panic!("{keys:?}: {error}");
        }
    }
}

/// The end of a program that left by itself.
fn left(mut session: PtySession, status: i32) -> String {
    let rest = session.exp_eof().unwrap();
    let ended = session.process().wait().unwrap();
    assert!(matches!(ended, WaitStatus::Exited(_, code) if code == status), "{ended:?}: {rest}");
    rest
}

#[test]
fn a_conversation() {
    let folder = small_model();
    let path = folder.path();

    let fever = summary(path, &["--clinical_note", "Fever"]);
    let lines = summary(path, &["--clinical_note", "Fever\ncough"]);
    let three = summary(path, &["--clinical_note", "Fever", "--max_new_tokens", "3"]);
    let template = ["--model_path", "model", "--prompt_template", common::TEMPLATE];
    let base = summary(path, &[&template[..], &["--clinical_note", "Fever"]].concat());
    assert!(fever != lines && fever != base);
    let [fever, lines, three, base] =
        [fever, lines, three, base].map(|text| format!("\r\n{text}\r\n"));

    let mut session = converse(path);
    let s = &mut session;
    ask(s, "Fever", &[&fever, "12 tokens, "]);
    ask(s, "/base", &["with the adapter:", &fever, "the untouched base:", &base, " tokens, "]);
    ask(s, "\x1b[200~Fever\ncough\x1b[201~", &[&lines]);
    ask(s, "Fever\\\rcough", &[&lines]);
    ask(s, "\x1b[A", &[&lines]);
    ask(s, "/set max_new_tokens 3", &["max_new_tokens 3\r\n"]);
    ask(s, "Fever", &[&three, "3 tokens, "]);
    ask(s, "", &["an empty note"]);
    ask(s, "/helo", &["did you mean /help?"]);

    // long enough that the prompt can only come back because the answer was stopped
    ask(s, "/set max_new_tokens 90000", &["max_new_tokens 90000\r\n"]);
    type_in(s, "Fever\r");
    s.exp_string(fever.trim_end()).unwrap();
    type_in(s, "\x03");
    s.exp_string("stopped after ").unwrap();
    s.exp_string(PROMPT).unwrap();
    ask(s, "/set max_new_tokens 12", &["max_new_tokens 12\r\n"]);
    ask(s, "/again", &[&fever]);

    // a setting without effect is told once
    ask(s, "/set top_k 3", &["top_k 3\r\n"]);
    ask(s, "/again", &["have no effect", "12 tokens, "]);
    type_in(s, "/again\r");
    let again = s.exp_string("12 tokens, ").unwrap();
    assert!(!again.contains("have no effect"), "{again}");
    s.exp_string(PROMPT).unwrap();

    // one Ctrl-C at the prompt tells how to leave; something else between, and it tells again
    type_in(s, "\x03");
    s.exp_string("Ctrl-C once more leaves").unwrap();
    s.exp_string(PROMPT).unwrap();
    ask(s, "/again", &[&fever]);
    type_in(s, "\x03");
    s.exp_string("Ctrl-C once more leaves").unwrap();
    s.exp_string(PROMPT).unwrap();
    type_in(s, "\x03");
    left(session, 0);

    for keys in ["/quit\r", "\x04"] {
        let mut session = converse(path);
        type_in(&mut session, keys);
        left(session, 0);
    }

    for flags in [&["--json"][..], &["--output_file", "out.txt"]] {
        let session = spawn_command(command(path, flags), Some(60_000)).unwrap();
        let said = left(session, 2);
        assert!(said.contains("needs notes") && said.lines().count() == 1, "{said}");
    }

    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["adapter", "model"], "nothing is written");
}

fn small_model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (model, adapter) = (folder.path().join("model"), folder.path().join("adapter"));
    write_model(&model, 1);
    let mut long = config();
    long["max_position_embeddings"] = json!(100_000);
    write_json(&model.join("config.json"), &long);
    // An answer has no end: beside the others' random logits that of the end is always 0.
    let mut tensors = weights(1);
    let head = tensors.remove("lm_head.weight").unwrap();
    let mut rows: Vec<Vec<f32>> = head.to_vec2().unwrap();
    rows[EOS as usize].fill(0.0);
    tensors.insert("lm_head.weight".into(), Tensor::new(rows, &Device::Cpu).unwrap());
    candle_core::safetensors::save(&tensors, model.join("model.safetensors")).unwrap();
    write_adapter(&adapter, &model, "model");
    folder
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let folder = small_model();
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut session = converse(folder.path());
        let terminal = session.process().get_file_handle().unwrap();
        let takes_lines = || tcgetattr(&terminal).unwrap().local_flags.contains(LocalFlags::ICANON);
        type_in(&mut session, "Fev");
        session.exp_string("Fev").unwrap();
        assert!(!takes_lines());
        session.process_mut().signal(signal).unwrap();
        let ended = session.process().wait().unwrap();
        assert!(matches!(ended, WaitStatus::Signaled(_, by, _) if by == signal), "{ended:?}");
        assert!(takes_lines());
        let rest = session.exp_eof().unwrap();
        assert!(rest.contains("\x1b[?2004l"), "{rest:?}");
    }
}

#[test]
fn ctrl_c_at_a_terminal_without_keys() {
    let folder = small_model();
    let mut session = converse_at(folder.path(), "dumb");
    let s = &mut session;
    ask(s, "Fever", &["12 tokens, "]);
    ask(s, "/set max_new_tokens 90000", &["max_new_tokens 90000\r\n"]);
    let fever = summary(folder.path(), &["--clinical_note", "Fever"]);
    type_in(s, "Fever\r");
    s.exp_string(&fever).unwrap();
    type_in(s, "\x03");
    s.exp_string("stopped after ").unwrap();
    s.exp_string(PROMPT).unwrap();
    type_in(s, "\x03");
    left(session, 130);
}

#[test]
fn odd_notes_are_typed_and_pasted() {
    let folder = small_model();
    let mut session = converse(folder.path());
    let s = &mut session;
    let pasted = |text: &str| format!("\x1b[200~{text}\x1b[201~");
    for note in [
        "</s> <s> <|eot_id|> [INST] {clinical_note}",
        r#"{"n": "\ud83d \udc00 \u0000"}"#,
        "\u{5d9}\u{5de}\u{5d9}\u{5df} \u{202e}abc\u{202c}",
        "👩🏽\u{200d}⚕️ 9/10 e\u{301} \u{10ffff}",
    ] {
        ask(s, note, &[" tokens, "]);
        ask(s, &pasted(note), &[" tokens, "]);
    }
    // Control characters and empty lines come from a paste alone; keys of their own have other meanings.
    ask(s, &pasted("a NUL \0 and\n\n\nempty lines"), &[" tokens, "]);
    // Longer than the model can take: said, and the conversation goes on.
    ask(s, &pasted(&"fever ".repeat(100_000)), &["shorten the note"]);
    ask(s, "Fever", &["12 tokens, "]);
    type_in(s, "/quit\r");
    left(session, 0);
}
