//! Behaviour of the whole crate, from files on disk to batches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod batch;
mod chat;
mod config;
mod csv;
mod prompt;
mod split;
mod template;
mod tokenizers_built;
mod tokenizers_golden;
mod truncation;

use sft_dataset::Record;

/// A factual record as `Dataset::read_csv` would make it.
fn record(line: u64, note: &str, summary: &str) -> Record {
    Record {
        line,
        id: format!("row-{line}"),
        clinical_note: note.to_owned(),
        model_summary: summary.to_owned(),
        label: "factual".to_owned(),
        hallucination_type: String::new(),
    }
}
