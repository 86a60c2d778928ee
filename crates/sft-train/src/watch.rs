//! Everything that watches a run: the terminal, and TensorBoard where it is wanted.

use sft_report::tensorboard::EventFile;
use sft_trainer::{Event, Observer, TENSORBOARD};

use crate::console;
use crate::progress::Progress;

/// Hears the events of a run and tells the others.
pub(crate) struct Watch {
    pub(crate) progress: Progress,
    /// Whether events are wanted.
    tensorboard: bool,
    /// The file, from the beginning of the run until it cannot be written.
    events: Option<EventFile>,
}

impl Watch {
    pub(crate) fn new(progress: Progress, tensorboard: bool) -> Self {
        Self { progress, tensorboard, events: None }
    }

    /// A run does not end because nobody can watch it.
    fn give_up(&mut self, error: &std::io::Error) {
        self.events = None;
        let line = format!("events for TensorBoard are no longer written: {error}");
        self.progress.suspended(|| console::warning(line));
    }

    fn scalars(&mut self, step: usize, values: &[(&str, f64)]) {
        if let Some(Err(error)) = self.events.as_mut().map(|file| file.scalars(step, values)) {
            self.give_up(&error);
        }
    }
}

impl Observer for Watch {
    fn event(&mut self, event: &Event<'_>) {
        self.progress.event(event);
        match event {
            Event::RunStarted { directory, steps_done, .. } if self.tensorboard => {
                match EventFile::create(&directory.join(TENSORBOARD), *steps_done) {
                    Ok(file) => self.events = Some(file),
                    Err(error) => self.give_up(&error),
                }
            }
            Event::Step(step) => self.scalars(
                step.step,
                &[
                    ("loss/train", step.loss),
                    ("learning_rate", step.learning_rate),
                    ("grad_norm", step.grad_norm),
                    ("tokens_per_s", step.tokens_per_s),
                ],
            ),
            Event::Evaluated { step, eval_loss, .. } => {
                self.scalars(*step, &[("loss/eval", *eval_loss)]);
            }
            _ => {}
        }
    }
}
