//! Where `unsafe` is, and that each piece of it says why it is sound.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const HOME: &str = "crates/sft-kernels/";
/// How far above a piece its reason may begin: the lines of the comment and of the statement that the piece is in.
const REACH: usize = 16;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files of the project, relative to its root.
fn sources() -> Vec<PathBuf> {
    let mut folders: Vec<_> = ["crates", "src", "tests", "benches", "examples", "fixtures", "fuzz"]
        .map(|name| root().join(name))
        .into();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// A line without its comment and without texts in quotes.
fn code(line: &str) -> String {
    let line = line.replace("\\\"", "");
    let mut kept = String::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 0 {
            match part.split_once("//") {
                Some((before, _)) => return kept + before,
                None => kept.push_str(part),
            }
        }
    }
    kept
}

/// What follows the word `unsafe` wherever it stands in code.
fn followers(line: &str) -> Vec<String> {
    let code = code(line);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let found = code.match_indices("unsafe").filter(|(at, text)| {
        !code[..*at].ends_with(word) && !code[at + text.len()..].starts_with(word)
    });
    found.map(|(at, text)| code[at + text.len()..].trim_start().to_owned()).collect()
}

#[test]
fn unsafe_is_in_one_crate_and_each_block_has_its_reason() {
    let mut blocks: BTreeMap<String, usize> = BTreeMap::new();
    let mut functions = 0;
    for path in sources() {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let path = path.to_string_lossy().replace('\\', "/");
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            for follower in followers(line) {
                let at = format!("{path}:{}", index + 1);
                assert!(path.starts_with(HOME), "{at}: `unsafe` outside of {HOME}");
                if follower.starts_with("fn") {
                    functions += 1;
                    continue;
                }
                let near = &lines[index.saturating_sub(REACH)..=index];
                let reason = near.iter().any(|line| line.contains("SAFETY:"));
                assert!(reason, "{at}: `unsafe` without a reason (// SAFETY: ...)");
                *blocks.entry(path.clone()).or_default() += 1;
            }
        }
    }
    for (path, count) in &blocks {
        println!("{count:4} {path}");
    }
    let all: usize = blocks.values().sum();
    println!("{all} unsafe blocks in {} files, {functions} unsafe functions", blocks.len());
    assert!(blocks.len() > 10 && all > 50, "the search finds {all} blocks in {}", blocks.len());
}

#[test]
fn every_other_crate_forbids_it() {
    let mut roots = vec![PathBuf::from("src/lib.rs"), PathBuf::from("fixtures/src/lib.rs")];
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = Path::new("crates").join(entry.unwrap().file_name());
        let of = |name: &str| Some(folder.join(name)).filter(|path| root().join(path).is_file());
        let of_crate: Vec<_> = ["src/lib.rs", "src/main.rs"].into_iter().filter_map(of).collect();
        assert!(!of_crate.is_empty(), "{}", folder.display());
        roots.extend(of_crate);
    }
    assert!(roots.len() > 10);
    for path in roots {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let rule = if path.starts_with(HOME) {
            "#![deny(unsafe_code)]"
        } else {
            "#![forbid(unsafe_code)]"
        };
        assert!(text.lines().any(|line| line == rule), "{}: no {rule}", path.display());
    }
}

#[test]
fn the_search_sees_code_and_nothing_else() {
    for line in ["unsafe { x }", "let a = unsafe {", "(unsafe", "    unsafe impl Send for X {}"] {
        assert_eq!(followers(line).len(), 1, "{line}");
    }
    for line in
        ["// unsafe {", "\"unsafe {\"", "#![forbid(unsafe_code)]", "a_unsafe {", "x; // unsafe"]
    {
        assert!(followers(line).is_empty(), "{line}");
    }
}
