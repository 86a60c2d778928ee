//! How many summaries are complete and supported?
//!
//! ```sh
//! sft-infer --model_path MODEL --input_file NOTES.csv --json > SUMMARIES.jsonl
//! cargo run --example count_findings -- NOTES.csv FINDINGS.jsonl SUMMARIES.jsonl [--min 0.9]
//! ```
//!
//! Only the notes of the sidecar FINDINGS.jsonl are counted; all three files are joined by `id`.
//! Prints what is wrong with each failing summary, then the figures. With `--min` the exit code is
//! 1 where a smaller share is complete and supported.
#![allow(clippy::print_stdout)]

use std::{collections::BTreeMap, error::Error, fs, path::Path, process::ExitCode};

use sft::dataset::read_notes;
use sft::eval::findings::{check, read_jsonl};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (notes, findings, summaries, min) = match arguments[..] {
        [notes, findings, summaries] => (notes, findings, summaries, 0.0),
        [notes, findings, summaries, "--min", min] => {
            let min = min.parse::<f64>().map_err(|e| format!("--min {min}: {e}; give 0 to 1"))?;
            (notes, findings, summaries, min)
        }
        _ => {
            return Err(
                "usage: count_findings NOTES.csv FINDINGS.jsonl SUMMARIES.jsonl [--min 0.9]".into(),
            );
        }
    };
    let rows = read_notes(Path::new(notes))?;
    let notes_by_id: BTreeMap<String, String> =
        rows.into_iter().filter_map(|row| Some((row.id?, row.clinical_note))).collect();
    let summaries_by_id = read_summaries(summaries)?;
    let sidecar = read_jsonl(Path::new(findings))?;
    if sidecar.is_empty() {
        return Err(format!("{findings}: no notes; write a line for each").into());
    }

    let (mut complete, mut supported, mut both) = (0, 0, 0);
    for entry in &sidecar {
        let id = &entry.id;
        let note = notes_by_id.get(id).ok_or_else(|| format!("{notes}: no row has the id {id}"))?;
        let summary = summaries_by_id.get(id).ok_or_else(|| {
            format!("{summaries}: no summary has the id {id}; summarise {notes} with --json")
        })?;
        let verdict = check(note, &entry.findings, summary);
        complete += usize::from(verdict.complete());
        supported += usize::from(verdict.supported());
        if verdict.complete() && verdict.supported() {
            both += 1;
            continue;
        }
        let missing = verdict.missing.iter().map(|missing| format!("missing {missing}"));
        let unsupported = verdict.unsupported.iter().map(ToString::to_string);
        let problems: Vec<String> = missing.chain(unsupported).collect();
        println!("{id}: {} | {summary:?}", problems.join("; "));
    }
    let share = both as f64 / sidecar.len() as f64;
    println!(
        "complete and supported: {both} of {} ({:.1} %), complete {complete}, supported {supported}",
        sidecar.len(),
        100.0 * share
    );
    Ok(if share < min { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `generated_summary` by `id`.
fn read_summaries(path: &str) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let mut summaries = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| format!("{path}:{line}: {e}"))?;
        let (Some(id), Some(summary)) = (value["id"].as_str(), value["generated_summary"].as_str())
        else {
            return Err(format!(
                "{path}:{line}: no `id` and `generated_summary`; use sft-infer --json on a CSV file with ids"
            )
            .into());
        };
        summaries.insert(id.to_owned(), summary.to_owned());
    }
    Ok(summaries)
}
