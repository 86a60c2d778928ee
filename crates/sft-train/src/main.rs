//! `sft-train`: fine-tune a causal language model on clinical notes with LoRA.
//!
//! A thin binary: [`flags`] is what was typed, [`resolve`] what it means, [`run`] does it, and the libraries do the
//! work.
#![forbid(unsafe_code)]

mod console;
mod data;
mod download;
mod ending;
mod error;
mod file;
mod flags;
mod inputs;
mod layers;
mod memory;
mod privacy;
mod progress;
mod report;
mod resolve;
mod run;
mod self_test;
mod shape;
mod show;
mod signals;
mod source;
mod trials;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: sft_kernels::Allocator = sft_kernels::Allocator::new(
    "take a smaller --batch_size or --max_length, add --gradient_checkpointing or a --memory_budget, or keep the base in few \
     bits with --quantize nf4; what was complete before is still there",
);

fn main() -> ExitCode {
    let started = Instant::now();
    let flags = flags::parse();
    privacy::protect();
    tracing_subscriber::fmt()
        .with_env_filter(privacy::log_filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();
    match run::run(flags, started) {
        Ok(code) => code.into(),
        Err(error) => {
            console::error(error::one_line(&error));
            error.exit_code().into()
        }
    }
}
