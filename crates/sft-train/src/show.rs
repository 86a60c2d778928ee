//! `--show`: the loss curve of a run as text.

use std::path::Path;

use sft_report::{Run, curve};

use crate::console;
use crate::error::CliError;

/// Where standard output is no terminal.
const WIDTH: usize = 80;

/// Prints the curve of the run in `dir`, or of the one under way that is to replace it. Nothing is written or locked.
pub(crate) fn show(dir: &Path) -> Result<u8, CliError> {
    let dir = Run::newest(dir);
    let run = Run::read(&dir)?;
    let state = if run.stats.is_some() { "complete" } else { "not complete" };
    let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
    console::print(format_args!("{} ({state})\n{}", dir.display(), curve(&run, width).trim_end()))
        .map_err(CliError::Stdout)?;
    Ok(0)
}
