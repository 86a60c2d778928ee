//! What the rows of a run are like, in numbers: for its report.

use std::collections::BTreeMap;
use std::path::Path;

use sft_dataset::{Dataset, EncodedSet, Record, shown_kinds};
use sft_report::{DataShape, DroppedRows, Quantiles, SetShape};

/// Rows by type of hallucination.
pub(crate) fn types(dataset: &Dataset) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for record in dataset.records.iter().filter(|record| !record.hallucination_type.is_empty()) {
        *types.entry(record.hallucination_type.clone()).or_insert(0) += 1;
    }
    types
}

/// The rows of a file.
pub(crate) fn of_file(path: &Path, dataset: &Dataset) -> SetShape {
    let mut shape = SetShape {
        source: path.display().to_string(),
        rows: dataset.report.rows,
        labels: shown_kinds(&dataset.report.labels),
        hallucination_types: shown_kinds(&types(dataset)),
        ..SetShape::default()
    };
    let dropped = &dataset.report.dropped;
    for (reason, note, summary) in [
        ("empty note", true, false),
        ("empty summary", false, true),
        ("empty note and summary", true, true),
    ] {
        let of_this =
            dropped.iter().filter(|row| (row.empty_note, row.empty_summary) == (note, summary));
        drop_rows(&mut shape, reason, of_this.count());
    }
    shape
}

/// Moves the rows that are held out for validation from one set to the other.
pub(crate) fn hold_out(shape: &mut DataShape, val: &[Record]) {
    if val.is_empty() {
        return;
    }
    let training = &mut shape.training;
    let mut held_out = SetShape {
        source: format!("held out of {}", training.source),
        rows: val.len(),
        ..SetShape::default()
    };
    training.rows -= val.len();
    for record in val {
        *held_out.labels.entry(record.label.clone()).or_default() += 1;
        if let Some(count) = training.labels.get_mut(&record.label) {
            *count = count.saturating_sub(1);
        }
    }
    shape.validation = Some(held_out);
}

/// Adds what the rows are in tokens.
pub(crate) fn encoded(shape: &mut DataShape, train: &EncodedSet, val: &EncodedSet) {
    let sets = [(Some(&mut shape.training), train), (shape.validation.as_mut(), val)];
    for (shape, set) in sets {
        let Some(shape) = shape else { continue };
        let lengths =
            |of: fn(&sft_dataset::Example) -> usize| Quantiles::of(set.examples.iter().map(of));
        shape.examples = set.examples.len();
        shape.truncated = set.report.truncated.len();
        shape.prompt_tokens = lengths(|example| example.first_target);
        shape.target_tokens = lengths(|example| example.ids.len() - example.first_target);
        let reason =
            format!("longer than {} tokens, even with an empty note", set.report.max_length);
        drop_rows(shape, &reason, set.report.dropped.len());
    }
}

fn drop_rows(shape: &mut SetShape, reason: &str, rows: usize) {
    if rows > 0 {
        shape.dropped.push(DroppedRows { reason: reason.to_owned(), rows });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_once_also_when_some_are_held_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        let mut csv = String::from("clinical_note,model_summary,label,hallucination_type\n");
        csv += "a,b,factual,\nc,d,Factual ,\n,d,factual,\ne,,factual,\n,,factual,\n";
        csv.extend((0..30).map(|kind| format!("a,x,hallucinated,kind {kind}\n")));
        std::fs::write(&path, csv).unwrap();
        let dataset = Dataset::read_csv(&path).unwrap();
        let mut shape = DataShape { training: of_file(&path, &dataset), validation: None };
        let val = dataset.factual_records().unwrap().split_off(1);
        hold_out(&mut shape, &val);
        let held_out = shape.validation.unwrap();
        assert_eq!((shape.training.rows, held_out.rows), (34, 1));
        assert_eq!(
            shape.training.labels,
            [("factual".into(), 4), ("hallucinated".into(), 30)].into()
        );
        assert_eq!(held_out.labels, [("factual".into(), 1)].into());
        let kinds = &shape.training.hallucination_types;
        assert_eq!(*kinds, [("(other)".into(), 30)].into(), "a column in which no two rows agree");
        let reasons: Vec<_> =
            shape.training.dropped.iter().map(|it| (&*it.reason, it.rows)).collect();
        assert_eq!(
            reasons,
            [("empty note", 1), ("empty summary", 1), ("empty note and summary", 1)]
        );
    }
}
