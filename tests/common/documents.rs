//! What the documents say about the programs, to be compared with the programs themselves.
//!
//! The tables of the guide are the middle: each program's own test holds them equal to its `--help`, and the test of the
//! whole repository holds every other mention of a flag to them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const README: &str = "README.md";
pub(crate) const GUIDE: &str = "docs/stage_a_guide.md";

/// The repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|path| path.join(GUIDE).is_file()).unwrap().to_owned()
}

/// A document by its path in the repository.
pub(crate) fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A flag's name with underscores.
pub(crate) fn snake(flag: &str) -> String {
    flag.trim_start_matches('-').replace('-', "_")
}

/// The lines of a document, and whether each is in a fenced block and of which language.
pub(crate) fn lines(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut block = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), block) {
            (Some(language), None) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (None, _) => lines.push((block, line)),
        }
    }
    lines
}

/// What stands between backticks in a line of prose.
pub(crate) fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The commands of a document, as words: those of shell blocks, and those between backticks.
pub(crate) fn commands(text: &str) -> Vec<Vec<String>> {
    const PROGRAMS: [&str; 3] = ["cargo ", "sft-train ", "sft-infer "];
    let mut commands = Vec::new();
    for (block, line) in lines(text) {
        match block {
            Some("sh") => commands.extend(words(line)),
            Some(_) => {}
            None => {
                let spans = spans(line).filter(|s| PROGRAMS.iter().any(|p| s.starts_with(p)));
                commands.extend(spans.flat_map(words));
            }
        }
    }
    commands
}

/// The simple commands of a line of shell, without assignments before and redirections behind.
fn words(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut command, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => command.extend(word.take()),
            (None, '|') => commands.push(std::mem::take(&mut command)),
            (None, '#' | '<' | '>') => break,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    command.extend(word);
    commands.push(command);
    let assigns = |word: &String| word.split_once('=').is_some_and(|(name, _)| is_variable(name));
    for command in &mut commands {
        let before = command.iter().take_while(|word| assigns(word)).count();
        command.drain(..before);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The arguments with which a command starts `program`, directly or through cargo.
pub(crate) fn arguments<'a>(command: &'a [String], program: &str) -> Option<&'a [String]> {
    match command {
        [first, rest @ ..] if first == program => Some(rest),
        [cargo, run, p, name, rest @ ..]
            if [cargo, run, p, name] == ["cargo", "run", "-p", program] =>
        {
            Some(rest.strip_prefix(&["--".to_owned()]).unwrap_or(&[]))
        }
        _ => None,
    }
}

/// The flags in the guide's tables for a program, each with the cell of its default.
pub(crate) fn table(program: &str) -> BTreeMap<String, String> {
    let guide = read(GUIDE);
    let mut here = false;
    let mut flags = BTreeMap::new();
    for line in guide.lines() {
        if line.starts_with('#') {
            here = match program {
                "sft-infer" => line == "## Summaries",
                program => line.starts_with(&format!("### {program}:")),
            };
        }
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let flag = cells.next().and_then(|cell| cell.strip_prefix("`--")?.strip_suffix('`'));
        if let (true, Some(flag), Some(default)) = (here, flag, cells.next()) {
            let before = flags.insert(snake(flag), default.to_owned());
            assert!(before.is_none(), "{GUIDE}: --{flag} of {program} stands there twice");
        }
    }
    flags
}

/// The flags of a program's help, each with its default.
fn help(executable: &str) -> BTreeMap<String, Option<String>> {
    let output = Command::new(executable).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (options, _) = text.split_once("\nExamples:").unwrap();
    let mut flags = BTreeMap::new();
    // Flags are indented by six, what is said of them by more.
    for entry in options.split("\n      --").skip(1) {
        let entry = entry.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = entry.split([' ', '[', '=']).next().unwrap();
        let default =
            entry.rsplit_once("[default: ").map(|(_, rest)| rest.split(']').next().unwrap());
        flags.insert(snake(name), default.map(str::to_owned));
    }
    flags
}

/// The guide has exactly the program's flags, with the program's defaults.
pub(crate) fn check_flags(program: &str, executable: &str) {
    let (table, help) = (table(program), help(executable));
    let names = |flags: Vec<&String>| flags.into_iter().cloned().collect::<Vec<_>>();
    assert!(help.len() > 10, "{help:?}");
    assert_eq!(
        names(table.keys().collect()),
        names(help.keys().collect()),
        "{GUIDE}: flags of {program}"
    );
    for (flag, cell) in &table {
        let default = help[flag].as_deref();
        let told = match (cell.as_str(), default) {
            ("–", default) => default.is_none(),
            // The prompt template, which has lines.
            ("the text above", Some(text)) => read(README).contains(text.trim_matches('"')),
            (cell, Some(default)) => same(cell.trim_matches('`'), default),
            (_, None) => false,
        };
        assert!(
            told,
            "{GUIDE}: the default of --{flag} of {program} is {default:?} and not {cell}"
        );
    }
}

fn same(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// The commands of a program's help.
fn examples(executable: &str) -> Vec<Vec<String>> {
    let output = Command::new(executable).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, examples) = text.split_once("\nExamples:").unwrap();
    // Commands are indented by four; a long one goes on in the next line.
    let mut lines: Vec<String> = Vec::new();
    for line in examples.lines().filter_map(|line| line.strip_prefix("    ")) {
        match lines.last_mut() {
            Some(last) if !line.starts_with("sft-") => last.extend([" ", line]),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.iter().flat_map(|line| words(line)).collect()
}

/// Every command of the documents and of the help that starts the program has flags and values that it understands.
pub(crate) fn check_commands(program: &str, executable: &str) {
    let mut commands_by_document =
        [README, GUIDE].map(|document| (document, commands(&read(document)))).to_vec();
    commands_by_document.push(("--help", examples(executable)));
    for (document, commands) in commands_by_document {
        let of_program = commands.iter().filter_map(|command| arguments(command, program));
        let mut checked = 0;
        for arguments in of_program {
            // Arguments are read in order, so whatever is wrong comes before the help.
            let output = Command::new(executable).args(arguments).arg("--help").output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: {program} {arguments:?}: {error}");
            checked += 1;
        }
        assert!(checked >= 4, "{document}: only {checked} commands of {program} were found");
    }
}
