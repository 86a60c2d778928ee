//! From the arguments to the last summary.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use sft_dataset::TemplateChoice;
use sft_inference::{
    Event, Generator, InferenceError, OpenOptions, export_gguf_lora, merge_adapter, quantize_base,
};
use sft_model::source::{SourceOptions, export_base};

use crate::check::check;
use crate::cli::Args;
use crate::conversation;
use crate::download::Downloads;
use crate::error::Error;
use crate::evaluate::evaluate;
use crate::notes::{Note, Notes};
use crate::output::Output;
use crate::partial::{PartialFile, Remains};

/// The exit status of a process that Ctrl-C ended.
pub(crate) const INTERRUPTED: i32 = 130;

/// Does what the arguments ask for.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    sft_kernels::start_threads().map_err(Error::Threads)?;
    if let Some(out) = &args.export_base {
        export_base(out).map_err(|error| InferenceError::Model(error.into()))?;
        return say(&format!("Base model saved to {}", out.display()));
    }
    if args.check {
        return check(args);
    }
    if let Some(out) = &args.merge_to {
        let source = fetched(args, None)?;
        merge_adapter(&source.model_path, source.base_model.as_deref(), out)?;
        return say(&format!("Merged model saved to {}", out.display()));
    }
    if let Some(out) = &args.export_gguf_lora {
        let source = fetched(args, None)?;
        let written = export_gguf_lora(&source.model_path, source.base_model.as_deref(), out)?;
        return say(&format!(
            "GGUF adapter saved to {}: {} matrices in f32 for a base of architecture {}, alpha {}",
            out.display(),
            written.matrices,
            written.architecture,
            written.alpha
        ));
    }
    if let (Some(out), Some(quantize)) = (&args.quantize_to, args.quantize) {
        let source = fetched(args, None)?;
        quantize_base(&source.model_path, quantize, out)?;
        return say(&format!("Model in {quantize} saved to {}", out.display()));
    }
    if let Some(csv) = &args.evaluate {
        return evaluate(args, csv);
    }
    // What needs no model comes first, so that a mistake shows before anything heavy is read.
    let params = args.params();
    params.validate()?;
    let prompt_template = template(args)?;
    if conversation::is_wanted(args) {
        conversation::refuse_flags(args)?;
        return conversation::converse(args, &mut open(args, prompt_template)?);
    }
    let notes = Notes::read(args)?;
    let output = Output::open(args, &notes)?;
    settle_on_interrupt(output.file())?;
    summarise(args, &open(args, prompt_template)?, &notes, output)
}

/// The template that the arguments give, if they give one.
pub(crate) fn template(args: &Args) -> Result<Option<TemplateChoice>, Error> {
    args.prompt_template
        .as_deref()
        .map(TemplateChoice::from_arg)
        .transpose()
        .map_err(Error::Template)
}

/// The model that the arguments name.
pub(crate) fn open(
    args: &Args,
    prompt_template: Option<TemplateChoice>,
) -> Result<Generator, Error> {
    Ok(Generator::open(&fetched(args, prompt_template)?)?)
}

/// The model that the arguments name, as folders, with the progress of downloads.
fn fetched(
    args: &Args,
    prompt_template: Option<TemplateChoice>,
) -> Result<OpenOptions, InferenceError> {
    let revision = args.revision.clone();
    let options = OpenOptions {
        base_model: args.base_model.clone(),
        source: SourceOptions { revision, ..SourceOptions::from_env() },
        prompt_template,
        device: args.device,
        dtype: args.dtype,
        quantize: args.quantize,
        ..OpenOptions::new(&args.model_path)
    };
    let mut downloads = Downloads::default();
    options.fetched(&mut |event| downloads.event(event))
}

/// Ctrl-C leaves of an unfinished file what an error would leave.
pub(crate) fn settle_on_interrupt<'f>(
    files: impl IntoIterator<Item = &'f PartialFile>,
) -> Result<(), Error> {
    let remains: Vec<_> = files.into_iter().map(PartialFile::remains).collect();
    if remains.is_empty() {
        return Ok(());
    }
    Ok(ctrlc::set_handler(move || {
        remains.iter().for_each(Remains::settle);
        process::exit(INTERRUPTED);
    })?)
}

fn summarise(
    args: &Args,
    generator: &Generator,
    notes: &Notes,
    mut output: Output,
) -> Result<(), Error> {
    let fitting = fitting(args, generator, notes)?;
    let total = notes.notes.len();
    let skipped = total - fitting.len();
    if fitting.is_empty() {
        return Err(Error::Skipped { skipped, total });
    }
    let texts: Vec<String> = fitting.iter().map(|note| note.text.clone()).collect();
    let progress = progress_bar(args, notes);
    progress.inc(skipped as u64);
    let located = |error: InferenceError| locate(error, args, &fitting);

    let mut finished = BTreeMap::new();
    let mut next = 0;
    for event in generator.stream(&texts, &args.params()).map_err(located)? {
        match event.map_err(located)? {
            Event::Text { text, .. } => output.piece(&text)?,
            Event::Finished { note, generation } => {
                finished.insert(note, generation);
                progress.inc(1);
            }
        }
        while let Some(generation) = finished.remove(&next) {
            output.summary(fitting[next], &generation)?;
            next += 1;
        }
    }
    output.finish(notes)?;
    if skipped == 0 { Ok(()) } else { Err(Error::Skipped { skipped, total }) }
}

/// The notes that the model can take. Of a file the others are skipped with a warning; a single
/// note that is too long is an error.
fn fitting<'n>(
    args: &Args,
    generator: &Generator,
    notes: &'n Notes,
) -> Result<Vec<&'n Note>, Error> {
    let all: Vec<&Note> = notes.notes.iter().collect();
    let mut fitting = Vec::with_capacity(all.len());
    for (index, note) in all.iter().enumerate() {
        match generator.check_note(index, &note.text) {
            Ok(()) => fitting.push(*note),
            Err(error @ InferenceError::PromptTooLong { .. }) if notes.rows.is_some() => {
                tracing::warn!("{}; skipped", locate(error, args, &all).one_line());
            }
            Err(error) => return Err(locate(error, args, &all)),
        }
    }
    Ok(fitting)
}

/// Puts the file and the line before an error that is one note's.
fn locate(error: InferenceError, args: &Args, notes: &[&Note]) -> Error {
    match (error.note(), &args.input_file) {
        (Some(note), Some(path)) => {
            let line = notes[note].line;
            Error::AtNote { path: path.clone(), line, source: Box::new(error) }
        }
        _ => error.into(),
    }
}

/// A bar for a file of notes, where it disturbs no output.
fn progress_bar(args: &Args, notes: &Notes) -> ProgressBar {
    if notes.rows.is_none() || (args.output_file.is_none() && io::stdout().is_terminal()) {
        return ProgressBar::hidden();
    }
    bar(notes.notes.len(), "notes")
}

/// A bar on standard error; hidden where that is no terminal.
pub(crate) fn bar(len: usize, things: &str) -> ProgressBar {
    let bar = ProgressBar::new(len as u64);
    let template = format!("{{bar:30}} {{pos}}/{{len}} {things}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    bar.with_finish(ProgressFinish::AndClear) // also where an error ends the run
}

pub(crate) fn say(line: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|source| Error::Io {
        action: "write to",
        what: "standard output".to_owned(),
        remedy: "give it somewhere to go",
        source,
    })
}
