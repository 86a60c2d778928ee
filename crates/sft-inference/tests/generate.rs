//! Generation with a tiny random model: batches, stops, limits, streaming.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use candle_core::D;
use common::{EOS, MAX_POSITIONS, write_json, write_model};
use serde_json::json;
use sft_dataset::PromptTemplate;
use sft_inference::{
    FinishReason, Generation, GenerationParams, Generator, InferenceError, OpenOptions,
};
use sft_model::Packed;

fn open(folder: &Path) -> Generator {
    let template = PromptTemplate::new("{clinical_note}\n>").unwrap();
    let options =
        OpenOptions { prompt_template: Some(template.into()), ..OpenOptions::new(folder) };
    Generator::open(&options).unwrap()
}

fn model() -> (tempfile::TempDir, Generator) {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), 1);
    let generator = open(folder.path());
    (folder, generator)
}

/// More notes than run at once, of uneven lengths.
fn notes() -> Vec<String> {
    let text = "Fever of 38.5 C, dry cough for 3 days, no chest pain; SpO2 97 %.";
    (0..11).map(|i| format!("{i} {}", &text[..5 + i * 5])).collect()
}

fn run(generator: &Generator, notes: &[String], params: &GenerationParams) -> Vec<Generation> {
    generator.generate(notes, params, &mut |_, _| {}).unwrap()
}

fn greedy(max_new_tokens: usize) -> GenerationParams {
    GenerationParams { max_new_tokens, ..GenerationParams::default() }
}

#[test]
fn a_batch_gives_what_each_note_gives_alone_and_in_order() {
    let (_folder, generator) = model();
    let params = greedy(24);
    let together = run(&generator, &notes(), &params);
    assert_eq!(together.len(), notes().len());
    for (note, generation) in notes().iter().zip(&together) {
        let alone = &run(&generator, std::slice::from_ref(note), &params)[0];
        assert_eq!(generation.ids, alone.ids, "{note}");
        assert_eq!(generation.generated_summary, alone.generated_summary);
        assert_eq!(generation.prompt_tokens, note.chars().count() + 4, "BOS, ▁, newline, >");
    }
    assert!(together.iter().any(|g| g.ids != together[0].ids), "the notes make no difference");
    let again = run(&generator, &notes(), &params);
    assert!(together.iter().zip(&again).all(|(a, b)| a.ids == b.ids));
}

#[test]
fn a_sample_depends_on_the_seed_and_the_note_s_index_alone() {
    let (_folder, generator) = model();
    let params = GenerationParams {
        temperature: 0.8,
        top_p: Some(0.95),
        top_k: Some(40),
        repetition_penalty: 1.2,
        seed: 7,
        ..greedy(24)
    };
    let together = run(&generator, &notes(), &params);
    let fewer = run(&generator, &notes()[..3], &params);
    for (a, b) in together.iter().zip(&fewer) {
        assert_eq!(a.ids, b.ids);
    }
    let other = run(&generator, &notes()[..3], &GenerationParams { seed: 8, ..params });
    assert!(fewer.iter().zip(&other).any(|(a, b)| a.ids != b.ids));
    let same_note = vec![notes()[4].clone(); 2];
    let twice = run(&generator, &same_note, &GenerationParams { seed: 8, ..greedy(24) });
    assert_eq!(twice[0].ids, twice[1].ids, "greedy needs no luck");
}

#[test]
fn cached_decoding_is_the_full_forward() {
    let (_folder, generator) = model();
    for (note, generation) in notes().iter().zip(run(&generator, &notes(), &greedy(20))) {
        let prompt = generator.prompts().prompt_ids(note).unwrap();
        let ids: Vec<u32> = prompt.iter().chain(&generation.ids).copied().collect();
        let positions: Vec<u32> = (0..ids.len() as u32).collect();
        let packed = Packed {
            ids: &ids,
            positions: &positions,
            cu_seqlens: &[0, ids.len() as u32],
            example: &[0],
        };
        let logits = generator.decoder().logits(&packed, None).unwrap();
        let argmax = logits.argmax(D::Minus1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(argmax[prompt.len() - 1..ids.len() - 1], generation.ids, "{note}");
    }
}

#[test]
fn it_stops_at_every_stop_id() {
    let (folder, generator) = model();
    let all = notes().into_iter().zip(run(&generator, &notes(), &greedy(30)));
    let (note, free) =
        all.into_iter().find(|(_, g)| g.finish_reason == FinishReason::Length).unwrap();
    let note = [note];
    assert_eq!((free.generated_tokens, free.ids.len()), (30, 30));
    // ids that the model gives of itself, behind the first
    let first_at = |id: u32| free.ids.iter().position(|&x| x == id).unwrap();
    let mut candidates: Vec<u32> =
        free.ids.iter().copied().filter(|&id| first_at(id) > 0).collect();
    candidates.sort_unstable();
    candidates.dedup();
    assert!(candidates.len() >= 2, "{:?}", free.ids);
    for id in candidates {
        for eos in [json!(id), json!([EOS, id])] {
            write_json(
                &folder.path().join("generation_config.json"),
                &json!({"eos_token_id": eos}),
            );
            let generator = open(folder.path());
            assert!(generator.stop_ids().contains(&id));
            let stopped = &run(&generator, &note, &greedy(30))[0];
            assert_eq!(stopped.finish_reason, FinishReason::Eos);
            assert_eq!(stopped.ids, free.ids[..=first_at(id)]);
            assert_eq!(stopped.generated_tokens, stopped.ids.len());
            let tokenizer = generator.prompts().tokenizer();
            let text = tokenizer.decode(&stopped.ids[..first_at(id)], true).unwrap();
            assert_eq!(stopped.generated_summary, text, "the stop token is no text");
        }
    }
}

#[test]
fn the_stream_joined_is_the_summary() {
    let (_folder, generator) = model();
    let mut texts = vec![String::new(); notes().len()];
    let params = GenerationParams { temperature: 1.5, ..greedy(30) };
    let generations = generator
        .generate(&notes(), &params, &mut |note, text| texts[note].push_str(text))
        .unwrap();
    for (text, generation) in texts.iter().zip(&generations) {
        assert_eq!(*text, generation.generated_summary);
        assert!(generation.prefill_s > 0.0 && generation.decode_tokens_per_s > 0.0);
    }
}

#[test]
fn the_context_ends_generation_and_refuses_a_note() {
    let (_folder, generator) = model();
    let note = "x".repeat(MAX_POSITIONS - 4 - 5);
    let generation = &run(&generator, &[note], &greedy(50))[0];
    assert_eq!(generation.prompt_tokens + generation.generated_tokens, MAX_POSITIONS);
    assert_eq!((generation.generated_tokens, generation.finish_reason), (5, FinishReason::Length));

    let too_long = ["ok".to_owned(), "x".repeat(MAX_POSITIONS)];
    let error = generator.generate(&too_long, &greedy(1), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.note(), Some(1));
    let message = error.to_string();
    for part in ["note 2", "164 tokens", "160", "shorten"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn an_empty_note_and_bad_parameters_are_errors_before_anything_runs() {
    let (_folder, generator) = model();
    let error = generator.generate(&["  \n".to_owned()], &greedy(1), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, InferenceError::EmptyNote { note: 0 }));
    let error = generator.generate(&notes(), &greedy(0), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, InferenceError::Params { .. }));
    assert!(run(&generator, &[], &greedy(1)).is_empty());
}

#[test]
fn one_token_is_enough() {
    let (_folder, generator) = model();
    for generation in run(&generator, &notes(), &greedy(1)) {
        assert_eq!((generation.generated_tokens, generation.decode_tokens_per_s), (1, 0.0));
    }
}

#[test]
fn a_repetition_penalty_changes_the_greedy_text() {
    let (_folder, generator) = model();
    let plain = run(&generator, &notes(), &greedy(30));
    let params = GenerationParams { repetition_penalty: 1e6, ..greedy(30) };
    let penalised = run(&generator, &notes(), &params);
    for (note, generation) in notes().iter().zip(&penalised) {
        let mut seen = generator.prompts().prompt_ids(note).unwrap();
        seen.extend(&generation.ids);
        let distinct = |ids: &[u32]| ids.iter().collect::<std::collections::BTreeSet<_>>().len();
        // an enormous penalty forbids whatever has a positive logit: nothing comes twice
        assert_eq!(distinct(&generation.ids), generation.ids.len(), "{:?}", generation.ids);
    }
    assert!(plain.iter().zip(&penalised).any(|(a, b)| a.ids != b.ids));
}

#[test]
fn damaged_weights_are_an_error_and_not_a_text() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), 1);
    let mut weights = common::weights(1);
    let head = (&weights["lm_head.weight"] * f64::NAN).unwrap();
    weights.insert("lm_head.weight".to_owned(), head);
    candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    let error = open(folder.path()).generate(&notes(), &greedy(3), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, InferenceError::NonFiniteLogits { note: 0, step: 0 }), "{error}");
}
