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
        "intervals",
        "loss_factual",
        "loss_hallucinated",
        "perplexity_factual",
        "readiness",
        "rows",
        "shortened",
        "skipped",
        "summaries",
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
    let mut alone = object(&evaluate(folder.path(), "model", &base));
    alone.as_object_mut().unwrap().remove("readiness");
    assert_eq!(both["base"], alone);
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
fn summaries_are_judged_and_rows_and_pairs_are_written() {
    let folder = workplace();
    let path = folder.path();
    let files = [
        "--evaluate_rows",
        "measured.csv",
        "--export_preferences",
        "pairs.jsonl",
        "--max_new_tokens",
        "8",
    ];
    let flags =
        ["--model_path", "adapter", "--evaluate", "rows.csv", "--compare", "base", "--json"];
    let (status, stdout, stderr) = infer(path, &[&flags[..], &files].concat());
    assert_eq!(status, 0, "{stderr}");
    let figures = object(&stdout);
    assert!(stderr.starts_with("5 rows are in measured.csv\n"), "{stderr}");
    assert!(stderr.contains(" of the model) are in pairs.jsonl\n"), "{stderr}");
    let summaries = &figures["summaries"];
    assert_eq!((&summaries["notes"], &summaries["with_reference"]), (&3.into(), &2.into()));
    for key in ["rouge_l", "eos_rate", "copy_rate", "repetition", "grounded", "faithful"] {
        let of = |bound: &str| summaries[key][bound].as_f64().unwrap();
        assert!(of("low") <= of("estimate") && of("estimate") <= of("high"), "{key}: {summaries}");
        let gain = figures["gains"][key]["estimate"].as_f64().unwrap();
        let base = figures["base"]["summaries"][key]["estimate"].as_f64().unwrap();
        assert!((gain - (of("estimate") - base)).abs() < 1e-9, "{key}");
    }
    let checks = figures["readiness"]["checks"].as_array().unwrap();
    assert_eq!((checks.len(), &figures["readiness"]["verdict"]), (5, &"HOLD".into()));

    let mut rows = csv::Reader::from_path(path.join("measured.csv")).unwrap();
    let header = rows.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 5);
    let column = |name: &str| -> Vec<&str> { rows.iter().map(|row| &row[at(name)]).collect() };
    assert_eq!(column("id"), ["a", "b", "c", "d", "e"]);
    let number = |text: &&str| text.parse::<f64>().unwrap();
    let sum: f64 = column("loss_per_token")
        .iter()
        .zip(column("target_tokens"))
        .zip(column("label"))
        .filter(|(_, label)| *label == "factual")
        .map(|((loss, tokens), _)| number(loss) * number(&tokens))
        .sum();
    let tokens: f64 = [0, 2].iter().map(|&row| number(&column("target_tokens")[row])).sum();
    assert!((sum / tokens - figures["loss_factual"].as_f64().unwrap()).abs() < 1e-9);
    let summary = column("generated_summary");
    assert_eq!(summary[0], summary[1], "of one note");
    assert_eq!(column("base_generated_summary").len(), 5);

    let pairs = fs::read_to_string(path.join("pairs.jsonl")).unwrap();
    let pairs: Vec<Value> = pairs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let labelled: Vec<&Value> = pairs.iter().filter(|pair| pair["source"] == "labels").collect();
    let kinds: Vec<&str> =
        labelled.iter().map(|pair| pair["hallucination_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["invented", "negated"]);
    let prompt = TEMPLATE.replace("{clinical_note}", "Fever and cough.");
    assert_eq!(labelled[0]["prompt"], prompt.as_str());
    assert_eq!(labelled[0]["chosen"].as_str().unwrap().trim(), "fever with cough");
    let logps = labelled[0]["ref_chosen_logps"].as_f64().unwrap();
    let losses =
        [column("loss_per_token")[0], column("target_tokens")[0]].map(|text| number(&text));
    assert!((logps + losses[0] * losses[1]).abs() < 1e-9);
}

#[test]
fn outputs_replace_nothing_that_is_read_and_not_each_other() {
    let folder = workplace();
    let path = folder.path();
    let findings = r#"{"id":"a","findings":[{"kind":"symptom","term":"fever","present":true}]}"#;
    fs::write(path.join("f.jsonl"), findings).unwrap();
    fs::write(path.join("tpl.txt"), TEMPLATE).unwrap();
    fs::write(path.join("terms.txt"), "finding\tfever\n").unwrap();
    for flags in [
        &["--findings", "f.jsonl", "--evaluate_rows", "f.jsonl"][..],
        &["--findings", "f.jsonl", "--output_file", "./f.jsonl"],
        &["--terms", "terms.txt", "--export_preferences", "terms.txt"],
        &["--prompt_template", "tpl.txt", "--evaluate_rows", "tpl.txt"],
        &["--evaluate_rows", "adapter/adapter_config.json"],
        &["--evaluate_rows", "new.csv", "--export_preferences", "./new.csv"],
        &["--evaluate_rows", "new.csv.partial", "--output_file", "new.csv"],
    ] {
        let all = [&["--model_path", "adapter", "--evaluate", "rows.csv"], flags].concat();
        let (status, stdout, stderr) = infer(path, &all);
        assert_eq!((status, stdout.as_str()), (2, ""), "{flags:?}: {stderr}");
        let said =
            ["give another path", "a path of its own"].iter().any(|words| stderr.contains(words));
        assert!(said, "{flags:?}: {stderr}");
    }
    assert_eq!(fs::read_to_string(path.join("f.jsonl")).unwrap(), findings);
    assert!(!path.join("new.csv").exists());
}

#[test]
fn labels_that_say_nothing_are_left_out_and_long_notes_are_counted() {
    let folder = workplace();
    let long = format!("Fever. {}", "And so on it went. ".repeat(30));
    let rows = format!(
        "id,clinical_note,model_summary,label\na,Fever.,fever,factual\nb,Fever.,rash,\nc,Fever.,cough,unsure\n\
         d,{long},fever,factual\n"
    );
    fs::write(folder.path().join("rows.csv"), rows).unwrap();
    let arguments = ["--model_path", "adapter", "--evaluate", "rows.csv", "--json"];
    let (status, stdout, stderr) = infer(folder.path(), &arguments);
    assert_eq!(status, 0, "{stderr}");
    let figures = object(&stdout);
    let counts = ["rows", "factual", "hallucinated", "shortened"].map(|key| figures[key].as_u64());
    assert_eq!(counts, [Some(3), Some(2), Some(1), Some(1)]);
    for part in
        ["1 rows without a label", "neither factual nor hallucinated", "rows.csv:5: more than"]
    {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn scores_only_writes_no_summary() {
    let folder = workplace();
    let figures = object(&evaluate(folder.path(), "adapter", &["--json", "--scores_only"]));
    assert!(figures["summaries"].is_null() && figures["auroc"].is_number());
}

#[test]
fn a_threshold_that_is_missed_has_a_status_of_its_own() {
    let folder = workplace();
    let gate = |flags: &[&str]| {
        let all =
            [&["--model_path", "adapter", "--evaluate", "rows.csv", "--json"], flags].concat();
        infer(folder.path(), &all)
    };
    let (status, stdout, stderr) = gate(&["--min_auroc", "0", "--min_eos_rate", "0"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(object(&stdout)["auroc"].is_number());
    let (status, stdout, stderr) = gate(&["--min_rouge_l", "1", "--min_faithful", "1"]);
    assert_eq!(status, 3, "{stderr}");
    assert!(object(&stdout)["auroc"].is_number(), "the figures come all the same");
    assert!(stderr.contains(" is below --min-rouge-l 1; "), "{stderr}");
    assert!(stderr.contains(" is below --min-faithful 1"), "{stderr}");
    let (status, _, stderr) = gate(&["--scores_only", "--min_grounded", "0.1"]);
    assert!(status == 2 && stderr.contains("cannot be used with"), "{stderr}");
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
