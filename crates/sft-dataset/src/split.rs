//! Training and validation rows, without a note on both sides.

use crate::random::{SPLIT_STREAM, SplitMix64};
use crate::{DatasetError, Record};
use std::collections::{BTreeMap, BTreeSet};

/// Splits records into training and validation, both in file order.
///
/// All rows of one note (trimmed) go to the same side. Notes are drawn in a seeded order until
/// validation has at least `round(val_split * n)` rows and one note; the last note always stays in
/// training, so a single note leaves validation empty. With `val_split` 0 nothing is taken.
///
/// # Errors
/// [`DatasetError::ValSplit`] if `val_split` is not in `[0, 1)`.
pub fn split_by_note(
    records: Vec<Record>,
    val_split: f64,
    seed: u64,
) -> Result<(Vec<Record>, Vec<Record>), DatasetError> {
    if !(0.0..1.0).contains(&val_split) {
        return Err(DatasetError::ValSplit { value: val_split });
    }
    if val_split == 0.0 {
        return Ok((records, Vec::new()));
    }
    let mut order: Vec<&str> = Vec::new();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        let size = sizes.entry(record.clinical_note.trim()).or_insert_with(|| {
            order.push(record.clinical_note.trim());
            0
        });
        *size += 1;
    }
    SplitMix64::new(seed, SPLIT_STREAM).shuffle(&mut order);

    let wanted = (val_split * records.len() as f64).round().max(1.0) as usize;
    order.pop();
    let mut taken = 0;
    let mut notes = BTreeSet::new();
    for note in order {
        if taken >= wanted {
            break;
        }
        taken += sizes[note];
        notes.insert(note);
    }
    let sides: Vec<bool> =
        records.iter().map(|record| notes.contains(record.clinical_note.trim())).collect();
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (record, is_val) in records.into_iter().zip(sides) {
        if is_val { val.push(record) } else { train.push(record) }
    }
    Ok((train, val))
}

/// Divides records into `folds` parts of about equal size: the number of each record's part, from 0.
///
/// All rows of one note (trimmed) go to the same part. Notes are dealt in a seeded order, each to the
/// part that has the fewest rows.
///
/// # Errors
/// [`DatasetError::Folds`] with fewer than two folds, or fewer notes than folds.
pub fn folds_by_note(
    records: &[Record],
    folds: usize,
    seed: u64,
) -> Result<Vec<usize>, DatasetError> {
    let mut notes: Vec<&str> = Vec::new();
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        let note = record.clinical_note.trim();
        *rows.entry(note).or_insert_with(|| {
            notes.push(note);
            0
        }) += 1;
    }
    if folds < 2 || notes.len() < folds {
        return Err(DatasetError::Folds { folds, notes: notes.len() });
    }
    SplitMix64::new(seed, SPLIT_STREAM).shuffle(&mut notes);
    let mut sizes = vec![0; folds];
    let mut fold_of: BTreeMap<&str, usize> = BTreeMap::new();
    for note in notes {
        let fold = (0..folds).min_by_key(|&fold| sizes[fold]).unwrap_or_default();
        sizes[fold] += rows[note];
        fold_of.insert(note, fold);
    }
    Ok(records.iter().map(|record| fold_of[record.clinical_note.trim()]).collect())
}

/// How many distinct notes stand in both sets: if any, validation has seen its notes in training.
pub fn shared_notes(train: &[Record], val: &[Record]) -> usize {
    let notes = |records: &'_ [Record]| -> BTreeSet<String> {
        records.iter().map(|record| record.clinical_note.trim().to_owned()).collect()
    };
    notes(train).intersection(&notes(val)).count()
}
