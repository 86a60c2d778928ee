//! `--evaluate_rows`: what was measured of each row, as CSV.

use std::collections::BTreeMap;

use sft_dataset::Dataset;
use sft_eval::{EvalSet, NoteSet};

use super::Measured;
use crate::error::Error;
use crate::partial::PartialFile;

/// A line for each scored row: its loss, and the summary that the model wrote of its note.
pub(super) fn write(
    file: &mut PartialFile,
    dataset: &Dataset,
    set: &EvalSet,
    notes: &NoteSet,
    model: &Measured,
    base: Option<&Measured>,
) -> Result<(), Error> {
    let places: BTreeMap<&str, usize> =
        notes.notes().iter().enumerate().map(|(place, note)| (note.note.as_str(), place)).collect();
    let models: Vec<(&str, &Measured)> =
        [("", model)].into_iter().chain(base.map(|base| ("base_", base))).collect();

    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> =
        ["id", "line", "label", "hallucination_type"].map(str::to_owned).into();
    for (prefix, _) in &models {
        header.extend(COLUMNS.map(|name| format!("{prefix}{name}")));
    }
    writer.write_record(&header)?;
    for (row, place) in set.records().enumerate() {
        let record = &dataset.records[place];
        let mut cells = vec![
            record.id.clone(),
            record.line.to_string(),
            record.label.clone(),
            record.hallucination_type.clone(),
        ];
        let note = places.get(record.clinical_note.as_str());
        for (_, measured) in &models {
            let loss = measured.losses[row];
            cells.push(loss.targets.to_string());
            cells.push((loss.nll / loss.targets as f64).to_string());
            cells.extend(note.map_or_else(
                || vec![String::new(); 5],
                |&note| {
                    let (answer, judged) = (&measured.answers[note], &measured.judged[note]);
                    let unsupported: Vec<String> = judged
                        .audit
                        .unsupported
                        .iter()
                        .map(|fact| format!("{}: {}", fact.kind.name(), fact.text))
                        .collect();
                    vec![
                        answer.summary.clone(),
                        answer.ended.to_string(),
                        judged.rouge.map_or_else(String::new, |f1| f1[2].to_string()),
                        judged.audit.facts.to_string(),
                        unsupported.join("; "),
                    ]
                },
            ));
        }
        writer.write_record(&cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    file.write(&bytes)
}

/// Of each model.
const COLUMNS: [&str; 7] = [
    "target_tokens",
    "loss_per_token",
    "generated_summary",
    "ended",
    "rouge_l",
    "facts",
    "unsupported",
];
