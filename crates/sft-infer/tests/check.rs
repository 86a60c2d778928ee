//! `--check` as users run it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

const NOTE: &str = "No fever. Takes aspirin 81 mg for L knee pain.";
const SUMMARY: &str = "The patient has fever and right knee pain. Aspirin 810 mg.";

/// Exit status, standard output, standard error.
fn infer(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sft-infer"));
    command.current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null()).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_summary_is_shown_with_what_is_not_supported() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--check", "--clinical_note", NOTE, "--summary", SUMMARY];
    let expected = "\
2 of 5 facts supported
  The patient has [fever]1 and [right]2 knee pain. Aspirin [810 mg]3.
     1 negation   fever   the note denies fever
     2 side       right   the note says left of knee, pain, not right
     3 dose       810 mg  the note says another one of aspirin
";
    assert_eq!(infer(folder.path(), &arguments), (0, expected.to_owned(), String::new()));
    // no model is unpacked or looked for
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn json_has_a_line_for_each_row_and_bytes_of_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    let summary = "  « Température » Aspirin 810 mg.";
    let csv = format!(
        "id,clinical_note,model_summary\na,{NOTE},{SUMMARY}\nb,{NOTE},\"{summary}\"\nc,Cough.,Cough.\n"
    );
    fs::write(folder.path().join("rows.csv"), csv).unwrap();
    let arguments = ["--check", "--input_file", "rows.csv", "--json"];
    let (status, stdout, stderr) = infer(folder.path(), &arguments);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let rows = objects(&stdout);
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    assert_eq!((&rows[1]["line"], rows[0]["facts"].as_u64()), (&Value::from(3), Some(5)));
    for (row, text) in rows.iter().zip([SUMMARY, summary, "Cough."]) {
        let unsupported = row["unsupported"].as_array().unwrap();
        let facts = row["facts"].as_u64().unwrap();
        assert_eq!(row["supported"].as_u64().unwrap(), facts - unsupported.len() as u64);
        for flag in unsupported {
            let at = |key: &str| flag[key].as_u64().unwrap() as usize;
            assert_eq!(flag["text"], text[at("start")..at("end")]);
            assert!(!flag["why"].as_str().unwrap().is_empty());
        }
    }
    assert_eq!(rows[1]["unsupported"][0]["kind"], "dose");
    assert_eq!(rows[2]["unsupported"].as_array().unwrap().len(), 0);

    let to_file = [&arguments[..], &["--output_file", "out.jsonl"]].concat();
    assert_eq!(infer(folder.path(), &to_file), (0, String::new(), String::new()));
    assert_eq!(fs::read_to_string(folder.path().join("out.jsonl")).unwrap(), stdout);
}

#[test]
fn a_file_without_json_ends_with_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let csv = format!("clinical_note,model_summary\n{NOTE},{SUMMARY}\nCough.,Cough.\nCough.,\n");
    fs::write(folder.path().join("rows.csv"), csv).unwrap();
    let (status, stdout, stderr) = infer(folder.path(), &["--check", "--input_file", "rows.csv"]);
    assert_eq!(status, 0);
    assert!(stderr.contains("rows.csv:4") && stderr.lines().count() == 1, "{stderr}");
    let last = "3 summaries, 2 without an unsupported fact; 3 of 6 facts supported";
    assert_eq!(stdout.lines().last(), Some(last));
    assert!(stdout.starts_with("line 2: 2 of 5 facts supported\n"), "{stdout}");
}

#[test]
fn terms_of_the_user_are_judged_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("terms.tsv"), "medication\tzorblaxin\n").unwrap();
    let arguments =
        ["--check", "--clinical_note", "Well.", "--summary", "Takes zorblaxin.", "--json"];
    let facts =
        |arguments: &[&str]| objects(&infer(folder.path(), arguments).1)[0]["facts"].clone();
    assert_eq!(facts(&arguments), 0);
    assert_eq!(facts(&[&arguments[..], &["--terms", "terms.tsv"]].concat()), 1);
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--check", "--clinical_note", "x", "--summary", "\u{1b}[2J fever\u{7}"];
    let (status, stdout, _) = infer(folder.path(), &arguments);
    assert!(status == 0 && !stdout.contains(['\u{1b}', '\u{7}']), "{stdout:?}");
}

#[test]
fn refusals_have_one_line_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("notes.csv"), "clinical_note\na\n").unwrap();
    fs::write(path.join("rows.csv"), "clinical_note,model_summary\na,b\n").unwrap();
    fs::write(path.join("bad.tsv"), "pill\taspirin\n").unwrap();
    for (more, status, parts) in [
        (&[][..], 2, &["--summary", "--input-file"][..]),
        (&["--clinical_note", "a"], 2, &["--summary TEXT"]),
        (&["--clinical_note", " ", "--summary", "s"], 2, &["--clinical-note is empty"]),
        (&["--input_file", "notes.txt"], 2, &["notes.txt", ".csv"]),
        (&["--input_file", "none.csv"], 1, &["none.csv"]),
        (&["--input_file", "notes.csv"], 1, &["notes.csv", "`model_summary`"]),
        (&["--input_file", "rows.csv", "--terms", "bad.tsv"], 1, &["bad.tsv:1", "`pill`"]),
        (&["--input_file", "rows.csv", "--terms", "none.tsv"], 1, &["none.tsv", "check"]),
        (&["--input_file", "rows.csv", "--output_file", "rows.csv"], 2, &["rows.csv", "another"]),
    ] {
        let arguments = [&["--check"], more].concat();
        let (code, stdout, stderr) = infer(path, &arguments);
        assert_eq!((code, stdout.as_str()), (status, ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "`{part}` is missing in {stderr}");
        }
    }
    assert!(!path.join("rows.csv.partial").exists());
}

#[test]
fn help_has_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let (status, help, _) = infer(folder.path(), &["--help"]);
    assert_eq!(status, 0);
    for part in ["--check", "--terms <FILE>", "sft-infer --check --clinical-note"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
}
