//! Training and validation never share a note.

use crate::record;
use proptest::prelude::*;
use sft_dataset::{DatasetError, Record, folds_by_note, shared_notes, split_by_note};

fn rows(notes: &[usize]) -> Vec<Record> {
    notes
        .iter()
        .enumerate()
        .map(|(row, note)| {
            record(row as u64 + 2, &format!("note {note}"), &format!("summary {row}"))
        })
        .collect()
}

fn lines(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.line).collect()
}

#[test]
fn the_split_is_seeded_and_stable() {
    let records = rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    let (train, val) = split_by_note(records.clone(), 0.25, 42).unwrap();
    // Golden: a resumed run must find the same validation rows in every version.
    assert_eq!(lines(&val), [3, 11, 13]);
    assert_eq!(train.len() + val.len(), 12);
    let vals: Vec<_> =
        (0..20).map(|seed| lines(&split_by_note(records.clone(), 0.25, seed).unwrap().1)).collect();
    assert!(vals.iter().any(|val| *val != vals[0]), "{vals:?}");
}

#[test]
fn folds_are_even_and_keep_notes_whole() {
    let records = rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 0, 5]);
    for (folds, seed) in [(2, 1), (3, 1), (5, 1), (5, 2), (10, 7)] {
        let parts = folds_by_note(&records, folds, seed).unwrap();
        assert_eq!(parts, folds_by_note(&records, folds, seed).unwrap());
        let sizes: Vec<usize> =
            (0..folds).map(|fold| parts.iter().filter(|&&part| part == fold).count()).collect();
        let (most, fewest) = (sizes.iter().max().unwrap(), sizes.iter().min().unwrap());
        assert!(
            *fewest > 0 && most - fewest <= 3,
            "no more apart than the largest note: {sizes:?}"
        );
        for (a, part) in records.iter().zip(&parts) {
            for (b, other) in records.iter().zip(&parts) {
                assert!(a.clinical_note != b.clinical_note || part == other);
            }
        }
    }
    assert_ne!(folds_by_note(&records, 5, 1).unwrap(), folds_by_note(&records, 5, 2).unwrap());
    for folds in [0, 1, 11] {
        let refused = folds_by_note(&records, folds, 1);
        assert!(matches!(refused, Err(DatasetError::Folds { notes: 10, .. })), "{refused:?}");
    }
}

#[test]
fn small_and_odd_cases() {
    let split = |notes: &[usize], share| {
        let (train, val) = split_by_note(rows(notes), share, 1).unwrap();
        (train.len(), val.len())
    };
    assert_eq!(split(&[0, 1, 2], 0.0), (3, 0));
    assert_eq!(split(&[], 0.1), (0, 0));
    assert_eq!(split(&[4, 4, 4], 0.9), (3, 0), "one note stays in training");
    assert_eq!(split(&[0, 1, 2], 0.01), (2, 1), "at least one note is validated on");
    assert_eq!(split(&[0, 1, 2], 0.99), (1, 2), "never all");
}

#[test]
fn a_note_is_the_same_with_other_white_space_around_it() {
    let mut records = rows(&[0, 1]);
    records.push(record(9, "  note 0\n", "x"));
    records.push(record(10, "note 1 ", "y"));
    let (train, val) = split_by_note(records, 0.5, 3).unwrap();
    assert_eq!((train.len(), val.len()), (2, 2));
    assert_eq!(shared_notes(&train, &val), 0);
}

#[test]
fn a_share_outside_zero_to_one_is_an_error() {
    for share in [-0.1, 1.0, 2.0, f64::NAN, f64::INFINITY] {
        let error = split_by_note(rows(&[0, 1]), share, 0).unwrap_err();
        assert!(matches!(error, DatasetError::ValSplit { .. }), "{error}");
    }
}

#[test]
fn shared_notes_are_counted_once_each() {
    assert_eq!(shared_notes(&rows(&[0, 1, 1, 2]), &rows(&[1, 1, 2, 7])), 2);
    assert_eq!(shared_notes(&rows(&[0]), &[]), 0);
}

proptest! {
    #[test]
    fn rows_of_a_note_stay_together(
        notes in prop::collection::vec(0_usize..12, 0..60),
        share in 0.0..0.999_f64,
        seed: u64,
    ) {
        let records = rows(&notes);
        let (train, val) = split_by_note(records.clone(), share, seed).unwrap();
        prop_assert_eq!(shared_notes(&train, &val), 0);
        let mut all: Vec<Record> = train.iter().chain(&val).cloned().collect();
        all.sort_by_key(|record| record.line);
        prop_assert_eq!(all, records);
        prop_assert!(train.is_sorted_by_key(|r| r.line) && val.is_sorted_by_key(|r| r.line));
        prop_assert!(notes.is_empty() || !train.is_empty());
        let distinct = notes.iter().collect::<std::collections::BTreeSet<_>>().len();
        let left = train.iter().map(|r| &r.clinical_note).collect::<std::collections::BTreeSet<_>>().len();
        if share > 0.0 && distinct > 1 {
            prop_assert!(!val.is_empty());
            let wanted = (share * notes.len() as f64).round() as usize;
            prop_assert!(val.len() >= wanted || left == 1);
        }
    }
}
