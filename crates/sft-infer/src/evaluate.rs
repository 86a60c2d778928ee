//! `--evaluate`: figures about labelled summaries instead of new summaries.

use std::path::Path;

use sft_dataset::Dataset;
use sft_eval::{Comparison, EvalSet, Evaluation};
use sft_inference::{Generator, InferenceError};

use crate::cli::{Args, Compare};
use crate::error::Error;
use crate::partial::PartialFile;
use crate::run::{bar, open, say, settle_on_interrupt, template};

/// Scores the rows of `csv` and writes the figures where the arguments say.
pub(crate) fn evaluate(args: &Args, csv: &Path) -> Result<(), Error> {
    let folder = &args.model_path;
    if args.compare.is_some() && folder.is_dir() && !folder.join("adapter_config.json").is_file() {
        return Err(Error::NothingToCompare { folder: folder.clone() });
    }
    let prompt_template = template(args)?;
    let dataset = Dataset::read_csv(csv).map_err(Error::EvaluationCsv)?;
    let file = args.output_file.as_deref().map(|path| PartialFile::create(path, Some(csv)));
    let file = file.transpose()?;
    if let Some(file) = &file {
        settle_on_interrupt(file)?;
    }

    let mut generator = open(args, prompt_template)?;
    if args.compare.is_some() && !generator.has_adapter() {
        return Err(Error::NothingToCompare { folder: folder.clone() });
    }
    let set = EvalSet::new(&dataset, generator.prompts(), generator.max_length())?;
    let report = match args.compare {
        None => one(args, &set, &generator)?,
        Some(Compare::Base) => compare(args, &set, &mut generator)?,
    };
    match file {
        None => say(&report),
        Some(mut file) => {
            file.write(format!("{report}\n").as_bytes())?;
            file.complete()
        }
    }
}

fn one(args: &Args, set: &EvalSet, generator: &Generator) -> Result<String, Error> {
    let progress = bar(set.len(), "rows");
    let model = set.evaluate(generator.decoder(), &mut |_, _| progress.inc(1))?;
    progress.finish_and_clear();
    Ok(if args.json { serde_json::to_string(&model)? } else { table(&[("model", &model)]) })
}

fn compare(args: &Args, set: &EvalSet, generator: &mut Generator) -> Result<String, Error> {
    let progress = bar(2 * set.len(), "rows");
    let model = set.evaluate(generator.decoder(), &mut |_, _| progress.inc(1))?;
    generator.decoder_mut().remove_lora().map_err(InferenceError::from)?;
    let base = set.evaluate(generator.decoder(), &mut |_, _| progress.inc(1))?;
    progress.finish_and_clear();
    let comparison = Comparison::new(model, base);
    if args.json {
        return Ok(serde_json::to_string(&comparison)?);
    }
    let figures = table(&[("model", &comparison.model), ("base", &comparison.base)]);
    Ok(figures + &line("AUROC gain", [figure(comparison.auroc_gain)]))
}

/// The figures for people: a line each, a column for each model.
fn table(models: &[(&str, &Evaluation)]) -> String {
    let Some((_, first)) = models.first() else { return String::new() };
    let mut text = format!(
        "{} rows: {} factual, {} hallucinated; {} skipped",
        first.rows, first.factual, first.hallucinated, first.skipped
    );
    text += &line("", models.iter().map(|(name, _)| (*name).to_owned()));
    let mut add = |name: &str, of: &dyn Fn(&Evaluation) -> Option<f64>| {
        text += &line(name, models.iter().map(|(_, evaluation)| figure(of(evaluation))));
    };
    add("loss a token, factual", &|e| e.loss_factual);
    add("loss a token, hallucinated", &|e| e.loss_hallucinated);
    add("perplexity, factual", &|e| e.perplexity_factual);
    add("AUROC", &|e| e.auroc);
    add("AUROC within a note", &|e| e.auroc_paired);
    for name in first.auroc_by_type.keys() {
        add(&format!("AUROC, {name}"), &|e| e.auroc_by_type.get(name).copied().flatten());
    }
    text
}

/// A new line of the table.
fn line(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| format!("{cell:>12}")).collect();
    format!("\n{name:<32}{}", cells.concat())
}

/// A dash where a class is empty.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
