//! What a run keeps to itself: the texts that it trains on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fixture, tree};

/// Words that no program says by itself.
const MARKS: [&str; 2] = ["Zebrafinch-4711", "quetzalcoatlus"];

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let [note, summary] = MARKS;
    let row = |i: usize| {
        format!("row-{i},Seen with {note} for {i} days.,The patient has {summary}.,factual,\n")
    };
    let csv = String::from("id,clinical_note,model_summary,label,hallucination_type\n")
        + &(0..12).map(row).collect::<String>()
        + &format!("bad,Seen with {note}.,The patient has {summary}.,hallucinated,invented\n");
    fixture.write("marked.csv", csv);
    fixture
}

fn run(fixture: &Fixture, args: &[&str]) -> (String, Option<i32>) {
    let common = [
        "--model_name=model",
        "--train_csv=marked.csv",
        "--max_length=128",
        "--max_steps=3",
        "--output_dir=out",
    ];
    let output =
        fixture.command(&[&common[..], args].concat()).env("RUST_LOG", "trace").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout) + &text(&output.stderr), output.status.code())
}

fn assert_unsaid(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for mark in MARKS {
        assert!(!text.contains(mark), "{what} says {mark}");
    }
}

#[test]
fn no_text_reaches_logs_or_files() {
    let fixture = fixture();
    let (said, code) = run(&fixture, &["--val_split=0.2"]);
    assert_eq!(code, Some(0), "{said}");
    assert_unsaid("the log", said.as_bytes());
    for (path, content) in tree(&fixture.path("out")) {
        assert_unsaid(&path.display().to_string(), &content);
    }
}

#[test]
fn notes_that_are_asked_for_are_in_the_report_and_nowhere_else() {
    let fixture = fixture();
    let (said, code) = run(&fixture, &["--val_split=0.2", "--report_examples=2"]);
    assert_eq!(code, Some(0), "{said}");
    assert_unsaid("the log", said.as_bytes());
    for (path, content) in tree(&fixture.path("out")) {
        if path != std::path::Path::new("report.html") {
            assert_unsaid(&path.display().to_string(), &content);
            continue;
        }
        let report = String::from_utf8(content).unwrap();
        for mark in MARKS {
            assert_eq!(report.matches(mark).count(), 2, "{mark}");
        }
    }
}

#[test]
fn no_text_reaches_errors() {
    let fixture = fixture();
    // A row with a field too many, a truncated quote, and rows that do not fit.
    let marked = fixture.text("marked.csv");
    for (name, csv) in [
        ("fields", format!("{marked}x,Zebrafinch-4711,quetzalcoatlus,factual,,more\n")),
        ("quote", format!("{marked}x,\"Zebrafinch-4711,quetzalcoatlus,factual,\n")),
        (
            "shifted",
            marked.replacen(
                "clinical_note,model_summary,label",
                "label,clinical_note,model_summary",
                1,
            ),
        ),
        ("no header", marked.split_once('\n').unwrap().1.to_owned()),
    ] {
        fixture.write("marked.csv", csv);
        let (said, code) = run(&fixture, &[]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert_unsaid(name, said.as_bytes());
    }
}

#[cfg(unix)]
#[test]
fn what_is_written_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = fixture();
    let (said, code) = run(&fixture, &["--val_split=0.2"]);
    assert_eq!(code, Some(0), "{said}");
    let mut folders = vec![fixture.path("out")];
    while let Some(folder) = folders.pop() {
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&folder) & 0o077, 0, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}
