//! What a run leaves in its output directory, and what it finds there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use candle_core::Device;
use common::{Case, On, assert_same, checkpoints, names, read_json};
use sft_lora::peft::load_adapter;
use sft_trainer::{
    Event, Outcome, ResumeFrom, RunState, StopFlag, TENSORBOARD, TrainError, run_state,
    write_report,
};

#[test]
fn the_files_of_a_run() {
    let case = Case::new();
    case.complete(ResumeFrom::Fresh);
    assert_eq!(
        names(&case.out),
        [
            "checkpoint_epoch_1",
            "checkpoint_epoch_2",
            "checkpoint_epoch_3",
            "final_model",
            "metrics.jsonl",
            "run_config.toml",
            "training_stats.json"
        ]
    );
    let adapter = [
        "adapter_config.json",
        "adapter_model.bin",
        "adapter_model.safetensors",
        "sft_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&case.out.join("final_model")), adapter);
    assert_eq!(
        names(&case.out.join("checkpoint_epoch_1")),
        [
            "adapter_config.json",
            "adapter_model.safetensors",
            "manifest.json",
            "optimizer.safetensors",
            "sft_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "trainer_state.json"
        ]
    );
    assert_eq!(fs::read_to_string(case.out.join("run_config.toml")).unwrap(), "seed = 7\n");
    let config = read_json(&case.out.join("final_model/adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "./tiny");
    let tokenizer = read_json(&case.out.join("final_model/tokenizer_config.json"));
    assert_eq!(tokenizer["eos_token"], "</s>");
    // The last epoch's checkpoint and the final model are adapters with the same values.
    let bytes =
        |name: &str| fs::read(case.out.join(name).join("adapter_model.safetensors")).unwrap();
    assert!(bytes("final_model") == bytes("checkpoint_epoch_3"));
    assert!(bytes("final_model") != bytes("checkpoint_epoch_2"));
    let loaded = load_adapter(&case.out.join("checkpoint_epoch_2"), &Device::Cpu).unwrap();
    assert_eq!((loaded.lora.r, loaded.lora.lora_alpha), (4, 12.0));
}

#[test]
fn an_unfinished_run_is_refused_with_the_remedy() {
    let case = Case::new();
    case.stop_at(2, ResumeFrom::Fresh);
    assert_eq!(run_state(&case.out).unwrap(), RunState::Unfinished(case.out.clone()));
    let Err(error) = case.run(ResumeFrom::Fresh) else {
        panic!("an unfinished run was overwritten")
    };
    assert!(matches!(error, TrainError::UnfinishedRun { .. }));
    assert!(error.to_string().contains("--resume auto"), "{error}");
    case.complete(ResumeFrom::Auto);
    assert_eq!(run_state(&case.out).unwrap(), RunState::Finished);
}

#[test]
fn a_run_killed_before_its_first_checkpoint_counts_as_unfinished() {
    let case = Case::new();
    let mut dead = On(|event: &Event<'_>| assert!(!matches!(event, Event::Step(_))));
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        case.trainer().run(ResumeFrom::Fresh, &mut dead, &StopFlag::new())
    }));
    assert!(killed.is_err() && checkpoints(&case.out).is_empty());
    assert!(matches!(case.run(ResumeFrom::Fresh), Err(TrainError::UnfinishedRun { .. })));
    case.complete(ResumeFrom::Auto);
}

#[test]
fn a_finished_run_is_not_resumed_and_not_touched() {
    let case = Case::new();
    case.complete(ResumeFrom::Fresh);
    let modified = |name: &str| fs::metadata(case.out.join(name)).unwrap().modified().unwrap();
    let before = (modified("final_model"), modified("metrics.jsonl"), modified("."));
    for resume in [ResumeFrom::Auto, ResumeFrom::Dir(case.out.join("checkpoint_epoch_1"))] {
        let (outcome, log) = case.run(resume).unwrap();
        assert_eq!(outcome, Outcome::AlreadyFinished);
        assert!(log.events.is_empty());
    }
    assert_eq!(before, (modified("final_model"), modified("metrics.jsonl"), modified(".")));
}

#[test]
fn a_finished_run_is_replaced_only_by_a_complete_one() {
    let mut case = Case::new();
    case.complete(ResumeFrom::Fresh);
    let old = case.results();
    case.config.seed = 8;
    case.config.num_epochs = 2;

    let outcome = case.stop_at(4, ResumeFrom::Fresh);
    let next = case.out.join("next_run");
    assert_eq!(outcome, Outcome::Stopped { checkpoint: next.join("checkpoint_step_4") });
    assert_eq!(run_state(&case.out).unwrap(), RunState::Unfinished(next.clone()));
    assert_same(&case.results(), &old, "the finished run while the next one is under way");
    assert!(
        matches!(case.run(ResumeFrom::Fresh), Err(TrainError::UnfinishedRun { path }) if path == next)
    );

    case.complete(ResumeFrom::Dir(next.join("checkpoint_step_4")));
    assert_eq!(
        checkpoints(&case.out),
        ["checkpoint_epoch_1", "checkpoint_epoch_2", "checkpoint_step_4"]
    );
    assert!(!next.exists());
    assert!(names(&case.out).iter().all(|name| !name.starts_with('.')));
    let mut elsewhere = Case::new();
    elsewhere.config = case.config.clone();
    elsewhere.complete(ResumeFrom::Fresh);
    assert_same(
        &case.results(),
        &elsewhere.results(),
        "in place of another run and in an empty directory",
    );
}

/// A report is one of the run's files: it goes with them, and to no other folder.
#[test]
fn a_report_belongs_to_its_run() {
    let case = Case::new();
    let refused = write_report(&case.out, "nothing was run").unwrap_err().to_string();
    assert!(refused.contains("report.html"), "{refused}");
    case.complete(ResumeFrom::Fresh);
    for html in ["first", "second"] {
        let path = write_report(&case.out, html).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), html);
    }
    let events = case.out.join(TENSORBOARD).join("events.out.tfevents.1.sft");
    fs::create_dir(events.parent().unwrap()).unwrap();
    fs::write(&events, "").unwrap();
    case.complete(ResumeFrom::Fresh);
    assert!(!case.out.join("report.html").exists() && !events.exists());
    assert!(names(&case.out).iter().all(|name| !name.starts_with('.')));
}

/// A kill while the files move: whatever was done is finished at the next start, and nothing is lost.
#[test]
fn a_replacement_that_was_killed_is_completed() {
    let mut new = Case::new();
    new.config.seed = 8;
    new.complete(ResumeFrom::Fresh);
    let expected = new.results();
    for moved in 0..3 {
        let case = Case::new();
        case.complete(ResumeFrom::Fresh);
        let (next, promoted) = (case.out.join("next_run"), case.out.join(".promoted_run"));
        common::copy_dir(&new.out, &next);
        let replaced = case.out.join(".sft-tmp-replaced");
        fs::create_dir(&replaced).unwrap();
        if moved > 0 {
            fs::rename(case.out.join("final_model"), replaced.join("final_model")).unwrap();
        }
        if moved > 1 {
            for name in
                names(&case.out).iter().filter(|name| !name.starts_with('.') && *name != "next_run")
            {
                fs::rename(case.out.join(name), replaced.join(name)).unwrap();
            }
            fs::rename(&next, &promoted).unwrap();
            fs::rename(promoted.join("metrics.jsonl"), case.out.join("metrics.jsonl")).unwrap();
        }
        let (outcome, _) = case.run(ResumeFrom::Auto).unwrap();
        assert_eq!(outcome, Outcome::AlreadyFinished);
        assert_same(&case.results(), &expected, &format!("killed after {moved}"));
        assert!(names(&case.out).iter().all(|name| !name.starts_with('.') && name != "next_run"));
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_found_before_training() {
    let mut case = Case::new();
    fs::write(case.root.path().join("a_file"), "text").unwrap();
    let mut bad = vec![case.root.path().join("a_file"), case.root.path().join("a_file/out")];
    if cfg!(target_os = "linux") {
        bad.push("/proc/no_such_directory".into());
    }
    for out in bad {
        case.out.clone_from(&out);
        let Err(error) = case.run(ResumeFrom::Fresh) else { panic!("wrote to {}", out.display()) };
        assert!(matches!(error, TrainError::OutputDir { .. }), "{error}");
        assert!(error.to_string().contains("--output_dir"), "{error}");
    }
    assert_eq!(fs::read_to_string(case.root.path().join("a_file")).unwrap(), "text");
}

#[test]
fn a_second_process_is_kept_out() {
    let case = Case::new();
    let (outer, mut inner) = (case.trainer(), None);
    let mut outer = outer;
    let mut observer = On(|event: &Event<'_>| {
        if matches!(event, Event::RunStarted { .. }) {
            inner = Some(case.run(ResumeFrom::Auto).map(|_| ()));
        }
    });
    outer.run(ResumeFrom::Fresh, &mut observer, &StopFlag::new()).unwrap();
    assert!(matches!(inner, Some(Err(TrainError::InUse { .. }))), "{inner:?}");
}

#[test]
fn the_oldest_checkpoints_go_but_never_the_best_or_the_newest() {
    let mut case = Case::new();
    case.config.num_epochs = 5;
    case.config.save_total_limit = Some(2);
    case.config.learning_rate = 0.02;
    // What the model learns is wrong here, so that later evaluations are worse.
    case.val.clone_from(&case.train);
    for example in &mut case.val {
        example.ids[example.first_target..].iter_mut().for_each(|id| *id = (*id + 15) % 35);
    }
    let log = case.complete(ResumeFrom::Fresh);
    let stats = read_json(&case.out.join("training_stats.json"));
    let best = stats["best_evaluation"]["checkpoint"].as_str().unwrap();
    let kept = checkpoints(&case.out);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        kept.iter().any(|name| name == best)
            && kept.iter().any(|name| name == "checkpoint_epoch_5"),
        "{kept:?}"
    );
    assert_ne!(best, "checkpoint_epoch_5", "the test needs losses that rise");
    assert_eq!(log.events.iter().filter(|event| event.contains("CheckpointRemoved")).count(), 3);
}

#[test]
fn early_stopping_ends_with_the_best_weights() {
    let mut case = Case::new();
    case.config.num_epochs = 20;
    case.config.eval_steps = Some(2);
    case.config.early_stopping_patience = Some(2);
    case.config.save_total_limit = Some(1);
    case.config.learning_rate = 0.3;
    case.config.warmup_ratio = 0.0;
    let (outcome, log) = case.run(ResumeFrom::Fresh).unwrap();
    let Outcome::Completed { stats, .. } = outcome else { panic!("{outcome:?}") };
    assert!(stats.stopped_early && stats.steps < stats.total_steps && log.has("EarlyStopped"));
    let best = stats.best_evaluation.unwrap();
    assert_eq!((stats.final_model, stats.final_model_step), ("best evaluation", best.step));
    assert!(best.step < stats.steps);
    let losses: Vec<f64> =
        common::metrics(&case.out).iter().filter_map(|line| line["eval_loss"].as_f64()).collect();
    assert_eq!(best.eval_loss, losses.iter().copied().fold(f64::INFINITY, f64::min));
    let adapter =
        |dir: &str| fs::read(case.out.join(dir).join("adapter_model.safetensors")).unwrap();
    assert!(adapter("final_model") == adapter(&best.checkpoint.unwrap()));
}

#[test]
fn a_kept_model_holds_the_final_weights() {
    let mut case = Case::new();
    case.config.early_stopping_patience = Some(1);
    case.config.learning_rate = 0.3;
    case.config.warmup_ratio = 0.0;
    case.config.num_epochs = 10;
    let mut trainer = case.trainer();
    trainer.run(ResumeFrom::Fresh, &mut (), &StopFlag::new()).unwrap();
    let saved = load_adapter(&case.out.join("final_model"), &Device::Cpu).unwrap().tensors;
    for (name, var) in trainer.model().lora_parameters() {
        let values =
            |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&var), values(&saved[&name]), "{name}");
    }
}
