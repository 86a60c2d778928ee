//! From the arguments to the last summary.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use sft_dataset::PromptTemplate;
use sft_inference::{Event, Generator, InferenceError, OpenOptions, merge_adapter};

use crate::cli::Args;
use crate::error::Error;
use crate::notes::Notes;
use crate::output::Output;

/// The exit status of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Does what the arguments ask for.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    if let Some(out) = &args.merge_to {
        merge_adapter(&args.model_path, args.base_model.as_deref(), out)?;
        return say(&format!("Merged model saved to {}", out.display()));
    }
    // What needs no model comes first, so that a mistake shows before anything heavy is read.
    let params = args.params();
    params.validate()?;
    let prompt_template = args
        .prompt_template
        .as_deref()
        .map(PromptTemplate::from_arg)
        .transpose()
        .map_err(Error::Template)?;
    let notes = Notes::read(args)?;
    let output = Output::open(args, &notes)?;
    if let Some(file) = output.file() {
        let remains = file.remains();
        ctrlc::set_handler(move || {
            remains.settle();
            process::exit(INTERRUPTED);
        })?;
    }

    let generator = Generator::open(&OpenOptions {
        model_path: args.model_path.clone(),
        base_model: args.base_model.clone(),
        prompt_template,
        device: args.device,
        dtype: args.dtype,
    })?;
    summarise(args, &generator, &notes, output)
}

fn summarise(
    args: &Args,
    generator: &Generator,
    notes: &Notes,
    mut output: Output,
) -> Result<(), Error> {
    let texts: Vec<String> = notes.notes.iter().map(|note| note.text.clone()).collect();
    let progress = progress_bar(args, notes);
    let located = |error: InferenceError| locate(error, args, notes);

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
            output.summary(&notes.notes[next], &generation)?;
            next += 1;
        }
    }
    output.finish(notes)
}

/// Puts the file and the line before an error that is one note's.
fn locate(error: InferenceError, args: &Args, notes: &Notes) -> Error {
    match (error.note(), &args.input_file) {
        (Some(note), Some(path)) => {
            let line = notes.notes[note].line;
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
    let bar = ProgressBar::new(notes.notes.len() as u64); // hidden where stderr is no terminal
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} notes, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(1));
    bar.with_finish(ProgressFinish::AndClear) // also where an error ends the run
}

fn say(line: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{line}").map_err(|source| Error::Io {
        action: "write to",
        what: "standard output".to_owned(),
        remedy: "give it somewhere to go",
        source,
    })
}
