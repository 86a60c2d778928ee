//! The loop: a line, what it asks for, the answer.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sft_inference::{Event, FinishReason, Generation, GenerationParams, Generator, InferenceError};

use super::command::Command;
use super::screen::Screen;
use super::settings;
use crate::error::Error;

const HELP: &str = "\
Type or paste a note and press Enter: its summary is printed as it is generated.
A note of several lines: paste it, or end a line with \\ and go on. Write // for a first /.

  /base [NOTE]      the last note (or NOTE) by the adapter and by its untouched base
  /again            the last note again; with a temperature, by the next seed
  /set              every setting and what it may be
  /set NAME VALUE   changes one, as in /set temperature 0.7 or /set top_p off
  /help             this text
  /quit             leaves, as does Ctrl-D

Ctrl-C stops an answer. The up key brings back what you typed; this history is kept in memory and
ends with the program: neither notes nor summaries are written to disk.";

/// What the user did at the prompt.
#[derive(Debug)]
pub(crate) enum Line {
    /// A line, or several.
    Text(String),
    /// Ctrl-C.
    Interrupt,
    /// Bytes that are no text.
    NotUtf8,
    /// End of file.
    End,
}

/// The user's side.
pub(crate) trait Input {
    /// Waits for the next line.
    fn read(&mut self) -> Result<Line, Error>;
}

/// A running conversation.
pub(crate) struct Session<'a, I, W> {
    generator: &'a mut Generator,
    params: GenerationParams,
    input: I,
    screen: Screen<W>,
    /// Set when the answer shall stop.
    stop: &'a AtomicBool,
    last: Option<Last>,
}

/// The last note.
struct Last {
    note: String,
    /// Answers since the seed was set: each has a seed of its own.
    asked: u64,
    /// The adapter's latest complete answer, and what it was made with.
    answer: Option<(GenerationParams, String)>,
}

impl Last {
    fn new(note: String) -> Self {
        Self { note, asked: 0, answer: None }
    }
}

impl<'a, I: Input, W: Write> Session<'a, I, W> {
    pub(crate) fn new(
        generator: &'a mut Generator,
        params: GenerationParams,
        input: I,
        screen: Screen<W>,
        stop: &'a AtomicBool,
    ) -> Self {
        Self { generator, params, input, screen, stop, last: None }
    }

    /// Answers until the user leaves.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        let mut interrupted = false;
        loop {
            let again = std::mem::take(&mut interrupted);
            let line = match self.input.read()? {
                Line::Text(line) => line,
                Line::NotUtf8 => {
                    self.screen.say("that was not UTF-8 text: type or paste the note again")?;
                    continue;
                }
                Line::Interrupt if !again => {
                    interrupted = true;
                    self.screen.say("Ctrl-C once more leaves, as do /quit and Ctrl-D")?;
                    continue;
                }
                Line::Interrupt | Line::End => return Ok(()),
            };
            match Command::parse(&line) {
                Err(message) => self.screen.say(&message)?,
                Ok(Command::Nothing) => {
                    self.screen.say("an empty note: type or paste its text, or /help")?;
                }
                Ok(Command::Note(note)) => {
                    self.last = Some(Last::new(note));
                    self.summarise()?;
                }
                Ok(Command::Again) => match self.last {
                    None => self.no_note_yet()?,
                    Some(_) => self.summarise()?,
                },
                Ok(Command::Base(note)) => self.compare(note)?,
                Ok(Command::Set(None)) => self.screen.say(&settings::list(&self.params))?,
                Ok(Command::Set(Some((name, value)))) => self.set(&name, &value)?,
                Ok(Command::Help) => self.screen.say(HELP)?,
                Ok(Command::Quit) => return Ok(()),
            }
        }
    }

    /// The last note by the model, with the next seed.
    fn summarise(&mut self) -> Result<(), Error> {
        let Some(last) = &mut self.last else { return Ok(()) };
        let note = last.note.clone();
        let params = with_seed(&self.params, last.asked);
        last.asked += 1;
        let answer = self.answer(&note, &params)?;
        if let Some(last) = &mut self.last {
            last.answer = answer.map(|text| (params, text));
        }
        Ok(())
    }

    /// A note by the adapter and by the base, with the same prompt and parameters.
    fn compare(&mut self, note: Option<String>) -> Result<(), Error> {
        if !self.generator.has_adapter() {
            return self.screen.say("this model has no adapter, so it is itself the base");
        }
        if let Some(note) = note {
            self.last = Some(Last::new(note));
        }
        let Some(last) = &mut self.last else { return self.no_note_yet() };
        last.asked = last.asked.max(1);
        let note = last.note.clone();
        let params = with_seed(&self.params, last.asked - 1);
        let known = last.answer.take().filter(|(made_with, _)| *made_with == params);

        self.screen.aside("with the adapter:")?;
        let adapted = match known {
            Some((_, text)) => {
                self.screen.say(&text)?;
                Some(text)
            }
            None => self.answer(&note, &params)?,
        };
        let Some(adapted) = adapted else { return Ok(()) };
        self.screen.aside("the untouched base:")?;
        self.generator.set_adapter_enabled(false);
        let base = self.answer(&note, &params);
        self.generator.set_adapter_enabled(true);
        if let Some(last) = &mut self.last {
            last.answer = Some((params, adapted));
        }
        base.map(drop)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match settings::set(&mut self.params, name, value) {
            Err(message) => self.screen.say(&message),
            Ok(name) => {
                if let ("seed", Some(last)) = (name, &mut self.last) {
                    last.asked = 0;
                }
                self.screen.say(&settings::show(&self.params, name))
            }
        }
    }

    fn no_note_yet(&mut self) -> Result<(), Error> {
        self.screen.say("there is no note yet: type or paste one first")
    }

    /// Prints the summary of `note` as it comes; `None` where it was stopped or refused.
    fn answer(&mut self, note: &str, params: &GenerationParams) -> Result<Option<String>, Error> {
        let started = Instant::now();
        let notes = [note.to_owned()];
        let mut events = match self.generator.stream(&notes, params) {
            Ok(events) => events,
            Err(error) => return refused(&mut self.screen, error),
        };
        let mut begun = false;
        loop {
            if self.stop.swap(false, Ordering::Relaxed) {
                self.screen.end_line()?;
                let seconds = started.elapsed().as_secs_f64();
                self.screen.aside(&format!("stopped after {seconds:.1} s"))?;
                return Ok(None);
            }
            match events.next() {
                Some(Ok(Event::Text { text, .. })) => {
                    begun = true;
                    self.screen.piece(&text)?;
                }
                Some(Ok(Event::Finished { generation, .. })) => {
                    self.screen.end_line()?;
                    self.screen.aside(&figures(&generation, params, started))?;
                    return Ok(Some(generation.generated_summary));
                }
                Some(Err(error)) => {
                    if begun {
                        self.screen.end_line()?;
                    }
                    return refused(&mut self.screen, error);
                }
                None => return Ok(None),
            }
        }
    }
}

/// What was wrong with a note; the conversation goes on.
fn refused<W: Write>(
    screen: &mut Screen<W>,
    error: InferenceError,
) -> Result<Option<String>, Error> {
    let message = Error::from(error).one_line();
    // A conversation does not number its notes.
    screen.say(message.strip_prefix("note 1: ").unwrap_or(&message))?;
    Ok(None)
}

/// The parameters of the answer number `asked`: drawing again needs another seed.
fn with_seed(params: &GenerationParams, asked: u64) -> GenerationParams {
    let seed = if params.is_greedy() { params.seed } else { params.seed.wrapping_add(asked) };
    GenerationParams { seed, ..params.clone() }
}

/// Tokens, seconds, tokens a second, and whatever else is to be known about an answer.
fn figures(generation: &Generation, params: &GenerationParams, started: Instant) -> String {
    let tokens = generation.generated_tokens;
    let plural = if tokens == 1 { "" } else { "s" };
    let mut parts = vec![
        format!("{tokens} token{plural}"),
        format!("{:.1} s", started.elapsed().as_secs_f64()),
    ];
    if generation.decode_tokens_per_s > 0.0 {
        parts.push(format!("{:.1} tokens/s", generation.decode_tokens_per_s));
    }
    if !params.is_greedy() {
        parts.push(format!("seed {}", params.seed));
    }
    if generation.finish_reason == FinishReason::Length {
        let limit = if tokens == params.max_new_tokens { "max_new_tokens" } else { "the context" };
        parts.push(format!("cut off by {limit}"));
    }
    if generation.generated_summary.trim().is_empty() {
        parts.push("an empty summary".to_owned());
    }
    parts.join(", ")
}
