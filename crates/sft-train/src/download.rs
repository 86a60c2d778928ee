//! The progress of downloads: a bar on a terminal, a line a file elsewhere.

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use sft_model::source::Event;

use crate::console;

const STYLE: &str = "{msg}  {bar:30}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";

/// Shows the events of a download on standard error.
#[derive(Default)]
pub(crate) struct Downloads {
    bar: Option<ProgressBar>,
}

impl Downloads {
    /// Shows one.
    pub(crate) fn event(&mut self, event: Event<'_>) {
        match (event, &self.bar) {
            (Event::Notice(text), Some(bar)) => bar.suspend(|| console::note(text)),
            (Event::Notice(text), None) => console::note(text),
            (Event::Started { file }, _) => self.start(file),
            (Event::Advanced { done, total }, Some(bar)) => {
                let resumed = bar.length() != Some(total);
                bar.set_length(total);
                bar.set_position(done);
                if resumed {
                    bar.reset_eta(); // what was here before says nothing about the speed
                }
            }
            (Event::Finished { .. }, Some(bar)) => {
                bar.finish();
                self.bar = None;
            }
            _ => {}
        }
    }

    fn start(&mut self, file: &str) {
        let bar = ProgressBar::new(0).with_finish(ProgressFinish::Abandon);
        if bar.is_hidden() {
            console::status(format_args!("downloading {file}"));
        }
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        bar.set_message(file.to_owned());
        self.bar = Some(bar);
    }
}
