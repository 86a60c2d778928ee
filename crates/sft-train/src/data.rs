//! The rows of a run: read, filtered, split.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sft_dataset::{Dataset, Record, shared_notes, shown_kinds, split_by_note};
use sft_eval::pairs_by_type;
use sft_model::source::Sample;
use sft_report::{DataShape, SetShape};
use sft_trainer::DataFile;

use crate::error::CliError;
use crate::resolve::{Settings, Validation};
use crate::shape;
use crate::source;

/// The factual rows of a run, and what their files hold.
pub(crate) struct Rows {
    pub(crate) train: Vec<Record>,
    pub(crate) val: Vec<Record>,
    /// What the files hold, for the report of the run.
    pub(crate) shape: DataShape,
    /// Lines for the user about the files.
    pub(crate) report: Vec<String>,
    /// What deserves a second look.
    pub(crate) notes: Vec<String>,
    /// The files of the user that the rows came from.
    pub(crate) files: Vec<DataFile>,
    /// Pairs of a factual and a hallucinated training row of one note, by type.
    pub(crate) pairs: BTreeMap<String, usize>,
    /// The validation notes' rows of every label, if some are hallucinated.
    pub(crate) labelled: Option<Dataset>,
}

impl Rows {
    /// Reads the training file and the validation file, or splits the training file by note.
    pub(crate) fn read(settings: &Settings) -> Result<Self, CliError> {
        let mut rows = Self {
            train: Vec::new(),
            val: Vec::new(),
            shape: DataShape::default(),
            report: Vec::new(),
            notes: Vec::new(),
            files: Vec::new(),
            pairs: BTreeMap::new(),
            labelled: None,
        };
        let (factual, shape, mut dataset) = rows.factual(&settings.train_csv, Sample::Train)?;
        rows.shape.training = shape;
        match &settings.validation {
            Validation::Split(share) => {
                (rows.train, rows.val) = split_by_note(factual, *share, settings.train.seed)?;
                if *share > 0.0 && rows.val.is_empty() {
                    rows.notes.push(
                        "all rows have one note: nothing can be held out for validation".to_owned(),
                    );
                }
                shape::hold_out(&mut rows.shape, &rows.val);
                let notes: BTreeSet<&str> =
                    rows.val.iter().map(|record| record.clinical_note.as_str()).collect();
                dataset.records.retain(|record| notes.contains(record.clinical_note.as_str()));
            }
            Validation::File(path) => {
                let (factual_val, shape, of_file) = rows.factual(path, Sample::Validation)?;
                (rows.val, dataset) = (factual_val, of_file);
                rows.shape.validation = Some(shape);
                rows.train = factual;
                let shared = shared_notes(&rows.train, &rows.val);
                if shared > 0 {
                    rows.notes.push(format!(
                        "{shared} notes of {} are also in the training file; the validation loss will look too good",
                        path.display()
                    ));
                }
            }
        }
        let hallucinated = dataset.records.iter().any(|record| !record.is_factual());
        name_types(&mut dataset);
        rows.labelled = Some(dataset).filter(|_| hallucinated);
        rows.report.push(format!(
            "rows: {} to train on, {} to validate on",
            rows.train.len(),
            rows.val.len()
        ));
        Ok(rows)
    }

    fn factual(
        &mut self,
        path: &Path,
        sample: Sample,
    ) -> Result<(Vec<Record>, SetShape, Dataset), CliError> {
        if source::is_embedded(path) && sample == Sample::Train {
            self.report.push(
                "embedded: synthetic sample data, for a first look; give your own rows with --train_csv FILE"
                    .to_owned(),
            );
        }
        let file = source::rows_file(path, sample)?;
        if !source::is_embedded(path) {
            self.files.push(DataFile::of(&file));
        }
        let dataset = Dataset::read_csv(&file)?;
        let factual = dataset.factual_records()?;
        if sample == Sample::Train {
            self.pairs = shown_kinds(&pairs_by_type(&dataset.records));
        }
        self.report.extend(
            dataset.report.lines().iter().map(|line| format!("{}: {line}", path.display())),
        );
        Ok((factual, shape::of_file(path, &dataset), dataset))
    }
}

/// Leaves of the types of hallucination what looks like one: the column may hold anything.
fn name_types(dataset: &mut Dataset) {
    let shown = shown_kinds(&shape::types(dataset));
    for record in &mut dataset.records {
        let kind = &mut record.hallucination_type;
        if !kind.is_empty() && !shown.contains_key(kind.as_str()) {
            "(other)".clone_into(kind);
        }
    }
}
