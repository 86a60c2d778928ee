//! Pairs of a better and a worse summary of one note, for preference training (Stage B).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sft_dataset::Record;

/// One line of a preference file, with the columns that TRL's `DPOTrainer` reads: `prompt`, `chosen`,
/// `rejected`, and, precomputed, `ref_chosen_logps` and `ref_rejected_logps`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preference {
    /// The prompt as the model was trained with it, the note filled in.
    pub prompt: String,
    /// A factual summary.
    pub chosen: String,
    /// One that is not.
    pub rejected: String,
    /// Log-probability of `chosen` and the end-of-sequence token behind it, given the prompt, by the
    /// model that was fine-tuned (the reference model of preference training), in nats.
    pub ref_chosen_logps: f64,
    /// The same of `rejected`.
    pub ref_rejected_logps: f64,
    /// Where `rejected` comes from: a labelled row, or the model itself.
    pub source: Source,
    /// The `hallucination_type` of the labelled row; of the model's own summaries the kinds of facts
    /// that the note does not support.
    pub hallucination_type: String,
    /// The id of the factual row.
    pub id: String,
}

/// Where a rejected summary comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A row of the file.
    Labels,
    /// Written by the model, and not supported by its note.
    Model,
}

/// The places of the pairs of a factual and a hallucinated record of one note, in the records' order.
pub fn labelled_pairs(records: &[Record]) -> Vec<(usize, usize)> {
    let mut notes: BTreeMap<&str, [Vec<usize>; 2]> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        let sides = notes.entry(&record.clinical_note).or_default();
        sides[usize::from(!record.is_factual())].push(place);
    }
    let mut pairs: Vec<(usize, usize)> = notes
        .values()
        .flat_map(|[chosen, rejected]| {
            chosen.iter().flat_map(|&c| rejected.iter().map(move |&r| (c, r)))
        })
        .filter(|&(c, r)| records[c].model_summary != records[r].model_summary)
        .collect();
    pairs.sort_unstable();
    // Rows that say the same are one.
    let mut seen = BTreeSet::new();
    pairs.retain(|&(c, r)| {
        let texts = [&records[c], &records[r]].map(|record| record.model_summary.as_str());
        seen.insert((records[c].clinical_note.as_str(), texts))
    });
    pairs
}

/// How many labelled pairs there are of each `hallucination_type`; of rows without one under an
/// empty name.
pub fn pairs_by_type(records: &[Record]) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for (_, rejected) in labelled_pairs(records) {
        *types.entry(records[rejected].hallucination_type.clone()).or_insert(0) += 1;
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, note: &str, summary: &str, label: &str, kind: &str) -> Record {
        Record {
            line: 2,
            id: id.into(),
            clinical_note: note.into(),
            model_summary: summary.into(),
            label: label.into(),
            hallucination_type: kind.into(),
        }
    }

    #[test]
    fn pairs_stay_within_a_note_and_need_both_sides() {
        let records = [
            record("a", "one", "right", "factual", ""),
            record("b", "one", "wrong", "hallucinated", "dose"),
            record("c", "two", "wrong", "hallucinated", "side"),
            record("d", "one", "also wrong", "hallucinated", "side"),
            record("e", "one", "also right", "factual", ""),
            record("f", "three", "right", "factual", ""),
            record("g", "one", "right", "hallucinated", "dose"), // no preference of a text over itself
        ];
        let copies: Vec<Record> = records.iter().chain(&records).cloned().collect();
        assert_eq!(labelled_pairs(&copies), labelled_pairs(&records), "copies are no pairs more");
        assert_eq!(labelled_pairs(&records), [(0, 1), (0, 3), (4, 1), (4, 3), (4, 6)]);
        let types = pairs_by_type(&records);
        assert_eq!(types, [("dose".to_owned(), 3), ("side".to_owned(), 2)].into());
    }
}
