//! The documents against the repository: links, paths, flags, commands, and the names in files that the programs write.
//! That the guide's tables of flags are those of the programs is tested with each program.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/documents.rs"]
mod documents;

use std::collections::BTreeSet;
use std::fs;

use documents::{GUIDE, README, commands, lines, read, root, snake, spans, table};
use serde_json::Value;
use sft::eval::findings::NoteFindings;
use sft::eval::{Comparison, ModelReport, Preference, Source, SummaryFigures};
use sft::inference::{FinishReason, Generation};
use sft::trainer::StepRecord;

const DOCUMENTS: [&str; 8] = [
    README,
    GUIDE,
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "crates/sft-dataset/README.md",
    "crates/sft-lora/README.md",
];

/// Flags of cargo, of the examples and of llama.cpp.
const OTHER_FLAGS: [&str; 9] =
    ["workspace", "path", "example", "min", "help", "version", "lora", "release", "features"];

#[test]
fn every_flag_that_is_named_exists() {
    let mut known: BTreeSet<String> = OTHER_FLAGS.map(str::to_owned).into();
    for program in ["sft-train", "sft-infer"] {
        known.extend(table(program).into_keys());
    }
    for document in DOCUMENTS {
        for (_, line) in lines(&read(document)) {
            for (at, _) in line.match_indices("--") {
                let name = line[at + 2..]
                    .split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
                let name = snake(name.into_iter().next().unwrap());
                let starts = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-');
                let is_flag = starts && name.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(
                    !is_flag || known.contains(&name),
                    "{document}: --{name} is no flag: {line}"
                );
            }
        }
    }
}

#[test]
fn every_link_resolves() {
    let mut checked = 0;
    for document in DOCUMENTS {
        let path = root().join(document);
        for (_, line) in lines(&read(document)).into_iter().filter(|(block, _)| block.is_none()) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("https://") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                let file = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
                assert!(file.exists(), "{document}: {target} does not exist");
                assert!(
                    anchor.is_empty()
                        || anchors(&fs::read_to_string(&file).unwrap()).contains(anchor),
                    "{document}: {target}: there is no such heading"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

/// The anchors of headings, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings =
        lines(text).into_iter().filter(|(block, line)| block.is_none() && line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_path_that_is_named_exists() {
    const PLACES: [&str; 7] =
        ["crates/", "docs/", "examples/", "benches/", "tests/", "fixtures/", "scripts/"];
    let mut checked = 0;
    for document in DOCUMENTS.into_iter().filter(|name| !name.starts_with("crates/")) {
        let text = read(document);
        for path in lines(&text)
            .into_iter()
            .filter(|(block, _)| block.is_none())
            .flat_map(|(_, line)| spans(line))
        {
            let is_path = PLACES.iter().any(|place| path.starts_with(place))
                && !path.contains([' ', '*', '{']);
            if is_path {
                assert!(root().join(path).exists(), "{document}: {path} does not exist");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "only {checked} paths were found");
}

#[test]
fn every_crate_is_on_the_map() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(read(README).contains(&format!("`crates/{name}`")), "{README}: {name} is missing");
        assert!(
            read("ARCHITECTURE.md").contains(&format!("`{name}`")),
            "ARCHITECTURE.md: {name} is missing"
        );
    }
}

#[test]
fn cargo_finds_what_commands_name() {
    let mut checked = 0;
    for document in DOCUMENTS {
        for command in commands(&read(document)).into_iter().filter(|command| command[0] == "cargo")
        {
            for pair in command.split(|word| word == "--").next().unwrap().windows(2) {
                let path = match pair[0].as_str() {
                    "-p" if command[1] == "run" => format!("crates/{}/src/main.rs", pair[1]),
                    "-p" => format!("crates/{}/Cargo.toml", pair[1]),
                    "--example" => format!("examples/{}.rs", pair[1]),
                    "--path" => format!("{}/Cargo.toml", pair[1]),
                    _ => continue,
                };
                assert!(
                    root().join(&path).is_file(),
                    "{document}: {command:?}: {path} does not exist"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "only {checked} such commands were found");
}

#[test]
fn the_guide_has_the_names_that_the_programs_write() {
    let guide = read(GUIDE);
    let step = StepRecord {
        step: 1,
        epoch: 1,
        loss: 2.0,
        grad_norm: 1.0,
        learning_rate: 1e-4,
        tokens: 9,
        target_tokens: 3,
        seconds: 1.0,
        tokens_per_s: 9.0,
        peak_memory_mb: None,
        skipped: false,
    };
    let example = lines(&guide)
        .into_iter()
        .find(|(block, line)| *block == Some("json") && line.contains("grad_norm"));
    let example: Value = serde_json::from_str(example.unwrap().1).unwrap();
    assert_eq!(
        keys(&example),
        keys(&serde_json::to_value(step).unwrap()),
        "{GUIDE}: a line of metrics.jsonl"
    );

    let findings = lines(&guide)
        .into_iter()
        .find(|(block, line)| *block == Some("json") && line.contains("findings"));
    serde_json::from_str::<NoteFindings>(findings.unwrap().1).unwrap();

    let generation = Generation {
        generated_summary: String::new(),
        prompt_tokens: 0,
        generated_tokens: 0,
        finish_reason: FinishReason::Eos,
        prefill_s: 0.0,
        decode_tokens_per_s: 0.0,
        ids: Vec::new(),
    };
    let report = ModelReport::default();
    let comparison = Comparison::new(report.clone(), report, [].into());
    let summaries = SummaryFigures::new(&[]);
    let pair = Preference {
        prompt: String::new(),
        chosen: String::new(),
        rejected: String::new(),
        ref_chosen_logps: 0.0,
        ref_rejected_logps: 0.0,
        source: Source::Labels,
        hallucination_type: String::new(),
        id: String::new(),
    };
    for value in [
        serde_json::to_value(generation).unwrap(),
        serde_json::to_value(comparison).unwrap(),
        serde_json::to_value(summaries).unwrap(),
        serde_json::to_value(pair).unwrap(),
    ] {
        for key in keys(&value) {
            assert!(guide.contains(&format!("`{key}`")), "{GUIDE}: `{key}` is missing");
        }
    }
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}
