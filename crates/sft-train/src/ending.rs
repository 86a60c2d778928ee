//! What is made of a run that has ended: its report.

use std::path::{Path, PathBuf};

use sft_dataset::{EncodedSet, PromptTokenizer, Record};
use sft_inference::{Event, GenerationParams, Generator};
use sft_report::{DataShape, ExampleText, Report, Run};
use sft_trainer::{Outcome, StopFlag, Trainer, write_report};

use crate::console;
use crate::data::Rows;
use crate::error::{CliError, one_line};
use crate::resolve::Settings;

/// Longest summary of an example.
const NEW_TOKENS: usize = 150;

/// What the report says beyond the files of the run.
pub(crate) struct Ending {
    output_dir: PathBuf,
    data: DataShape,
    /// The rows whose notes are shown.
    records: Vec<Record>,
    prompts: PromptTokenizer,
    stop_ids: Vec<u32>,
}

impl Ending {
    pub(crate) fn new(
        settings: &Settings,
        rows: Rows,
        train: &EncodedSet,
        val: &EncodedSet,
        prompts: PromptTokenizer,
        mut stop_ids: Vec<u32>,
    ) -> Self {
        stop_ids.push(prompts.eos_id());
        let (records, set) =
            if val.examples.is_empty() { (rows.train, train) } else { (rows.val, val) };
        let used = set.examples.iter().filter_map(|example| records.get(example.index as usize));
        Self {
            output_dir: settings.output_dir.clone(),
            data: rows.shape,
            records: used.take(settings.report_examples).cloned().collect(),
            prompts,
            stop_ids,
        }
    }

    /// Where the files of the run are; none where nothing was run.
    pub(crate) fn directory(&self, outcome: &Outcome) -> Option<PathBuf> {
        match outcome {
            Outcome::Completed { .. } => Some(self.output_dir.clone()),
            Outcome::Stopped { checkpoint } => checkpoint.parent().map(Path::to_owned),
            Outcome::AlreadyFinished => None,
        }
    }

    /// Writes the report into `dir` and says so. The run has ended well already: what goes wrong here is a warning.
    /// Summaries of examples are made for a complete run alone, and not when somebody asks to stop.
    pub(crate) fn write_report(
        self,
        trainer: Trainer,
        dir: &Path,
        complete: bool,
        stop: &StopFlag,
    ) {
        match self.report(trainer, dir, complete, stop) {
            Ok(path) => console::status(format_args!("report: {}", path.display())),
            Err(error) => console::warning(format_args!(
                "the report was not written; the run itself is whole: {}",
                one_line(&error)
            )),
        }
    }

    fn report(
        self,
        trainer: Trainer,
        dir: &Path,
        complete: bool,
        stop: &StopFlag,
    ) -> Result<PathBuf, CliError> {
        let named = |(name, value): (&str, String)| (name.replace('_', " "), value);
        let model = trainer.model();
        let mut report = Report {
            run: Run::read(dir)?,
            planned_steps: Some(trainer.plan().total_steps),
            parameters: Some((model.trainable_parameters(), model.total_parameters())),
            data: Some(self.data),
            fingerprints: trainer.fingerprints().into_iter().map(named).collect(),
            versions: vec![
                ("sft-train".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                (
                    "system".to_owned(),
                    format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
                ),
            ],
            ..Report::default()
        };
        if complete && !self.records.is_empty() {
            console::status(format_args!(
                "summarising {} notes for the report, with the adapter and without",
                self.records.len()
            ));
            let generator = Generator::new(trainer.into_model(), self.prompts, self.stop_ids);
            match summaries(generator, &self.records, stop) {
                Ok(examples) => report.examples = examples,
                // The curves are worth having without them.
                Err(error) => console::warning(format_args!(
                    "the report is without examples: {}",
                    one_line(&error)
                )),
            }
        }
        Ok(write_report(dir, &report.html()?)?)
    }
}

/// Each note that the model can take, summarised by the fine-tuned model and by its base. None when asked to stop.
fn summaries(
    mut generator: Generator,
    records: &[Record],
    stop: &StopFlag,
) -> Result<Vec<ExampleText>, CliError> {
    let fits = |record: &&Record| generator.check_note(0, &record.clinical_note).is_ok();
    let records: Vec<&Record> = records.iter().filter(fits).collect();
    let notes: Vec<String> = records.iter().map(|record| record.clinical_note.clone()).collect();
    let Some(tuned) = summarise(&generator, &notes, stop)? else { return Ok(Vec::new()) };
    generator.set_adapter_enabled(false);
    let Some(base) = summarise(&generator, &notes, stop)? else { return Ok(Vec::new()) };
    let examples =
        records.into_iter().zip(tuned).zip(base).map(|((record, tuned), base)| ExampleText {
            id: record.id.clone(),
            note: record.clinical_note.clone(),
            reference: record.model_summary.clone(),
            base: Some(base),
            tuned: Some(tuned),
            unsupported: Vec::new(),
        });
    Ok(examples.collect())
}

/// Greedy summaries in the order of the notes; none when asked to stop.
fn summarise(
    generator: &Generator,
    notes: &[String],
    stop: &StopFlag,
) -> Result<Option<Vec<String>>, CliError> {
    let params = GenerationParams { max_new_tokens: NEW_TOKENS, ..GenerationParams::default() };
    let mut summaries = vec![String::new(); notes.len()];
    for event in generator.stream(notes, &params)? {
        if stop.is_set() {
            return Ok(None);
        }
        if let Event::Finished { note, generation } = event? {
            summaries[note] = generation.generated_summary;
        }
    }
    Ok(Some(summaries))
}
