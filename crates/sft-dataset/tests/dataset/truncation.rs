//! What does not fit is cut from the end of the note, and from nowhere else.

use crate::record;
use crate::tokenizers_built::{Built, all};
use proptest::prelude::*;
use sft_dataset::{
    DatasetError, Encoded, PromptTemplate, PromptTokenizer, Record, TooLong, Truncated, encode,
};

const NOTE: &str = "The patient is a 64-year-old man with chest pain and µg 中文 doses of fentanyl.  \n\
    He has a history of hypertension, diabetes and heart failure, and denies °C fever.";
const SUMMARY: &str = "Chest pain, 64-year-old man.";

/// Checks an example that may have been cut, and returns the note left in it, or `None` if the row
/// does not fit.
pub(crate) fn note_left(
    tokenizer: &PromptTokenizer,
    row: &Record,
    max_length: usize,
) -> Option<String> {
    let whole = match tokenizer.example(row, 0, usize::MAX).unwrap() {
        Encoded::Fits { example, .. } => example,
        Encoded::TooLong { .. } => unreachable!("nothing is longer than usize::MAX"),
    };
    match tokenizer.example(row, 0, max_length).unwrap() {
        Encoded::TooLong { tokens } => {
            assert!(tokens > max_length);
            None
        }
        Encoded::Fits { example, tokens_cut } => {
            assert!(example.ids.len() <= max_length);
            assert_eq!(example.ids.len() + tokens_cut, whole.ids.len());
            // The targets are whole: all of the summary and EOS.
            assert_eq!(example.ids[example.first_target..], whole.ids[whole.first_target..]);
            // The prompt is the template with a shorter note, as inference would build it.
            let left = (0..=row.clinical_note.len())
                .filter(|&end| row.clinical_note.is_char_boundary(end))
                .map(|end| &row.clinical_note[..end])
                .find(|note| {
                    tokenizer.prompt_ids(note).unwrap() == example.ids[..example.first_target]
                });
            Some(left.expect("the prompt holds a start of the note").to_owned())
        }
    }
}

#[test]
fn every_limit_is_kept_and_used_well() {
    let row = record(2, NOTE, SUMMARY);
    for built in all() {
        let tokenizer = built.load(PromptTemplate::default());
        let Encoded::Fits { example, .. } = tokenizer.example(&row, 0, 512).unwrap() else {
            panic!("the row fits 512 tokens")
        };
        let least =
            tokenizer.prompt_ids("").unwrap().len() + example.ids.len() - example.first_target;
        for max_length in 1..=example.ids.len() {
            let left = note_left(&tokenizer, &row, max_length);
            assert_eq!(left.is_some(), max_length >= least, "{max_length}");
            if let Some(left) = left {
                assert_eq!(left.trim_end(), left);
                // A cut at a token's border leaves little unused; a character of three bytes and
                // the white space before it can cost some.
                let used = tokenizer.prompt_ids(&left).unwrap().len() + example.ids.len()
                    - example.first_target;
                assert!(max_length - used <= 6, "{used} of {max_length}");
            }
        }
        assert_eq!(note_left(&tokenizer, &row, example.ids.len()).as_deref(), Some(NOTE));
    }
}

#[test]
fn the_report_names_what_was_cut_and_dropped() {
    let built = &all()[2];
    let tokenizer = built.load(PromptTemplate::default());
    let long_summary = SUMMARY.repeat(9);
    let rows = [
        record(2, "Short.", SUMMARY),
        record(3, NOTE, SUMMARY),
        record(9, "Short.", &long_summary),
        record(12, "Also short.", SUMMARY),
    ];
    let set = encode("rows.csv".as_ref(), &rows, &tokenizer, 80).unwrap();
    let numbers: Vec<(u64, u64)> = set.examples.iter().map(|e| (e.index, e.line)).collect();
    assert_eq!(numbers, [(0, 2), (1, 3), (3, 12)]);
    let Encoded::Fits { tokens_cut, .. } = tokenizer.example(&rows[1], 0, 80).unwrap() else {
        panic!("the row is cut, not dropped")
    };
    assert_eq!(set.report.truncated, [Truncated { line: 3, tokens_cut }]);
    assert!(matches!(&set.report.dropped[..], [TooLong { line: 9, tokens: 81.., .. }]));
    let lengths: Vec<usize> = set.examples.iter().map(|e| e.ids.len()).collect();
    assert_eq!(set.report.tokens.total, lengths.iter().sum::<usize>());
    assert_eq!(Some(set.report.tokens.max), lengths.iter().max().copied());
    assert_eq!(Some(set.report.tokens.min), lengths.iter().min().copied());
    assert_eq!(set.report.tokens.p90, set.report.tokens.max);
    let targets = set.examples.iter().map(|e| e.ids.len() - e.first_target).sum::<usize>();
    assert_eq!(set.report.targets.total, targets);
    let lines = set.report.lines().join("\n");
    assert!(
        lines.contains(&format!(
            "1 notes shortened to fit 80 tokens, {tokens_cut} tokens cut: line 3"
        )),
        "{lines}"
    );
    assert!(lines.contains("line 9 (id row-9"), "{lines}");
}

#[test]
fn no_row_that_fits_is_an_error() {
    let tokenizer = all()[0].load(PromptTemplate::default());
    let error =
        encode("rows.csv".as_ref(), &[record(2, NOTE, SUMMARY)], &tokenizer, 10).unwrap_err();
    assert!(matches!(error, DatasetError::NothingFits { rows: 1, max_length: 10, .. }), "{error}");
    assert!(error.to_string().starts_with("rows.csv: "), "{error}");
    // No rows at all is an empty set, as for a missing validation file.
    assert!(encode("rows.csv".as_ref(), &[], &tokenizer, 10).unwrap().examples.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn truncation_never_touches_the_summary(
        note in "([a-z0-9 .,µ中\n]{1,10}( the patient denies chest pain)?){1,12}",
        summary in "[a-z0-9µ][a-z0-9 .,µ\n]{0,40}[a-z.]",
        max_length in 20_usize..120,
    ) {
        thread_local!(static BUILT: [Built; 3] = all());
        let row = record(2, note.trim(), summary.trim());
        BUILT.with(|built| {
            for built in built {
                note_left(&built.load(PromptTemplate::default()), &row, max_length);
            }
        });
    }
}
