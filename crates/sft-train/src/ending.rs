//! What is made of a run that has ended: is it ready for Stage B, and its report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sft_dataset::{Dataset, EncodedSet, PromptTokenizer, Record};
use sft_eval::audit::{Auditor, Terms};
use sft_eval::{
    Answer, Comparison, EvalError, EvalNote, EvalSet, Evaluation, Evidence, Judged, ModelReport,
    NoteSet, Readiness, Status, SummaryFigures, TrainingCurve,
};
use sft_inference::{Event, FinishReason, GenerationParams, Generator};
use sft_report::{Check, DataShape, ExampleText, Report, Run};
use sft_trainer::{Outcome, StopFlag, Trainer, write_report};

use crate::console;
use crate::data::Rows;
use crate::error::{CliError, one_line};
use crate::resolve::Settings;

/// Longest summary.
const NEW_TOKENS: usize = 150;
/// Notes that are summarised to see whether the text is as it should be, at most, ...
const CHECKED: usize = 20;
/// ... in so much time, ...
const TIME: Duration = Duration::from_secs(20);
/// ... or this share of the training's.
const SHARE: f64 = 0.05;
/// Labelled rows that are scored, at most.
const SCORED: usize = 200;

/// What is to be said beyond the files of the run.
pub(crate) struct Ending {
    /// When training did.
    began: Instant,
    output_dir: PathBuf,
    data: DataShape,
    pairs: BTreeMap<String, usize>,
    /// The rows whose notes are summarised: of the validation set, else of the training set.
    records: Vec<Record>,
    /// So many of them are shown in the report.
    examples: usize,
    /// Rows of every label, of validation notes.
    labelled: Option<Dataset>,
    max_length: usize,
    prompts: PromptTokenizer,
    stop_ids: Vec<u32>,
}

/// What the model wrote.
#[derive(Default)]
struct Written {
    examples: Vec<ExampleText>,
    /// The fine-tuned model beside its base, where there are labelled rows.
    report: Option<Comparison>,
    figures: Option<SummaryFigures>,
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
            began: Instant::now(),
            output_dir: settings.output_dir.clone(),
            data: rows.shape,
            pairs: rows.pairs,
            records: used.take(settings.report_examples.max(CHECKED)).cloned().collect(),
            examples: settings.report_examples,
            labelled: rows.labelled,
            max_length: settings.max_length,
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

    /// Says of a complete run whether it is ready for Stage B, and writes the report into `dir`. The run has
    /// ended well already: what goes wrong here is a warning. Notes are not summarised when somebody asks to stop.
    pub(crate) fn finish(self, trainer: Trainer, dir: &Path, complete: bool, stop: &StopFlag) {
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
            data: Some(self.data.clone()),
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
        if complete {
            let curve = TrainingCurve::read(dir);
            let pairs = self.pairs.clone();
            let written = self.write(trainer, stop).unwrap_or_else(|error| {
                // The curves are worth having without it.
                console::warning(format_args!("no note was summarised: {}", one_line(&error)));
                Written::default()
            });
            let readiness = Readiness::new(&Evidence {
                curve: curve.as_ref(),
                summaries: written.figures.as_ref(),
                scores: written.report.as_ref().map(|report| &report.model.scores),
                pairs: Some(&pairs),
            });
            console::status(&readiness);
            report.examples = written.examples;
            report.evaluation = written.report.and_then(|report| serde_json::to_value(report).ok());
            report.checks = readiness.checks.into_iter().map(check).collect();
            report.verdict = Some(readiness.verdict.name().to_owned());
        }
        Ok(write_report(dir, &report.html()?)?)
    }

    /// Summarises notes, as far as the time goes, by the fine-tuned model, and those that are shown by its base
    /// too; and scores labelled rows by both.
    fn write(mut self, trainer: Trainer, stop: &StopFlag) -> Result<Written, CliError> {
        let time = TIME.max(self.began.elapsed().mul_f64(SHARE));
        let mut generator = Generator::new(trainer.into_model(), self.prompts, self.stop_ids);
        let mut notes = NoteSet::new(&self.records, generator.prompts().template());
        notes.retain(|note| generator.check_note(0, &note.note).is_ok());
        console::status(format_args!("summarising {} notes", notes.notes().len()));
        let mut tuned = summarise(&generator, notes.notes(), Some(Instant::now() + time), stop)?;
        let mut place = 0..;
        notes.retain(|_| place.next().is_some_and(|place| tuned[place].is_some()));
        tuned.retain(Option::is_some);
        let tuned: Vec<Answer> = tuned.into_iter().flatten().collect();
        let judged = notes.judge(&tuned, &Auditor::new(Terms::built_in()));
        let figures = (!judged.is_empty()).then(|| SummaryFigures::new(&judged));

        let labelled = self.labelled.take().filter(|_| !stop.is_set()).map(|mut labelled| {
            labelled.records.truncate(SCORED);
            EvalSet::new(&labelled, generator.prompts(), self.max_length)
        });
        let labelled = labelled.transpose()?;
        let scored = |generator: &Generator| -> Result<Option<Evaluation>, EvalError> {
            let of = |set: &EvalSet| set.evaluate(generator.decoder(), &mut |_, _| ());
            labelled.as_ref().map(of).transpose()
        };
        let model = scored(&generator)?;
        let shown = &notes.notes()[..self.examples.min(tuned.len())];
        generator.set_adapter_enabled(false);
        let base = summarise(&generator, shown, None, stop)?;
        let examples = shown.iter().zip(&tuned).zip(&judged).zip(base);
        let examples = examples
            .map(|(((note, tuned), judged), base)| example(note, tuned, judged, base))
            .collect();
        let report = model.zip(scored(&generator)?).map(|(model, base)| {
            let model = ModelReport { scores: model, summaries: figures.clone() };
            let base = ModelReport { scores: base, summaries: None };
            Comparison::new(model, base, BTreeMap::new())
        });
        Ok(Written { examples, report, figures })
    }
}

fn example(note: &EvalNote, tuned: &Answer, judged: &Judged, base: Option<Answer>) -> ExampleText {
    ExampleText {
        id: note.id.clone(),
        note: note.note.clone(),
        reference: note.references.first().cloned().unwrap_or_default(),
        base: base.map(|answer| answer.summary),
        tuned: Some(tuned.summary.clone()),
        unsupported: judged.audit.unsupported.iter().map(|fact| fact.start..fact.end).collect(),
    }
}

fn check(check: sft_eval::Check) -> Check {
    let sft_eval::Check { name, status, measured, why } = check;
    let status = match status {
        Status::Passed => sft_report::Status::Passed,
        Status::Failed => sft_report::Status::Failed,
        Status::Unknown => sft_report::Status::Unknown,
    };
    Check { name, status, measured, why }
}

/// Greedy summaries in the order of the notes; none of those that were not complete in time, or when somebody
/// asked to stop.
fn summarise(
    generator: &Generator,
    notes: &[EvalNote],
    until: Option<Instant>,
    stop: &StopFlag,
) -> Result<Vec<Option<Answer>>, CliError> {
    let params = GenerationParams { max_new_tokens: NEW_TOKENS, ..GenerationParams::default() };
    let texts: Vec<String> = notes.iter().map(|note| note.note.clone()).collect();
    let mut summaries = vec![None; texts.len()];
    if texts.is_empty() {
        return Ok(summaries);
    }
    for event in generator.stream(&texts, &params)? {
        if let Event::Finished { note, generation } = event? {
            let ended = generation.finish_reason == FinishReason::Eos;
            summaries[note] = Some(Answer { summary: generation.generated_summary, ended });
        }
        if stop.is_set() || until.is_some_and(|until| Instant::now() > until) {
            break;
        }
    }
    Ok(summaries)
}
