//! The checks of the ids: they pass on rows that were encoded rightly, and name each planted fault.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

use sft_dataset::{
    Dataset, EncodedSet, Example, PromptTemplate, PromptTokenizer, Record, SftConfig, encode,
};
use sft_fixtures::{BOS, EOS, byte_tokenizer, csv, rows};
use sft_self_test::{Check, CheckResult, Text, check_text};

const ALL: [Check; 3] = [Check::Bos, Check::Eos, Check::Prompt];

/// Rows as a run encodes them.
struct Rows {
    _dir: tempfile::TempDir,
    tokenizer_json: PathBuf,
    tokenizer: PromptTokenizer,
    records: Vec<Record>,
    set: EncodedSet,
    saved: SftConfig,
}

impl Rows {
    fn new(template: &str) -> Self {
        Self::with(template, true, 512)
    }

    fn with(template: &str, adds_bos: bool, max_length: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tokenizer_json, train) =
            (dir.path().join("tokenizer.json"), dir.path().join("rows.csv"));
        let mut json = byte_tokenizer();
        if !adds_bos {
            json["post_processor"] = serde_json::Value::Null;
        }
        fs::write(&tokenizer_json, json.to_string()).unwrap();
        fs::write(&train, csv(&rows())).unwrap();
        let template = PromptTemplate::new(template).unwrap();
        let saved = SftConfig {
            prompt_template: template.text().to_owned(),
            summary_lead: String::new(),
            max_length,
            eos_token_id: EOS,
            base_model: "model".to_owned(),
            sft_version: "0".to_owned(),
        };
        let tokenizer = PromptTokenizer::from_file(&tokenizer_json, template, EOS).unwrap();
        let records = Dataset::read_csv(&train).unwrap().factual_records().unwrap();
        let set = encode(&train, &records, &tokenizer, max_length).unwrap();
        Self { _dir: dir, tokenizer_json, tokenizer, records, set, saved }
    }

    /// Changes the ids of every example.
    fn planted(mut self, fault: impl Fn(&mut Example)) -> Self {
        self.set.examples.iter_mut().for_each(fault);
        self
    }

    fn check(&self) -> Vec<CheckResult> {
        let text = Text {
            records: &self.records,
            set: &self.set,
            tokenizer: &self.tokenizer,
            tokenizer_json: &self.tokenizer_json,
            saved: &self.saved,
            bos_id: Some(BOS),
        };
        let mut heard = Vec::new();
        let results = check_text(&text, &mut |result| heard.push(result.clone())).unwrap();
        assert_eq!(heard, results);
        assert_eq!(results.iter().map(|result| result.check).collect::<Vec<_>>(), ALL);
        results
    }

    /// Exactly these checks fail, and one of them says this.
    #[track_caller]
    fn assert_fails(&self, checks: &[Check], cause: &str) {
        let results = self.check();
        let failed: Vec<_> = results.iter().filter(|result| !result.passed).collect();
        let names: Vec<Check> = failed.iter().map(|result| result.check).collect();
        assert_eq!(names, checks, "{failed:#?}");
        assert!(failed.iter().any(|result| result.detail.contains(cause)), "{failed:#?}");
        for result in failed {
            let line = result.to_string();
            assert!(
                line.starts_with("FAIL ") && line.contains("line 2") && !line.contains('\n'),
                "{line}"
            );
            assert!(!line.contains("cough"), "text of a note: {line}");
        }
    }

    #[track_caller]
    fn assert_passes(&self, details: [&str; 3]) {
        for (result, detail) in self.check().iter().zip(details) {
            assert!(result.passed, "{result}");
            assert_eq!(result.detail, detail);
        }
    }
}

const PLAIN: &str = "### Note:\n{clinical_note}\n\n### Summary:\n";

#[test]
fn rows_as_they_are_encoded_pass() {
    for template in [PLAIN, "<s>### Note:\n{clinical_note}\n</s>\n"] {
        Rows::new(template).assert_passes(["id 257, 9 rows", "id 258, 9 rows", "9 rows"]);
    }
}

#[test]
fn a_double_bos_is_named() {
    for template in ["<s><s>Note: {clinical_note}\n", "\n<s>Note: {clinical_note}\n"] {
        let cause = "has 2 BOS (id 257): the tokenizer adds 1 and the prompt template writes more; take BOS out";
        Rows::new(template).assert_fails(&[Check::Bos], cause);
    }
    let planted = Rows::new(PLAIN).planted(|example| {
        example.ids.insert(0, BOS);
        example.first_target += 1;
    });
    planted.assert_fails(&[Check::Bos, Check::Prompt], "has 2 BOS (id 257)");
}

#[test]
fn a_missing_or_misplaced_bos_is_named() {
    let missing = Rows::new(PLAIN).planted(|example| {
        example.ids.remove(0);
        example.first_target -= 1;
    });
    missing.assert_fails(&[Check::Bos, Check::Prompt], "has no BOS (id 257)");
    let misplaced = Rows::new(PLAIN).planted(|example| example.ids.swap(0, 1));
    misplaced.assert_fails(&[Check::Bos, Check::Prompt], "not at the beginning");
}

#[test]
fn a_tokenizer_without_bos_needs_none() {
    let details = ["the tokenizer adds none, 9 rows", "id 258, 9 rows", "9 rows"];
    for template in [PLAIN, "<s>user\n{clinical_note}\n<s>assistant\n"] {
        Rows::with(template, false, 512).assert_passes(details);
    }
    let doubled = Rows::with("<s><s>Note: {clinical_note}\n", false, 512);
    doubled.assert_fails(&[Check::Bos], "begins with two BOS");
}

#[test]
fn a_masked_eos_is_named() {
    let masked = Rows::new(PLAIN).planted(|example| {
        example.ids.pop();
    });
    masked.assert_fails(&[Check::Eos], "does not train the EOS (id 258): it is masked or missing");
    // Where nothing is a target, the EOS is none, though it is there.
    let masked = Rows::new(PLAIN).planted(|example| example.first_target = example.ids.len());
    masked.assert_fails(&[Check::Eos, Check::Prompt], "masked or missing");
}

#[test]
fn an_eos_too_many_is_named() {
    Rows::new(PLAIN)
        .planted(|example| example.ids.push(EOS))
        .assert_fails(&[Check::Eos], "2 times");
    let early = Rows::new(PLAIN).planted(|example| {
        let last = example.ids.len() - 1;
        example.ids.swap(last - 1, last);
    });
    early.assert_fails(&[Check::Eos], "before the end of the summary");
}

#[test]
fn another_prompt_in_inference_is_named() {
    let mut rows = Rows::new(PLAIN);
    rows.saved.prompt_template = PLAIN.trim_end().to_owned();
    rows.assert_fails(&[Check::Prompt], "other prompt ids in training than inference will build");
    // One row alone is enough.
    let mut rows = Rows::new(PLAIN);
    rows.set.examples[0].ids[5] += 1;
    rows.assert_fails(&[Check::Prompt], "1 of 9 rows are wrong");
}

#[test]
fn a_shortened_note_is_left_out() {
    let rows = Rows::with(PLAIN, true, 90);
    let cut = rows.set.report.truncated.len();
    assert!((1..9).contains(&cut), "{cut}");
    let prompt = format!("{} rows, without {cut} with a shortened note", 9 - cut);
    rows.assert_passes(["id 257, 9 rows", "id 258, 9 rows", &prompt]);
}
