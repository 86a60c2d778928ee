//! Notes and summaries as no one would write them, from the file to a trained adapter.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write;

use common::Fixture;

/// Characters and words that programs stumble over.
const ODD: [&str; 8] = [
    "a NUL \0 in the middle, and one at the end \0",
    "first line\n\n\n\r\n\tlast line after empty ones",
    "\u{202e}ימין לשמאל\u{202c} والعربية ثم English",
    "👩🏽‍⚕️ pain 9/10 😖, e\u{301} and \u{feff}, \u{fffd}, \u{10ffff}",
    r#"{"note": "\ud83d alone, \udc00 alone, \u0000"}"#,
    "</s> <s> <|eot_id|> <|end_of_text|> [INST] <<SYS>> {clinical_note} {{ x }} {% y %}",
    "\u{1b}[2J\u{7}\u{8}\u{85}\u{2028}\u{2029}",
    "\"\"quotes\"\", commas,, and 'more'",
];

fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn table() -> (String, usize) {
    let mut csv = String::from("id,clinical_note,model_summary,label,hallucination_type\n");
    for (index, text) in ODD.iter().enumerate() {
        let _ = writeln!(
            csv,
            "{index},{},{},factual,",
            cell(text),
            cell(&text[..text.ceil_char_boundary(20)])
        );
    }
    let line = csv.matches('\n').count() + 1;
    let long = "fever ".repeat(100_000);
    let _ = writeln!(csv, "long,{},the patient has fever,factual,", cell(&long));
    let _ = writeln!(csv, "longer,a note,{},factual,", cell(&long));
    (csv, line)
}

#[test]
fn odd_notes_train_and_what_is_too_long_is_named() {
    let fixture = Fixture::new();
    let (csv, line) = table();
    fixture.write("odd.csv", csv);
    let args = [
        "--model_name=model",
        "--train_csv=odd.csv",
        "--val_split=0.2",
        "--max_length=192",
        "--num_epochs=2",
        "--batch_size=3",
        "--output_dir=out",
    ];
    let ended = fixture.run(&args).ok();
    let said = |parts: [&str; 2]| {
        ended.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(
        said(["1 notes shortened to fit 192 tokens", &format!("line {line}")]),
        "{}",
        ended.stderr
    );
    let dropped = format!("line {} (id longer,", line + 1);
    assert!(said(["1 rows dropped", &dropped]), "{}", ended.stderr);
    assert!(fixture.path("out/final_model/adapter_model.safetensors").is_file());

    // Shown by a dry run, as it is.
    let shown = fixture.run(&[&args[..], &["--dry_run"]].concat()).ok();
    assert!(shown.stdout.contains("a NUL \0 in the middle"), "{:?}", shown.stdout);
}
