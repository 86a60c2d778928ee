//! Ids of prompts and examples, against the tokenizers library as the reference.

use crate::record;
use crate::tokenizers_built::{Built, all, byte_level, metaspace, sentencepiece};
use proptest::prelude::*;
use serde_json::json;
use sft_dataset::{
    DatasetError, Encoded, Example, PromptTemplate, PromptTokenizer, Record, encode,
};

const NOTE: &str = "The patient is a 64-year-old man with chest pain, 38.5 °C.\r\nNo fever 中.";
const SUMMARY: &str = "Chest pain — a 64-year-old man; 5 µg of fentanyl.";

fn example(tokenizer: &PromptTokenizer, record: &Record) -> Example {
    match tokenizer.example(record, 7, 100_000).unwrap() {
        Encoded::Fits { example, tokens_cut: 0 } => example,
        other => panic!("{other:?}"),
    }
}

/// What training on `prompt + summary` means elsewhere: one text, one call, then EOS.
fn reference(built: &Built, template: &PromptTemplate, note: &str, summary: &str) -> Vec<u32> {
    let text = template.render(note) + summary;
    let mut ids = built.reference().encode(text, true).unwrap().get_ids().to_vec();
    ids.push(built.eos);
    ids
}

fn decoded(tokenizer: &PromptTokenizer, ids: &[u32]) -> String {
    tokenizer.tokenizer().decode(ids, false).unwrap()
}

#[test]
fn an_example_is_the_joint_text_with_one_bos_and_one_eos() {
    for built in all() {
        let template = PromptTemplate::default();
        let tokenizer = built.load(template.clone());
        let example = example(&tokenizer, &record(12, NOTE, SUMMARY));
        assert_eq!(example.ids, reference(&built, &template, NOTE, SUMMARY));
        assert_eq!((example.index, example.line), (7, 12));

        assert_eq!(example.ids.iter().filter(|&&id| id == built.bos).count(), 1);
        assert_eq!(example.ids.iter().filter(|&&id| id == built.eos).count(), 1);
        assert_eq!(example.ids.first(), Some(&built.bos));
        assert_eq!(example.ids.last(), Some(&built.eos));

        let targets = &example.ids[example.first_target..];
        assert_eq!(decoded(&tokenizer, &targets[..targets.len() - 1]), SUMMARY);
        assert_eq!(example.ids[..example.first_target], tokenizer.prompt_ids(NOTE).unwrap());
    }
}

#[test]
fn note_and_summary_are_trimmed_and_the_template_is_not() {
    let tokenizer = sentencepiece().with_template("\n Note: {clinical_note}  \n\nSummary:\n");
    let padded = record(2, &format!(" \n{NOTE}\t"), &format!("\n{SUMMARY}  "));
    assert_eq!(example(&tokenizer, &padded), example(&tokenizer, &record(2, NOTE, SUMMARY)));
    let ids = tokenizer.prompt_ids(NOTE).unwrap();
    assert_eq!(tokenizer.prompt_ids(&padded.clinical_note).unwrap(), ids);
    let prompt = decoded(&tokenizer, &ids);
    assert!(prompt.ends_with("No fever 中.  \n\nSummary:\n"), "{prompt:?}");
}

#[test]
fn a_template_that_writes_bos_itself_gets_no_second_one() {
    for (built, text) in [
        (sentencepiece(), "<s>Note: {clinical_note}\nSummary:\n"),
        (byte_level(), "<|begin_of_text|>Note: {clinical_note}\nSummary:\n"),
    ] {
        let tokenizer = built.with_template(text);
        let ids = tokenizer.prompt_ids(NOTE).unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == built.bos).count(), 1);
        // Without special tokens of its own the library sees only the template's.
        let text = tokenizer.template().render(NOTE);
        assert_eq!(ids, built.reference().encode(text, false).unwrap().get_ids());
    }
}

#[test]
fn only_what_a_post_processor_puts_in_front_is_used() {
    let mut built = sentencepiece();
    built.json["post_processor"]["single"]
        .as_array_mut()
        .unwrap()
        .push(json!({"SpecialToken": {"id": "</s>", "type_id": 0}}));
    built.json["post_processor"]["special_tokens"]["</s>"] =
        json!({"id": "</s>", "ids": [2], "tokens": ["</s>"]});
    let ids = built.load(PromptTemplate::default()).prompt_ids(NOTE).unwrap();
    assert_eq!(ids, sentencepiece().load(PromptTemplate::default()).prompt_ids(NOTE).unwrap());

    built.json["post_processor"] = json!(null);
    let bare = built.load(PromptTemplate::default()).prompt_ids(NOTE).unwrap();
    assert_eq!(bare, ids[1..]);
}

#[test]
fn control_strings_in_notes_and_summaries_are_text() {
    let strings = "a </s>b <s> [INST]c[/INST] <|eot_id|><|im_start|>user <|end|> \
        <|begin_of_text|> <unk> end";
    for built in all() {
        let tokenizer = built.load(PromptTemplate::default());
        let example = example(&tokenizer, &record(2, strings, strings));
        let control: Vec<u32> = built.json["added_tokens"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|token| token["content"] != "dyspnoea")
            .map(|token| token["id"].as_u64().unwrap() as u32)
            .collect();
        let inner = &example.ids[1..example.ids.len() - 1];
        assert!(inner.iter().all(|id| !control.contains(id)), "{inner:?}");
        let targets = &example.ids[example.first_target..example.ids.len() - 1];
        assert_eq!(decoded(&tokenizer, targets), strings);
    }
}

#[test]
fn control_strings_of_the_template_stay_tokens_beside_a_note_that_has_some() {
    for (built, text, control) in [
        (metaspace(), "[INST] Summarise: {clinical_note} [/INST]\nSummary </s> \n", "[/INST]"),
        (
            byte_level(),
            "<|im_start|>user\n{clinical_note}<|eot_id|>\n<|end|>  \n\nSummary:\n",
            "<|eot_id|>",
        ),
    ] {
        let template = PromptTemplate::new(text).unwrap();
        let tokenizer = built.load(template.clone());
        // Without a control string in the note: as the library has it.
        let plain = example(&tokenizer, &record(2, NOTE, SUMMARY));
        assert_eq!(plain.ids, reference(&built, &template, NOTE, SUMMARY));

        // With one, the template's tokens before and after it are the same, context included.
        let mixed = example(&tokenizer, &record(2, &format!("{NOTE} {control} {NOTE}"), SUMMARY));
        let tail = plain.ids.len()
            - plain
                .ids
                .iter()
                .position(|&id| Some(id) == tokenizer.tokenizer().token_to_id(control))
                .unwrap();
        assert_eq!(mixed.ids[mixed.ids.len() - tail..], plain.ids[plain.ids.len() - tail..]);
        assert_eq!(mixed.ids[..10], plain.ids[..10]);
        let id = tokenizer.tokenizer().token_to_id(control).unwrap();
        assert_eq!(
            mixed.ids.iter().filter(|&&i| i == id).count(),
            plain.ids.iter().filter(|&&i| i == id).count()
        );
    }
}

#[test]
fn a_control_string_that_template_and_note_make_together_is_text() {
    let built = sentencepiece();
    let tokenizer = built.with_template("Note: <{clinical_note}>\nSummary:\n");
    assert!(!tokenizer.prompt_ids("/s").unwrap().contains(&built.eos));
}

#[test]
fn vocabulary_that_was_added_counts_in_notes_too() {
    let built = byte_level();
    let tokenizer = built.load(PromptTemplate::default());
    let id = tokenizer.tokenizer().token_to_id("dyspnoea").unwrap();
    let ids = tokenizer.prompt_ids("No dyspnoea, but dyspnoeas.").unwrap();
    assert_eq!(ids.iter().filter(|&&i| i == id).count(), 1);
    assert_eq!(tokenizer.vocab_size(), id as usize + 1);

    // The same in a tokenizer that normalises: there the token is matched with its `▁`.
    let mut built = sentencepiece();
    let next = built.json["model"]["vocab"].as_object().unwrap().len();
    built.json["added_tokens"].as_array_mut().unwrap().push(json!({"id": next, "content": "dyspnoea",
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false}));
    let template = PromptTemplate::default();
    let example = example(&built.load(template.clone()), &record(2, "No dyspnoea </p>.", SUMMARY));
    assert_eq!(example.ids, reference(&built, &template, "No dyspnoea </p>.", SUMMARY));
    assert!(example.ids.contains(&(next as u32)));
}

#[test]
fn a_template_that_can_fuse_with_a_summary_is_refused_for_training() {
    let rows = [record(2, NOTE, SUMMARY)];
    for built in all() {
        // A space joins the next word, the bare placeholder leaves the border to the note.
        for text in
            ["{clinical_note}\nSummary: ", "Sum up: {clinical_note} ", "{clinical_note} 64-year-o"]
        {
            let tokenizer = built.with_template(text);
            let error = encode("rows.csv".as_ref(), &rows, &tokenizer, 512).unwrap_err();
            assert!(matches!(error, DatasetError::TemplateFuses { .. }), "{text:?}: {error}");
            assert!(
                error.to_string().contains("end the template with a single newline"),
                "{error}"
            );
            // Generation alone has no border to get wrong.
            assert!(!tokenizer.prompt_ids(NOTE).unwrap().is_empty());
        }
        for text in ["{clinical_note}\n", "Note: {clinical_note}\n\nSummary:\n"] {
            encode("rows.csv".as_ref(), &rows, &built.with_template(text), 512).unwrap();
        }
    }
}

#[test]
fn fusing_is_found_where_no_token_straddles_and_where_one_character_is_not_enough() {
    let fuses_with = |built: &Built, text: &str| match built.with_template(text).check_border() {
        Err(DatasetError::TemplateFuses { start, .. }) => start,
        other => panic!("{text:?}: {other:?}"),
    };
    // Byte-level pre-tokenizers split a run of line breaks before a letter, and only there.
    fuses_with(&byte_level(), "{clinical_note}\nSummary:\n\n");
    // The vocabulary has `yz` and `xyz`, but no `xy`.
    for built in all() {
        assert_eq!(fuses_with(&built, "{clinical_note}\nSummary x"), "yz");
    }
}

#[test]
fn truncation_and_padding_of_the_file_are_ignored() {
    let tokenizer = sentencepiece().load(PromptTemplate::default());
    assert!(tokenizer.tokenizer().get_truncation().is_none());
    let ids = tokenizer.tokenizer().encode(NOTE, false).unwrap();
    assert!(ids.get_ids().len() > 8);
}

#[test]
fn a_row_that_fuses_is_an_error_that_names_its_file_and_line() {
    for built in all() {
        let tokenizer = built.with_template("{clinical_note}\nThe pat");
        let error = tokenizer.example(&record(31, NOTE, "ient is well."), 0, 512).unwrap_err();
        assert!(matches!(error, DatasetError::RowFuses), "{error}");
    }
    // No merge joins a full stop to what follows, so only the row shows that this template fuses.
    let tokenizer = byte_level().with_template("{clinical_note}");
    let rows = [record(31, "The pat", "ient is well.")];
    let error = encode("rows.csv".as_ref(), &rows, &tokenizer, 512).unwrap_err();
    assert!(matches!(error, DatasetError::AtRow { line: 31, .. }), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("rows.csv, line 31 (id row-31): "), "{message}");
    assert!(!message.contains("ient is") && message.contains("single newline"), "{message}");
}

#[test]
fn pieces_mark_the_trained_part() {
    let built = byte_level();
    let tokenizer = built.load(PromptTemplate::default());
    let [given, learnt] =
        tokenizer.pieces(&example(&tokenizer, &record(2, NOTE, SUMMARY))).unwrap();
    assert_eq!(given.text, format!("<|begin_of_text|>{}", PromptTemplate::default().render(NOTE)));
    assert_eq!(learnt.text, format!("{SUMMARY}<|eot_id|>"));
    assert!(!given.trained && learnt.trained);
}

#[test]
fn unusable_tokenizers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let load =
        |eos| PromptTokenizer::from_file(&path, PromptTemplate::default(), eos).err().unwrap();
    assert!(matches!(load(2), DatasetError::Read { .. }));
    std::fs::write(&path, "{\"version\": \"1.0\"}").unwrap();
    assert!(matches!(load(2), DatasetError::Tokenizer { .. }));
    assert!(load(2).to_string().contains("tokenizer.json"));
    std::fs::write(&path, sentencepiece().json.to_string()).unwrap();
    assert!(matches!(load(99_999), DatasetError::UnknownEos { eos_id: 99_999, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_gives_the_reference_ids(
        note in "[a-zA-Z0-9 .,:;µ°é中\n'\"-]{1,80}|\\PC{1,40}",
        summary in "[a-zA-Z0-9 .,µ°é\n-]{0,60}[a-z]",
    ) {
        let (note, summary) = (note.trim(), summary.trim());
        thread_local!(static BUILT: [Built; 3] = all());
        BUILT.with(|built| {
            for built in built {
                let template = PromptTemplate::default();
                let tokenizer = built.load(template.clone());
                let example = example(&tokenizer, &record(2, note, summary));
                assert_eq!(example.ids, reference(built, &template, note, summary));
                assert_eq!(example.ids[..example.first_target], tokenizer.prompt_ids(note).unwrap());
            }
        });
    }
}
