//! What a run shows while it trains: a bar on a terminal, a line now and then elsewhere, and the contract's lines.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use sft_trainer::{Event, Observer, StepRecord};

use crate::console;

/// Where there is no bar, the time between two lines.
const QUIET: Duration = Duration::from_secs(10);

/// Shows the events of a run. Clones share the bar.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When the program started, then when its first step did.
    started: Instant,
    steps_before: usize,
    total_steps: usize,
    last_line: Option<Instant>,
}

impl Progress {
    /// A bar on standard error, or nothing until the first step where that is no terminal, of a program that
    /// `started` then.
    pub(crate) fn new(started: Instant) -> Self {
        let bar = ProgressBar::new(0);
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} steps [{elapsed} < {eta}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, started, steps_before: 0, total_steps: 0, last_line: None }
    }

    /// A line on standard error that leaves the bar whole.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| console::note(line));
    }

    /// Lets `say` write lines on standard error that leave the bar whole.
    pub(crate) fn suspended(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Whether a run has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.total_steps > 0
    }

    /// Takes the bar off the screen, however the run ended.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn step(&mut self, step: &StepRecord) {
        let text = format!(
            "epoch {} | loss {:.4} | lr {:.2e} | {:.0} tokens/s",
            step.epoch, step.loss, step.learning_rate, step.tokens_per_s
        );
        if !self.bar.is_hidden() {
            self.bar.set_message(text);
            self.bar.set_position(step.step as u64);
            return;
        }
        let last = step.step == self.total_steps;
        if last || self.last_line.is_none_or(|at| at.elapsed() >= QUIET) {
            self.last_line = Some(Instant::now());
            let eta = HumanDuration(self.eta(step.step));
            console::status(format_args!(
                "step {}/{} | {text} | {eta} left",
                step.step, self.total_steps
            ));
        }
    }

    fn eta(&self, step: usize) -> Duration {
        let done = step.saturating_sub(self.steps_before).max(1) as f64;
        self.started.elapsed().mul_f64(self.total_steps.saturating_sub(step) as f64 / done)
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::RunStarted { total_steps, steps_done, resumed_from, .. } => {
                if let Some(path) = resumed_from {
                    self.note(&format!("resuming {} at step {steps_done} of {total_steps}", path.display()));
                }
                tracing::debug!(seconds = self.started.elapsed().as_secs_f64(), "step 1 begins");
                self.started = Instant::now();
                (self.total_steps, self.steps_before) = (*total_steps, *steps_done);
                self.bar.set_length(*total_steps as u64);
                self.bar.set_position(*steps_done as u64);
                self.bar.reset_eta();
            }
            Event::Step(step) => self.step(step),
            Event::Evaluated { step, eval_loss, best, .. } => {
                let best = if *best { ", the lowest so far" } else { "" };
                self.bar.suspend(|| console::status(format_args!("step {step}: validation loss {eval_loss:.4}{best}")));
            }
            Event::EpochFinished { epoch, epochs, train_loss, val_loss, .. } => {
                let val = val_loss.map_or_else(String::new, |loss| format!(", Val Loss {loss:.2}"));
                let line = format!("Epoch {epoch}/{epochs}: Train Loss {train_loss:.2}{val}");
                self.bar.suspend(|| console::result(line));
            }
            Event::EarlyStopped { step, best_step, best_loss } => self.note(&format!(
                "stopping at step {step}: the validation loss no longer falls; the final model is that of step \
                 {best_step} (validation loss {best_loss:.4})"
            )),
            Event::Warning { message } => self.bar.suspend(|| console::warning(message)),
            _ => {}
        }
    }
}
