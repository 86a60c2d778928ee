//! Losses against the model's own logits, what an adapter changes, and rows that cannot be scored.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};
use sft_dataset::{Dataset, PromptTemplate, PromptTokenizer, encode};
use sft_eval::{Comparison, EvalError, EvalSet, Evaluation, ModelReport};
use sft_fixtures::{EOS, LlamaShape, csv};
use sft_lora::LoraConfig;
use sft_model::{Decoder, Gradients, ModelDir, Packed, TrainPass};
use tempfile::TempDir;

const MAX_LENGTH: usize = 120;

struct Place {
    folder: TempDir,
    model: Decoder,
    prompts: PromptTokenizer,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    LlamaShape::default().write(folder.path(), 3).unwrap();
    let dir = ModelDir::open(folder.path()).unwrap();
    let model = Decoder::load(&dir, DType::F32, &Device::Cpu).unwrap();
    let template = PromptTemplate::default();
    let prompts =
        PromptTokenizer::from_file(&dir.tokenizer_json().unwrap(), template, EOS).unwrap();
    Place { folder, model, prompts }
}

fn dataset(folder: &Path, rows: &[[&str; 5]]) -> Dataset {
    let path = folder.join("rows.csv");
    let rows: Vec<[String; 5]> = rows.iter().map(|row| row.map(str::to_owned)).collect();
    fs::write(&path, csv(&rows)).unwrap();
    Dataset::read_csv(&path).unwrap()
}

const ROWS: [[&str; 5]; 5] = [
    ["a", "Fever and cough for three days.", "Fever with cough.", " Factual", ""],
    ["b", "Fever and cough for three days.", "A broken leg.", "hallucinated", "invented"],
    ["c", "Headache.", "Headache since today", "factual", ""],
    ["d", "Headache.", "No headache", "contradicted", "negated"],
    ["e", "Rash on both arms.", "Rash on the left arm only", "hallucinated", "invented"],
];

fn evaluate(place: &Place, dataset: &Dataset) -> Evaluation {
    let set = EvalSet::new(dataset, &place.prompts, MAX_LENGTH).unwrap();
    set.evaluate(&place.model, &mut |_, _| {}).unwrap()
}

/// Sum and number of the targets' losses, from the log-softmax of the whole sequence's logits.
fn reference(place: &Place, dataset: &Dataset) -> Vec<(f64, usize)> {
    let set = encode(&dataset.path, &dataset.records, &place.prompts, MAX_LENGTH).unwrap();
    let of = |ids: &[u32], first: usize| {
        let positions: Vec<u32> = (0..ids.len() as u32).collect();
        let cu_seqlens = [0, ids.len() as u32];
        let input = Packed { ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &[0] };
        let logits = place.model.logits(&input, None).unwrap().to_dtype(DType::F64).unwrap();
        let nll = (first..ids.len()).map(|at| {
            let row: Vec<f64> = logits.i(at - 1).unwrap().to_vec1().unwrap();
            row.iter().map(|x| x.exp()).sum::<f64>().ln() - row[ids[at] as usize]
        });
        (nll.sum(), ids.len() - first)
    };
    set.examples.iter().map(|example| of(&example.ids, example.first_target)).collect()
}

#[test]
fn losses_are_those_of_the_logits() {
    let place = place();
    let dataset = dataset(place.folder.path(), &ROWS);
    let evaluation = evaluate(&place, &dataset);
    let losses = reference(&place, &dataset);
    let mean = |rows: &[usize]| {
        let (nll, targets) =
            rows.iter().fold((0.0, 0), |(n, t), &row| (n + losses[row].0, t + losses[row].1));
        nll / targets as f64
    };
    let close = |got: Option<f64>, expected: f64| {
        assert!((got.unwrap() / expected - 1.0).abs() < 1e-5, "{got:?} {expected}");
    };
    assert_eq!((evaluation.factual, evaluation.hallucinated, evaluation.rows), (2, 3, 5));
    // the EOS is a target: bytes of the summary, less merges, and one
    assert_eq!(losses[3].1, "No headache".len() + 1);
    close(evaluation.loss_factual, mean(&[0, 2]));
    close(evaluation.loss_hallucinated, mean(&[1, 3, 4]));
    close(evaluation.perplexity_factual, mean(&[0, 2]).exp());

    let wins = |positive: &[usize], negative: &[usize]| {
        let pairs = positive.iter().flat_map(|&p| negative.iter().map(move |&n| (p, n)));
        pairs.filter(|&(p, n)| mean(&[p]) < mean(&[n])).count() as f64
    };
    assert_eq!(evaluation.auroc, Some(wins(&[0, 2], &[1, 3, 4]) / 6.0));
    let paired = wins(&[0], &[1]) + wins(&[2], &[3]);
    assert_eq!(evaluation.auroc_paired, Some(paired / 2.0));
    let by_type =
        [("invented", wins(&[0, 2], &[1, 4]) / 4.0), ("negated", wins(&[0, 2], &[3]) / 2.0)];
    let expected = by_type.map(|(name, auroc)| (name.to_owned(), Some(auroc)));
    assert_eq!(evaluation.auroc_by_type, expected.into());
}

/// Steps that make `rows[0]` likelier and `rows[1]` less likely.
fn learn(place: &mut Place, dataset: &Dataset) {
    let config = LoraConfig { r: 3, lora_alpha: 5.0, ..LoraConfig::default() };
    place.model.add_lora(&config, 8).unwrap();
    let set = encode(&dataset.path, &dataset.records, &place.prompts, MAX_LENGTH).unwrap();
    for _ in 0..40 {
        for (example, rate) in set.examples.iter().zip([0.2, -0.2]) {
            let batch = sft_dataset::Batch::pack([example]);
            let input = Packed {
                ids: &batch.ids,
                positions: &batch.positions,
                cu_seqlens: &batch.cu_seqlens,
                example: &batch.example,
            };
            let targets: Vec<_> = batch.targets.iter().map(|t| (t.row, t.label)).collect();
            let mut grads = Gradients::default();
            place
                .model
                .forward_backward(&input, &targets, &TrainPass::default(), &mut grads)
                .unwrap();
            let scale = rate / targets.len() as f64;
            for (name, var) in place.model.lora_parameters() {
                let step: Tensor = (grads.get(&name).unwrap() * scale).unwrap();
                var.set(&(var.as_tensor() - step).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn an_adapter_that_learnt_the_difference_gains() {
    let mut place = place();
    let pair = [
        ["a", "Fever and cough for three days.", "Fever with cough.", "factual", ""],
        ["b", "Fever and cough for three days.", "A broken leg.", "hallucinated", "invented"],
    ];
    // whichever the random base finds less likely is the factual one
    let mut rows = pair;
    if evaluate(&place, &dataset(place.folder.path(), &rows)).auroc == Some(1.0) {
        (rows[0][2], rows[1][2]) = (pair[1][2], pair[0][2]);
    }
    let dataset = dataset(place.folder.path(), &rows);
    let base = evaluate(&place, &dataset);
    assert_eq!((base.auroc, base.auroc_paired), (Some(0.0), Some(0.0)));

    learn(&mut place, &dataset);
    let model = evaluate(&place, &dataset);
    assert_eq!(model, evaluate(&place, &dataset), "the same bytes each time");
    assert!(model.loss_factual < base.loss_factual);
    assert_eq!((model.auroc, model.auroc_paired), (Some(1.0), Some(1.0)));

    place.model.remove_lora().unwrap();
    assert_eq!(evaluate(&place, &dataset), base);
    let [model, base] = [model, base].map(|scores| ModelReport { scores, summaries: None });
    assert_eq!(Comparison::new(model, base, [].into()).auroc_gain, Some(1.0));
}

#[test]
fn a_row_s_loss_does_not_depend_on_the_others() {
    let place = place();
    let alone = evaluate(&place, &dataset(place.folder.path(), &ROWS[2..3]));
    let first = evaluate(&place, &dataset(place.folder.path(), &ROWS[1..4]));
    assert_eq!(alone.loss_factual, first.loss_factual);
    assert_eq!((alone.auroc, alone.loss_hallucinated), (None, None));
}

#[test]
fn skipped_rows_are_counted_and_progress_is_told() {
    let place = place();
    let long = "very ".repeat(MAX_LENGTH);
    let note = ["a", "", "", "factual", ""];
    let rows = [
        ["a", &long, "x", "factual", ""],
        ["b", "x", &long, "hallucinated", ""],
        note,
        ["c", "x", "y", "hallucinated", ""],
    ];
    let dataset = dataset(place.folder.path(), &rows);
    let set = EvalSet::new(&dataset, &place.prompts, MAX_LENGTH).unwrap();
    assert_eq!(set.len(), 2);
    let mut calls = Vec::new();
    let evaluation =
        set.evaluate(&place.model, &mut |done, total| calls.push((done, total))).unwrap();
    assert_eq!(calls, [(1, 2), (2, 2)]);
    assert_eq!((evaluation.rows, evaluation.skipped), (2, 2));
    assert!(evaluation.auroc_by_type.is_empty());
    assert!(evaluation.auroc.is_some() && evaluation.auroc_paired.is_none());
}

#[test]
fn nothing_to_score_is_an_error_with_the_file() {
    let place = place();
    let empty = dataset(place.folder.path(), &[["a", "note", " ", "factual", ""]]);
    let error = EvalSet::new(&empty, &place.prompts, MAX_LENGTH).err().unwrap();
    assert!(matches!(&error, EvalError::NoRows { .. }) && error.to_string().contains("rows.csv"));
    let some = dataset(place.folder.path(), &ROWS);
    let error = EvalSet::new(&some, &place.prompts, 20).err().unwrap();
    let EvalError::NothingFits { max_length: 20, shortest, .. } = error else {
        panic!("{error}");
    };
    assert!(shortest > 20);
}

#[test]
fn a_row_that_has_no_loss_is_named() {
    let mut place = place();
    let rows = dataset(place.folder.path(), &ROWS[..2]);
    place.model.add_lora(&LoraConfig::default(), 1).unwrap();
    for (name, var) in place.model.lora_parameters() {
        if name.ends_with("lora_B.weight") {
            var.set(&(var.as_tensor() + f64::NAN).unwrap()).unwrap();
        }
    }
    let set = EvalSet::new(&rows, &place.prompts, MAX_LENGTH).unwrap();
    let error = set.evaluate(&place.model, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, EvalError::NotFinite { line: 2, .. }), "{error}");
    assert!(error.to_string().contains("rows.csv:2"));

    // a model with fewer embeddings than the tokenizer has ids
    let small = place.folder.path().join("small");
    LlamaShape { vocab_size: 200, ..LlamaShape::default() }.write(&small, 3).unwrap();
    let small = ModelDir::open(&small).unwrap();
    let model = Decoder::load(&small, DType::F32, &Device::Cpu).unwrap();
    let error = set.evaluate(&model, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, EvalError::Score { line: 2, .. }), "{error}");
}
