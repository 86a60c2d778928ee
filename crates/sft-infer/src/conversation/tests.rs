//! Whole conversations without a terminal.
#![allow(clippy::unwrap_used)]

#[path = "../../../sft-inference/tests/common/mod.rs"]
mod common;

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use sft_inference::{GenerationParams, Generator, OpenOptions};

use super::screen::Screen;
use super::session::{Input, Line, Session};
use crate::error::Error;
use common::{MAX_POSITIONS, write_adapter, write_model};

struct Script(Vec<Line>);

impl Input for Script {
    fn read(&mut self) -> Result<Line, Error> {
        Ok(if self.0.is_empty() { Line::End } else { self.0.remove(0) })
    }
}

/// What was printed; asks for a stop when the answer has begun, if it is to.
struct Paper<'a> {
    text: &'a mut Vec<u8>,
    stop: Option<&'a AtomicBool>,
}

impl Write for Paper<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if let Some(stop) = self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_model(&folder.path().join("model"), 1);
        let base = folder.path().join("model");
        write_adapter(&folder.path().join("adapter"), &base, base.to_str().unwrap());
        Self(folder)
    }

    fn open(&self, name: &str) -> Generator {
        Generator::open(&OpenOptions::new(self.0.path().join(name))).unwrap()
    }
}

const PARAMS: GenerationParams = GenerationParams {
    max_new_tokens: 12,
    temperature: 0.0,
    top_p: None,
    top_k: None,
    repetition_penalty: 1.0,
    seed: 42,
};

fn talk(generator: &mut Generator, lines: Vec<Line>, colours: bool, stops: bool) -> String {
    let stop = AtomicBool::new(false);
    let mut text = Vec::new();
    let paper = Paper { text: &mut text, stop: stops.then_some(&stop) };
    let screen = Screen::new(paper, colours);
    Session::new(generator, PARAMS, Script(lines), screen, &stop).run().unwrap();
    String::from_utf8(text).unwrap()
}

fn say(generator: &mut Generator, lines: &[&str]) -> String {
    talk(generator, texts(lines), false, false)
}

fn texts(lines: &[&str]) -> Vec<Line> {
    lines.iter().map(|line| Line::Text((*line).to_owned())).collect()
}

fn summary(generator: &Generator, note: &str, params: &GenerationParams) -> String {
    let generations = generator.generate(&[note.to_owned()], params, &mut |_, _| {}).unwrap();
    generations[0].generated_summary.clone()
}

#[test]
fn a_note_is_answered_with_its_figures() {
    let mut generator = Folder::new().open("adapter");
    let expected = summary(&generator, "Fever,\ncough", &PARAMS);
    let said = say(&mut generator, &["Fever,\ncough"]);
    assert!(said.starts_with(&format!("{expected}\n12 tokens, ")), "{said}");
    assert!(said.ends_with(" tokens/s, cut off by max_new_tokens\n"), "{said}");
    let dim = talk(&mut generator, texts(&["Fever,\ncough"]), true, false);
    assert!(dim.contains("\n\x1b[2m12 tokens, ") && dim.ends_with("\x1b[0m\n"), "{dim:?}");
}

#[test]
fn base_shows_both_answers_and_leaves_the_adapter_on() {
    let folder = Folder::new();
    let mut generator = folder.open("adapter");
    let adapted = summary(&generator, "Fever", &PARAMS);
    generator.set_adapter_enabled(false);
    let base = summary(&generator, "Fever", &PARAMS);
    generator.set_adapter_enabled(true);
    assert_ne!(adapted, base);

    let said = say(&mut generator, &["/base", "/base Fever", "/base", "/again"]);
    assert!(said.starts_with("there is no note yet"), "{said}");
    assert_eq!(said.matches(&format!("with the adapter:\n{adapted}\n")).count(), 2, "{said}");
    assert_eq!(said.matches(&format!("the untouched base:\n{base}\n")).count(), 2, "{said}");
    assert_eq!(said.matches(&format!("{adapted}\n")).count(), 3, "{said}");
    // the second time the adapter's answer is known and not made again
    assert_eq!(said.matches(" tokens, ").count(), 4, "{said}");

    let said = say(&mut folder.open("model"), &["/base Fever"]);
    assert!(said.contains("no adapter") && said.lines().count() == 1, "{said}");
}

#[test]
fn again_draws_with_the_next_seed() {
    let mut generator = Folder::new().open("adapter");
    let of_seed = |seed, generator: &Generator| {
        summary(generator, "Fever", &GenerationParams { temperature: 0.9, seed, ..PARAMS })
    };
    let lines =
        ["/again", "/set temperature 0.9", "Fever", "/again", "/set seed 7", "/again", "/again"];
    let said = say(&mut generator, &lines);
    assert!(said.starts_with("there is no note yet"), "{said}");
    let mut rest = said.as_str();
    for seed in [42, 43, 7, 8] {
        let answer = format!("{}\n12 tokens", of_seed(seed, &generator));
        let at = rest.find(&answer).unwrap_or_else(|| panic!("{answer} is not in {rest}"));
        rest = &rest[at + answer.len()..];
        assert!(rest.lines().next().unwrap().contains(&format!("seed {seed},")), "{rest}");
    }
}

#[test]
fn settings_change_the_answer_and_errors_do_not_end_the_conversation() {
    let mut generator = Folder::new().open("adapter");
    let long = "x".repeat(MAX_POSITIONS);
    let lines = [
        "/set max_new_tokens 3",
        "Fever",
        "/set top_p 2",
        "/set",
        " ",
        &long,
        "/qiut",
        "/help",
        "a\0b \u{1F600} \u{202E}\u{5D0}\u{5D1} \x1b[31m",
        "//x",
        "/quit",
        "never read",
    ];
    let said = say(&mut generator, &lines);
    for part in [
        "max_new_tokens 3\n",
        "\n3 tokens, ",
        "top_p is 2: give a number above 0, at most 1",
        "temperature 0  ",
        "an empty note",
        "\nits prompt has ",
        "did you mean /quit?",
        "written to disk",
    ] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert_eq!(said.matches("3 tokens, ").count(), 3, "{said}");
    assert!(!said.contains(['\x1b', '\0']), "{said:?}");
}

#[test]
fn a_stop_ends_the_answer_and_not_the_conversation() {
    let mut generator = Folder::new().open("adapter");
    let said = talk(&mut generator, texts(&["Fever", "/help"]), false, true);
    assert!(said.contains("\nstopped after ") && !said.contains("tokens,"), "{said}");
    assert!(said.ends_with("written to disk.\n"), "{said}");
}

#[test]
fn interrupts_leave_when_two_come_in_a_row() {
    let mut generator = Folder::new().open("adapter");
    let text = |text: &str| Line::Text(text.to_owned());
    let lines = vec![
        Line::Interrupt,
        text("/set"),
        Line::NotUtf8,
        Line::Interrupt,
        Line::Interrupt,
        text("/help"),
    ];
    let said = talk(&mut generator, lines, false, false);
    assert_eq!(said.matches("Ctrl-C once more leaves").count(), 2, "{said}");
    assert!(said.contains("not UTF-8 text") && !said.contains("/base"), "{said}");
}
