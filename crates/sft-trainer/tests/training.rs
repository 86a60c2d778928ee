//! What the loop computes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Case, assert_same, metrics, read_json, tensors};
use sft_model::Fault;
use sft_trainer::{Outcome, ResumeFrom, Scheduler, StopFlag, TrainConfig, TrainError, Trainer};

#[test]
fn the_loss_falls_and_the_files_tell_how() {
    let mut case = Case::new();
    case.config.num_epochs = 12;
    case.config.eval_steps = Some(2);
    let (outcome, log) = case.run(ResumeFrom::Fresh).unwrap();
    let Outcome::Completed { final_model, stats } = outcome else { panic!("{outcome:?}") };
    assert_eq!(final_model, case.out.join("final_model"));
    assert_eq!(log.losses.len(), 36);
    let (first, last) = (stats.epochs[0].clone(), stats.epochs[11].clone());
    assert!(
        last.train_loss < 0.7 * first.train_loss,
        "{} to {}",
        first.train_loss,
        last.train_loss
    );
    assert!(last.val_loss.unwrap() < first.val_loss.unwrap());

    let lines = metrics(&case.out);
    let steps: Vec<_> = lines.iter().filter(|line| line.get("grad_norm").is_some()).collect();
    assert_eq!(steps.len(), 36);
    assert_eq!(steps[0]["learning_rate"], 0.0, "the warm-up starts at zero");
    assert_eq!((&steps[3]["step"], &steps[3]["epoch"]), (&4.into(), &2.into()));
    for name in ["loss", "tokens", "target_tokens", "seconds", "tokens_per_s"] {
        assert!(steps.iter().all(|line| line[name].is_number()), "{name}");
    }
    assert!(steps[0].get("skipped").is_none());
    // Every second step and every third, step 6 and its multiples once.
    let evaluations: Vec<_> = lines.iter().filter(|line| line.get("eval_loss").is_some()).collect();
    assert_eq!(evaluations.len(), 18 + 12 - 6);
    assert!(evaluations.iter().all(|line| line.get("loss").is_none() && line["epoch"].is_number()));

    // The epoch's loss is weighted by tokens, not by steps.
    let sum = |name: &str| steps[..3].iter().map(|line| line[name].as_f64().unwrap()).sum::<f64>();
    let weighted: f64 = steps[..3]
        .iter()
        .map(|line| line["loss"].as_f64().unwrap() * line["target_tokens"].as_f64().unwrap())
        .sum();
    assert!((first.train_loss - weighted / sum("target_tokens")).abs() < 1e-12);
    let targets: usize =
        case.train.iter().map(|example| example.ids.len() - example.first_target).sum();
    let tokens: usize = case.train.iter().map(|example| example.ids.len()).sum();
    assert_eq!((first.target_tokens, first.tokens), (targets, tokens));

    let json = read_json(&case.out.join("training_stats.json"));
    assert_eq!(json["completed"], true);
    assert_eq!(json["epochs"].as_array().unwrap().len(), 12);
    assert_eq!(json["final_model"], "last step");
    assert_eq!(json["tokens"], 12 * tokens);
    assert_eq!(json["trainable_parameters"], case.decoder().trainable_parameters());
    assert_eq!(json["total_parameters"], case.decoder().total_parameters());
}

#[test]
fn after_three_steps_every_adapter_has_moved() {
    let mut case = Case::new();
    case.config.max_steps = Some(3);
    let before = case.decoder().lora_parameters();
    case.complete(ResumeFrom::Fresh);
    let after = tensors(&case.out.join("final_model/adapter_model.safetensors"), ".weight");
    assert_eq!(after.len(), before.len());
    assert_eq!(before.len(), 2 * 7 * 2);
    for (name, var) in before {
        let start: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
        assert_ne!(after[&format!("base_model.model.{name}")], start, "{name}");
    }
}

/// Gradients of the first step, by the first moment: 0.1 times the gradient when nothing is clipped.
fn first_step(
    batch_size: usize,
    accumulation: usize,
) -> (f64, f64, std::collections::BTreeMap<String, Vec<f32>>) {
    let mut case = Case::new();
    case.train.truncate(8);
    case.config = TrainConfig {
        max_steps: Some(2),
        batch_size,
        gradient_accumulation_steps: accumulation,
        max_grad_norm: 0.0,
        save_steps: Some(1),
        ..case.config
    };
    let log = case.complete(ResumeFrom::Fresh);
    let moments = tensors(&case.out.join("checkpoint_step_1/optimizer.safetensors"), ".exp_avg");
    (log.losses[0], log.grad_norms[0], moments)
}

#[test]
fn a_window_gives_the_same_however_it_is_cut() {
    let (loss, norm, moments) = first_step(8, 1);
    assert!(norm > 0.01);
    for (batch_size, accumulation) in [(4, 2), (2, 4), (1, 8), (3, 3)] {
        let what = format!("{batch_size}x{accumulation}");
        let (cut_loss, cut_norm, cut) = first_step(batch_size, accumulation);
        assert!((cut_loss - loss).abs() < 1e-5, "{what}: loss {cut_loss} for {loss}");
        assert!((cut_norm - norm).abs() < 1e-5 * norm, "{what}: norm {cut_norm} for {norm}");
        for (name, expected) in &moments {
            for (a, e) in cut[name].iter().zip(expected) {
                assert!((a - e).abs() < 1e-6, "{what}: {name}: {a} for {e}");
            }
        }
    }
}

/// Token-weighted mean loss of a fresh model, one example at a time.
fn mean_loss(case: &Case, examples: &[sft_dataset::Example]) -> f64 {
    let (model, mut nll, mut targets) = (case.decoder(), 0.0, 0);
    for example in examples {
        let batch = sft_dataset::Batch::pack([example]);
        let pairs: Vec<_> = batch.targets.iter().map(|t| (t.row, t.label)).collect();
        let packed = sft_model::Packed {
            ids: &batch.ids,
            positions: &batch.positions,
            cu_seqlens: &batch.cu_seqlens,
            example: &batch.example,
        };
        let loss = model.loss(&packed, &pairs).unwrap();
        nll += loss.nll;
        targets += loss.targets;
    }
    nll / targets as f64
}

#[test]
fn losses_are_sums_over_targets_divided_by_their_number() {
    let mut case = Case::new();
    case.lora.lora_dropout = 0.0;
    case.config.shuffle = false;
    case.config.eval_steps = Some(1);
    let log = case.complete(ResumeFrom::Fresh);
    let window = mean_loss(&case, &case.train[..4]);
    assert!((log.losses[0] - window).abs() < 1e-6, "{} for {window}", log.losses[0]);
    // The first step has a rate of 0, so the evaluation after it sees the fresh model.
    let lines = metrics(&case.out);
    let (eval_loss, val) = (lines[1]["eval_loss"].as_f64().unwrap(), mean_loss(&case, &case.val));
    assert!((eval_loss - val).abs() < 1e-6, "{eval_loss} for {val}");
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_does_not() {
    let (a, b) = (Case::new(), Case::new());
    a.complete(ResumeFrom::Fresh);
    b.complete(ResumeFrom::Fresh);
    assert_same(&a.results(), &b.results(), "one seed");
    let mut c = Case::new();
    c.config.seed = 8;
    c.complete(ResumeFrom::Fresh);
    assert!(c.results().adapter != a.results().adapter);
}

#[test]
fn recomputation_never_changes_a_byte() {
    let (keep, mut again) = (Case::new(), Case::new());
    again.config.gradient_checkpointing = true;
    keep.complete(ResumeFrom::Fresh);
    again.complete(ResumeFrom::Fresh);
    assert_same(&keep.results(), &again.results(), "recomputed");
}

#[test]
fn without_shuffling_rows_come_in_file_order() {
    let order = |shuffle| {
        let mut case = Case::new();
        case.config.shuffle = shuffle;
        case.complete(ResumeFrom::Fresh);
        metrics(&case.out)
            .iter()
            .filter_map(|line| line["target_tokens"].as_u64())
            .collect::<Vec<_>>()
    };
    let train = Case::new().train;
    let targets = |range: std::ops::Range<usize>| {
        train[range].iter().map(|e| (e.ids.len() - e.first_target) as u64).sum()
    };
    let epoch: [u64; 3] = [targets(0..4), targets(4..8), targets(8..11)];
    assert_eq!(order(false), [epoch, epoch, epoch].concat());
    assert_ne!(order(true), order(false));
}

#[test]
fn max_steps_ends_in_the_middle_of_an_epoch() {
    let mut case = Case::new();
    case.config.max_steps = Some(4);
    case.config.lr_scheduler = Scheduler::Linear;
    case.config.warmup_ratio = 0.0;
    let log = case.complete(ResumeFrom::Fresh);
    assert!(log.has("total_steps: 4, epochs: 2"));
    assert!(log.has("EpochFinished { epoch: 2, epochs: 2"), "the incomplete epoch is reported too");
    let rates: Vec<_> =
        metrics(&case.out).iter().filter_map(|line| line["learning_rate"].as_f64()).collect();
    for (rate, factor) in rates.iter().zip([1.0, 0.75, 0.5, 0.25]) {
        assert!((rate - 5e-3 * factor).abs() < 1e-12);
    }
}

#[test]
fn a_cut_graph_stops_the_run_and_names_the_parameters() {
    let case = Case::new();
    let mut decoder = case.decoder();
    decoder.plant_fault(Fault::DetachRope);
    let mut trainer = Trainer::new(
        case.config.clone(),
        decoder,
        case.train.clone(),
        case.val.clone(),
        case.files(),
    )
    .unwrap();
    let error = trainer.run(ResumeFrom::Fresh, &mut (), &StopFlag::new()).unwrap_err();
    let message = error.to_string();
    let TrainError::MissingGradient { names } = error else { panic!("{error}") };
    assert_eq!(names.len(), 2 * 2 * 2, "A and B of q_proj and k_proj of both layers");
    assert!(names.iter().all(|name| name.contains("q_proj") || name.contains("k_proj")));
    assert!(
        message.contains("model.layers.1.self_attn.k_proj.lora_B.weight")
            && message.contains("cut"),
        "{message}"
    );
    assert!(!case.out.join("final_model").exists());
}

#[test]
fn a_step_that_is_not_finite_is_skipped_and_counted() {
    let mut case = Case::new();
    case.broken_token = true;
    case.config.shuffle = false;
    case.train[5].ids[1] = common::BROKEN_TOKEN; // in the second window of each epoch
    let log = case.complete(ResumeFrom::Fresh);
    assert_eq!(log.warnings.len(), 3, "{:?}", log.warnings);
    let lines = metrics(&case.out);
    let skipped: Vec<_> = lines.iter().filter(|line| line["skipped"] == true).collect();
    assert_eq!(
        skipped.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
        [2, 5, 8]
    );
    assert!(skipped.iter().all(|line| line["loss"].is_null()));
    let stats = read_json(&case.out.join("training_stats.json"));
    assert_eq!((&stats["skipped_steps"], &stats["steps"]), (&3.into(), &9.into()));
    assert!(stats["epochs"][0]["train_loss"].is_number());
    let adapter = tensors(&case.out.join("final_model/adapter_model.safetensors"), ".weight");
    assert!(adapter.values().flatten().all(|value| value.is_finite()));
}

#[test]
fn five_such_steps_in_a_row_end_the_run() {
    let mut case = Case::new();
    case.broken_token = true;
    case.train.iter_mut().for_each(|example| example.ids[1] = common::BROKEN_TOKEN);
    let Err(error) = case.run(ResumeFrom::Fresh) else { panic!("trained on what is not a number") };
    assert!(matches!(error, TrainError::NonFinite { step: 5, in_a_row: 5, .. }), "{error}");
    assert!(error.to_string().contains("learning_rate"));
}

#[test]
fn what_cannot_be_trained_is_refused_before_it_starts() {
    let refuse = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        let error = case.try_trainer().err().expect("refused");
        assert!(!case.out.exists());
        error
    };
    assert!(matches!(refuse(|case| case.train.clear()), TrainError::NoTrainingData));
    assert!(matches!(refuse(|case| case.config.batch_size = 0), TrainError::InvalidConfig { .. }));
    let error = refuse(|case| {
        case.val.clear();
        case.config.early_stopping_patience = Some(2);
    });
    assert!(matches!(error, TrainError::NoValidationData));
    let error = refuse(|case| case.train[3].first_target = case.train[3].ids.len());
    assert!(matches!(error, TrainError::ExampleWithoutTarget { line: 5, .. }), "{error}");

    let case = Case::new();
    let mut bare = case.decoder();
    bare.remove_lora().unwrap();
    let error = Trainer::new(case.config.clone(), bare, case.train.clone(), vec![], case.files())
        .err()
        .unwrap();
    assert!(matches!(error, TrainError::NothingToTrain));
    let mut files = case.files();
    files.tokenizer_json = "nowhere/tokenizer.json".into();
    let error =
        Trainer::new(case.config.clone(), case.decoder(), case.train.clone(), vec![], files)
            .err()
            .unwrap();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
