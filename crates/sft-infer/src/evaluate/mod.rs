//! `--evaluate`: figures about a model instead of its summaries.

mod gate;
mod preferences;
mod rows;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};

use sft_dataset::{Dataset, Record};
use sft_eval::audit::{Auditor, Terms};
use sft_eval::findings::read_jsonl;
use sft_eval::{
    Answer, Comparison, EvalSet, Evidence, Judged, ModelReport, NoteSet, Readiness, SummaryFigures,
    TrainingCurve, gains, pairs_by_type,
};
use sft_inference::{Event, FinishReason, Generator, InferenceError};
use sft_model::LossSum;

use crate::cli::{Args, Compare};
use crate::error::Error;
use crate::partial::PartialFile;
use crate::run::{bar, open, say, settle_on_interrupt, template};

/// What one model made of the file.
pub(super) struct Measured {
    /// Of each scored row.
    losses: Vec<LossSum>,
    /// To each note; none without generation.
    answers: Vec<Answer>,
    judged: Vec<Judged>,
    report: ModelReport,
}

/// What is measured with.
struct Yardstick<'a> {
    args: &'a Args,
    set: EvalSet,
    /// Notes to be summarised; none without generation.
    notes: NoteSet,
    auditor: Auditor,
}

/// Measures the model on the rows of `csv` and writes the figures where the arguments say.
pub(crate) fn evaluate(args: &Args, csv: &Path) -> Result<(), Error> {
    let folder = &args.model_path;
    if args.compare.is_some() && folder.is_dir() && !folder.join("adapter_config.json").is_file() {
        return Err(Error::NothingToCompare { folder: folder.clone() });
    }
    let params = args.params();
    params.validate()?;
    let prompt_template = template(args)?;
    let mut dataset = Dataset::read_csv(csv).map_err(Error::EvaluationCsv)?;
    look_at_labels(&mut dataset, csv);
    let findings = args.findings.as_deref().map(read_jsonl).transpose()?;
    let terms = args.terms.as_deref().map_or_else(|| Ok(Terms::built_in()), Terms::with_file)?;
    let outputs = [&args.output_file, &args.evaluate_rows, &args.export_preferences];
    refuse_twice(&outputs.into_iter().flatten().map(PathBuf::as_path).collect::<Vec<_>>())?;
    let inputs = args.inputs();
    let create = |path: &Path| PartialFile::create(path, inputs.iter().map(PathBuf::as_path));
    let file = args.output_file.as_deref().map(create).transpose()?;
    let rows_file = args.evaluate_rows.as_deref().map(create).transpose()?;
    let pairs_file = args.export_preferences.as_deref().map(create).transpose()?;
    settle_on_interrupt([&file, &rows_file, &pairs_file].into_iter().flatten())?;

    let mut generator = open(args, prompt_template)?;
    if args.compare.is_some() && !generator.has_adapter() {
        return Err(Error::NothingToCompare { folder: folder.clone() });
    }
    let set = EvalSet::new(&dataset, generator.prompts(), generator.max_length())?;
    let mut notes = NoteSet::new(&dataset.records, generator.prompts().template());
    notes.retain(|note| !args.scores_only && is_taken(&generator, csv, note.line, &note.note));
    if let (Some(path), Some(findings)) = (&args.findings, &findings)
        && notes.add_findings(&dataset.records, findings) == 0
    {
        return Err(Error::NoSuchFindings { path: path.clone(), csv: csv.to_owned() });
    }
    let yardstick = Yardstick { args, set, notes, auditor: Auditor::new(terms) };

    let model = yardstick.measure(&generator)?;
    let base = match args.compare {
        None => None,
        Some(Compare::Base) => {
            generator.set_adapter_enabled(false);
            let base = yardstick.measure(&generator);
            generator.set_adapter_enabled(true);
            Some(base?)
        }
    };

    let pairs = pairs_by_type(&dataset.records);
    let curve = training_curve(folder);
    let evidence =
        Evidence { curve: curve.as_ref(), pairs: Some(&pairs), ..Evidence::of(&model.report) };
    let readiness = Readiness::new(&evidence);

    if let Some(mut file) = rows_file {
        rows::write(&mut file, &dataset, &yardstick.set, &yardstick.notes, &model, base.as_ref())?;
        file.complete()?;
        let path = args.evaluate_rows.as_deref().unwrap_or(csv).display();
        note(&format!("{} rows are in {path}", yardstick.set.len()));
    }
    if let Some(mut file) = pairs_file {
        let written = preferences::write(&mut file, &dataset, &yardstick, &generator, &model)?;
        file.complete()?;
        let (labels, own) = (written.labels, written.model);
        let path = args.export_preferences.as_deref().unwrap_or(csv).display();
        note(&format!(
            "{} pairs ({labels} of labels, {own} of the model) are in {path}",
            labels + own
        ));
    }
    let report = match &base {
        None if args.json => json(&model.report, &readiness)?,
        None => table::table(&[("model", &model.report)], None, &readiness),
        Some(base) => {
            let gains = gains(&base.judged, &model.judged);
            let both = Comparison::new(model.report.clone(), base.report.clone(), gains);
            if args.json {
                json(&both, &readiness)?
            } else {
                table::table(
                    &[("model", &both.model), ("base", &both.base)],
                    Some(&both),
                    &readiness,
                )
            }
        }
    };
    match file {
        None => say(&report)?,
        Some(mut file) => {
            file.write(format!("{report}\n").as_bytes())?;
            file.complete()?;
        }
    }
    gate::check(args, &model.report)
}

/// Refuses outputs that are one file.
fn refuse_twice(outputs: &[&Path]) -> Result<(), Error> {
    let real = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        path.canonicalize().ok().or_else(|| Some(folder.join(path.file_name()?)))
    };
    // Each is written under a name with .partial behind it first.
    let names = |path: &&Path| {
        let place = real(path)?;
        let mut partial = place.clone().into_os_string();
        partial.push(".partial");
        Some([place, partial.into()])
    };
    let mut taken: Vec<PathBuf> = Vec::new();
    for output in outputs {
        let Some(names) = names(output) else { continue };
        if names.iter().any(|name| taken.contains(name)) {
            return Err(Error::OutputTwice { path: output.to_path_buf() });
        }
        taken.extend(names);
    }
    Ok(())
}

/// Takes out rows without a label, and says which labels count as hallucinated.
fn look_at_labels(dataset: &mut Dataset, csv: &Path) {
    let rows = dataset.records.len();
    dataset.records.retain(|record| !record.label.is_empty());
    let without = rows - dataset.records.len();
    if without > 0 {
        tracing::warn!("{}: {without} rows without a label are left out", csv.display());
    }
    let is_other = |record: &&Record| !record.is_factual() && record.label != "hallucinated";
    let other = dataset.records.iter().filter(is_other).count();
    if other > 0 {
        tracing::warn!(
            "{}: {other} rows have a label that is neither factual nor hallucinated; they count as hallucinated",
            csv.display()
        );
    }
}

/// A line on standard error, where nobody may listen.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The figures and the checklist in one object.
fn json(figures: &impl serde::Serialize, readiness: &Readiness) -> Result<String, Error> {
    let mut object = serde_json::to_value(figures)?;
    object["readiness"] = serde_json::to_value(readiness)?;
    Ok(object.to_string())
}

/// Whether the model can take a note; else there is a warning.
fn is_taken(generator: &Generator, csv: &Path, line: u64, note: &str) -> bool {
    let taken = generator.check_note(0, note).is_ok();
    if !taken {
        tracing::warn!(
            "{}:{line}: the note is too long for the model: not summarised",
            csv.display()
        );
    }
    taken
}

/// What the run that made an adapter left beside it.
fn training_curve(adapter: &Path) -> Option<TrainingCurve> {
    // A checkpoint is not what its run ended with.
    adapter.file_name().filter(|name| *name == "final_model")?;
    TrainingCurve::read(adapter.parent()?)
}

impl Yardstick<'_> {
    fn measure(&self, generator: &Generator) -> Result<Measured, Error> {
        let progress = bar(self.set.len(), "rows");
        let losses = self.set.score(generator.decoder(), &mut |_, _| progress.inc(1))?;
        progress.finish_and_clear();
        let answers = self.answers(generator)?;
        let judged = self.notes.judge(&answers, &self.auditor);
        let report = ModelReport {
            scores: self.set.evaluation(&losses),
            summaries: (!judged.is_empty()).then(|| SummaryFigures::new(&judged)),
        };
        Ok(Measured { losses, answers, judged, report })
    }

    /// The model's own summary of each note.
    fn answers(&self, generator: &Generator) -> Result<Vec<Answer>, Error> {
        let texts: Vec<String> = self.notes.notes().iter().map(|n| n.note.clone()).collect();
        let mut answers = vec![None; texts.len()];
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let progress = bar(texts.len(), "notes");
        for event in generator.stream(&texts, &self.args.params())? {
            if let Event::Finished { note, generation } = event? {
                let ended = generation.finish_reason == FinishReason::Eos;
                answers[note] = Some(Answer { summary: generation.generated_summary, ended });
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        let all: Option<Vec<Answer>> = answers.into_iter().collect();
        all.ok_or_else(|| Error::Inference(InferenceError::NoAnswer))
    }
}
