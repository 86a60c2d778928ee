//! A conversation at the terminal: a note in, its summary out, until the user leaves.
//!
//! Nothing of it is written to disk; the history of the up key lives in memory.

mod command;
#[cfg(unix)]
mod restore;
mod screen;
mod session;
mod settings;
mod terminal;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sft_inference::Generator;

use crate::cli::Args;
use crate::error::Error;
use screen::Screen;
use session::Session;
use terminal::Terminal;

/// Whether the arguments name no note and both ends are a terminal.
pub(crate) fn is_wanted(args: &Args) -> bool {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    terminal && args.clinical_note.is_none() && args.input_file.is_none()
}

/// What only a run over given notes has.
pub(crate) fn refuse_flags(args: &Args) -> Result<(), Error> {
    let refused = [(args.json, "--json"), (args.output_file.is_some(), "--output-file")];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, flag)) => Err(Error::NoConversation { flag }),
        None => Ok(()),
    }
}

/// Talks until the user leaves.
pub(crate) fn converse(args: &Args, generator: &mut Generator) -> Result<(), Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let terminal = Terminal::open(Arc::clone(&stop))?;
    let mut screen = Screen::new(io::stdout().lock(), has_colours());
    screen.say(&loaded(args, generator))?;
    screen.say("Type or paste a note and press Enter; /help says what else there is.")?;
    Session::new(generator, args.params(), terminal, screen, &stop).run()
}

/// Dim text is for terminals that know it and users who have not declined it (no-color.org).
fn has_colours() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !declined && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What runs, and where.
fn loaded(args: &Args, generator: &Generator) -> String {
    let decoder = generator.decoder();
    let device = match decoder.device() {
        device if device.is_cuda() => "CUDA",
        device if device.is_metal() => "Metal",
        _ => "the CPU",
    };
    let model = args.model_path.display();
    let what = match base_name(args) {
        _ if !generator.has_adapter() => format!("the model {model}"),
        Some(base) => format!("the adapter {model} on the base {base}"),
        None => format!("the adapter {model}"),
    };
    format!("Loaded {what}; {} on {device}.", decoder.dtype().as_str())
}

/// The base as the arguments or else the adapter name it.
fn base_name(args: &Args) -> Option<String> {
    if let Some(base) = &args.base_model {
        return Some(base.display().to_string());
    }
    let config = fs::read(args.model_path.join("adapter_config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
    Some(config.get("base_model_name_or_path")?.as_str()?.to_owned())
}
