//! `--evaluate` as users run it.
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{TEMPLATE, write_adapter, write_model};
use serde_json::Value;

const CSV: &str = "\
id,clinical_note,model_summary,label,hallucination_type
a,Fever and cough.,fever with cough,Factual,
b,Fever and cough.,a broken leg,hallucinated,invented
c,Headache since Monday.,headache since Monday,factual,
d,Headache since Monday.,no headache,hallucinated,negated
e,Rash.,rash on both legs,hallucinated,invented
";

/// A folder with `model`, `adapter` (over `model`) and `rows.csv`.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"), 1);
    write_adapter(&folder.path().join("adapter"), &folder.path().join("model"), "model");
    fs::write(folder.path().join("rows.csv"), CSV).unwrap();
    folder
}

/// Exit status, standard output, standard error.
fn infer(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sft-infer"));
    command.current_dir(folder).env_remove("RUST_LOG").stdin(Stdio::null()).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The standard output of a run that went well and had nothing to say beside it.
fn evaluate(folder: &Path, model: &str, more: &[&str]) -> String {
    let arguments = [&["--model_path", model, "--evaluate", "rows.csv"], more].concat();
    let (status, stdout, stderr) = infer(folder, &arguments);
    assert_eq!((status, stderr.as_str()), (0, ""));
    stdout
}

fn object(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn json_is_one_object_with_an_auroc() {
    let folder = workplace();
    let text = evaluate(folder.path(), "adapter", &["--json"]);
    let figures = object(&text);
    let keys: Vec<&String> = figures.as_object().unwrap().keys().collect();
    let mut expected = [
        "auroc",
        "auroc_by_type",
        "auroc_paired",
        "factual",
        "hallucinated",
        "loss_factual",
        "loss_hallucinated",
        "perplexity_factual",
        "rows",
        "skipped",
    ];
    expected.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!((&figures["rows"], &figures["factual"]), (&Value::from(5), &Value::from(2)));
    let auroc = figures["auroc"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&auroc));
    let types = figures["auroc_by_type"].as_object().unwrap();
    assert_eq!(types.keys().collect::<Vec<_>>(), ["invented", "negated"]);
    // six pairs: four with invented summaries, two with the negated one
    let of = |name: &str| types[name].as_f64().unwrap();
    assert!((auroc - (4.0 * of("invented") + 2.0 * of("negated")) / 6.0).abs() < 1e-12);
    assert_eq!(evaluate(folder.path(), "adapter", &["--json"]), text, "the same bytes");

    evaluate(folder.path(), "adapter", &["--json", "--output_file", "out.json"]);
    assert_eq!(fs::read_to_string(folder.path().join("out.json")).unwrap(), text);
    assert!(!folder.path().join("out.json.partial").exists());
}

#[test]
fn the_base_is_the_model_without_its_adapter() {
    let folder = workplace();
    let both = object(&evaluate(folder.path(), "adapter", &["--compare", "base", "--json"]));
    let adapted = object(&evaluate(folder.path(), "adapter", &["--json"]));
    let base = ["--json", "--prompt_template", TEMPLATE];
    assert_eq!(both["base"], object(&evaluate(folder.path(), "model", &base)));
    for (key, value) in adapted.as_object().unwrap() {
        assert_eq!(&both[key], value, "{key}");
    }
    assert_ne!(both["loss_factual"], both["base"]["loss_factual"]);
    let gain = both["auroc"].as_f64().unwrap() - both["base"]["auroc"].as_f64().unwrap();
    assert_eq!(both["auroc_gain"].as_f64(), Some(gain));
}

#[test]
fn a_table_without_json() {
    let folder = workplace();
    let table = evaluate(folder.path(), "adapter", &["--compare", "base"]);
    assert!(table.starts_with("5 rows: 2 factual, 3 hallucinated; 0 skipped\n"), "{table}");
    for part in ["model", "base", "AUROC within a note", "AUROC, negated", "AUROC gain"] {
        assert!(table.contains(part), "{part} is missing in:\n{table}");
    }
    let alone = evaluate(folder.path(), "model", &[]);
    assert!(alone.contains("AUROC") && !alone.contains("base"), "{alone}");
}

#[test]
fn one_label_has_no_auroc_and_skipped_rows_are_named() {
    let folder = workplace();
    let rows = "clinical_note,model_summary,label\nFever.,fever,factual\nx,,factual\n";
    fs::write(folder.path().join("rows.csv"), rows).unwrap();
    let arguments = ["--model_path", "adapter", "--evaluate", "rows.csv", "--json"];
    let (status, stdout, stderr) = infer(folder.path(), &arguments);
    assert!(status == 0 && stderr.contains("rows.csv:3") && stderr.lines().count() == 1);
    let figures = object(&stdout);
    assert!(figures["auroc"].is_null() && figures["loss_hallucinated"].is_null());
    assert_eq!((&figures["rows"], &figures["skipped"]), (&Value::from(1), &Value::from(1)));
}

#[test]
fn refusals_have_one_line_and_a_remedy() {
    let folder = workplace();
    let path = folder.path();
    fs::write(path.join("labels.csv"), "clinical_note,model_summary\na,b\n").unwrap();
    fs::write(path.join("empty.csv"), "clinical_note,model_summary,label\na,,factual\n").unwrap();
    let long = format!("clinical_note,model_summary,label\na,{},factual\n", "x".repeat(200));
    fs::write(path.join("long.csv"), long).unwrap();
    for (model, csv, more, status, parts) in [
        ("adapter", "none.csv", &[][..], 1, &["none.csv", "check"][..]),
        ("adapter", "labels.csv", &[], 1, &["labels.csv", "`label`"]),
        ("adapter", "empty.csv", &[], 1, &["empty.csv", "give a file"]),
        ("adapter", "long.csv", &[], 1, &["long.csv", "128 tokens", "shorten"]),
        ("model", "rows.csv", &["--compare", "base"], 2, &["model", "leave out --compare"]),
        ("nowhere", "rows.csv", &["--compare", "base"], 1, &["nowhere", "no folder"]),
        ("adapter", "rows.csv", &["--output_file", "rows.csv"], 2, &["rows.csv", "another"]),
        ("adapter", "rows.csv", &["--prompt_template", "x"], 2, &["{clinical_note}"]),
    ] {
        let arguments = [&["--model_path", model, "--evaluate", csv], more].concat();
        let (code, stdout, stderr) = infer(path, &arguments);
        assert_eq!((code, stdout.as_str()), (status, ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && !stderr.contains("panicked"), "{stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error")).collect();
        assert_eq!(errors.len(), 1, "{stderr}");
        for part in parts {
            assert!(errors[0].contains(part), "`{part}` is missing in {stderr}");
        }
    }
    assert_eq!(fs::read_to_string(path.join("rows.csv")).unwrap(), CSV);
}

#[test]
fn help_explains_it() {
    let folder = tempfile::tempdir().unwrap();
    let (status, help, _) = infer(folder.path(), &["--help"]);
    assert_eq!(status, 0);
    for part in ["--evaluate <CSV>", "--compare <base>", "AUROC"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
}
