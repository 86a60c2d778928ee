//! Summarise clinical notes with a fine-tuned model.
#![forbid(unsafe_code)]

mod check;
mod cli;
mod conversation;
mod download;
mod error;
mod evaluate;
mod notes;
mod output;
mod partial;
mod privacy;
mod run;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::cli::Args;

/// Colours are for terminals whose user has not declined them (no-color.org).
fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[global_allocator]
static ALLOCATOR: sft_kernels::Allocator = sft_kernels::Allocator::new(
    "keep the model in less with --dtype bf16 or --quantize nf4, take fewer --max-new-tokens, or give fewer notes at a time",
);

fn main() -> ExitCode {
    let args = match Args::parse_from(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => error.exit(), // also --help and --version
    };
    privacy::protect();
    tracing_subscriber::fmt()
        .with_env_filter(privacy::log_filter())
        .with_writer(io::stderr)
        .with_ansi(colours())
        .with_target(false)
        .without_time()
        .init();
    match run::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "error: {}", error.one_line());
            ExitCode::from(error.exit_code())
        }
    }
}
