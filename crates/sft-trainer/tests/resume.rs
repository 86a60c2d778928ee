//! A run that ended early goes on to the bytes of one that did not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use common::{Case, On, assert_same, checkpoints, copy_dir, metrics, names, results};
use sft_trainer::{Event, Outcome, ResumeFrom, StopFlag, TrainError};

/// Dropout, accumulation, step checkpoints in mid-epoch, evaluations at other steps.
fn case() -> Case {
    let mut case = Case::new();
    case.config.save_steps = Some(2);
    case.config.eval_steps = Some(4);
    case
}

fn uninterrupted() -> common::Results {
    let case = case();
    case.complete(ResumeFrom::Fresh);
    case.results()
}

#[test]
fn a_stop_at_any_step_is_resumed_exactly() {
    let expected = uninterrupted();
    for step in 1..9 {
        let case = case();
        let outcome = case.stop_at(step, ResumeFrom::Fresh);
        let Outcome::Stopped { checkpoint } = outcome else { panic!("{outcome:?}") };
        let name =
            if step % 3 == 0 { format!("epoch_{}", step / 3) } else { format!("step_{step}") };
        assert_eq!(checkpoint, case.out.join(format!("checkpoint_{name}")));
        let log = case.complete(ResumeFrom::Auto);
        assert!(log.has(&format!("steps_done: {step}")));
        assert_eq!(log.losses.len(), 9 - step);
        assert_same(&case.results(), &expected, &format!("stopped at step {step}"));
    }
}

#[test]
fn two_stops_and_recomputation_after_the_resume_change_nothing() {
    let mut case = case();
    assert!(matches!(case.stop_at(2, ResumeFrom::Fresh), Outcome::Stopped { .. }));
    case.config.gradient_checkpointing = true;
    case.config.save_steps = Some(3);
    let checkpoint = case.out.join("checkpoint_step_2");
    assert!(matches!(case.stop_at(7, ResumeFrom::Dir(checkpoint)), Outcome::Stopped { .. }));
    case.complete(ResumeFrom::Auto);
    let (a, b) = (case.results(), uninterrupted());
    assert!(a.adapter == b.adapter);
    assert_eq!(a.metrics, b.metrics);
}

/// What kill -9 leaves: a copy of the directory at every event of a run.
#[test]
fn a_kill_at_any_event_is_resumed_exactly() {
    let expected = uninterrupted();
    let mut case = case();
    let snapshots = case.root.path().join("snapshots");
    let (from, to) = (case.out.clone(), snapshots.clone());
    let mut count = 0;
    let mut observer = On(move |_: &Event<'_>| {
        copy_dir(&from, &to.join(count.to_string()));
        count += 1;
    });
    case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new()).unwrap();
    let snapshots: Vec<PathBuf> =
        names(&snapshots).iter().map(|name| snapshots.join(name)).collect();
    assert!(snapshots.len() > 25);
    for snapshot in snapshots {
        if snapshot.join("training_stats.json").exists() {
            continue; // the last event: the run is complete
        }
        // What a kill while writing leaves.
        fs::create_dir(snapshot.join(".sft-tmp-checkpoint_step_4")).unwrap();
        fs::write(snapshot.join(".sft-tmp-training_stats.json"), "{").unwrap();
        let text = fs::read_to_string(snapshot.join("metrics.jsonl")).unwrap();
        fs::write(snapshot.join("metrics.jsonl"), text + "{\"step\":").unwrap();
        case.out.clone_from(&snapshot);
        case.complete(ResumeFrom::Auto);
        assert_same(&results(&snapshot), &expected, &snapshot.display().to_string());
        assert!(
            names(&snapshot).iter().all(|name| !name.starts_with('.')),
            "{:?}",
            names(&snapshot)
        );
    }
}

#[test]
fn a_panic_releases_the_directory() {
    let case = case();
    let mut observer =
        On(|event: &Event<'_>| assert!(!matches!(event, Event::Step(record) if record.step == 5)));
    let result = catch_unwind(AssertUnwindSafe(|| {
        case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new())
    }));
    assert!(result.is_err());
    case.complete(ResumeFrom::Auto);
    assert_same(&case.results(), &uninterrupted(), "panic");
}

#[test]
fn a_damaged_checkpoint_is_skipped_with_a_warning() {
    let damages: [fn(&PathBuf); 6] = [
        |dir| fs::remove_file(dir.join("optimizer.safetensors")).unwrap(),
        |dir| {
            let path = dir.join("adapter_model.safetensors");
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        },
        |dir| {
            let path = dir.join("optimizer.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(&path, &bytes).unwrap();
        },
        |dir| fs::write(dir.join("trainer_state.json"), "{\"format\":").unwrap(),
        // A state that can be read, but is not the one that was written.
        |dir| {
            let path = dir.join("trainer_state.json");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"adamw_step\": 5", "\"adamw_step\": 4")).unwrap();
        },
        |dir| fs::remove_file(dir.join("manifest.json")).unwrap(),
    ];
    let expected = uninterrupted();
    for (number, damage) in damages.into_iter().enumerate() {
        let case = case();
        case.stop_at(5, ResumeFrom::Fresh);
        let newest = case.out.join("checkpoint_step_5");
        damage(&newest);
        let Err(error) = case.run(ResumeFrom::Dir(newest.clone())) else {
            panic!("resumed damage {number}")
        };
        assert!(
            matches!(&error, TrainError::BadCheckpoint { path, .. } if *path == newest),
            "{error}"
        );
        let log = case.complete(ResumeFrom::Auto);
        assert!(log.warnings[0].contains("checkpoint_step_5"), "{:?}", log.warnings);
        assert!(log.has("steps_done: 4"));
        assert_same(&case.results(), &expected, &format!("damage {number}"));
    }
}

#[test]
fn without_a_valid_checkpoint_auto_starts_anew() {
    let case = case();
    let log = case.complete(ResumeFrom::Auto);
    assert!(log.has("steps_done: 0, resumed_from: None"));
    assert_same(&case.results(), &uninterrupted(), "auto from the start");
}

#[test]
fn going_back_to_an_earlier_checkpoint_removes_the_later_ones() {
    let case = case();
    case.stop_at(5, ResumeFrom::Fresh);
    assert_eq!(
        checkpoints(&case.out),
        ["checkpoint_epoch_1", "checkpoint_step_2", "checkpoint_step_4", "checkpoint_step_5"]
    );
    let stopped = case.stop_at(4, ResumeFrom::Dir(case.out.join("checkpoint_epoch_1")));
    assert_eq!(stopped, Outcome::Stopped { checkpoint: case.out.join("checkpoint_step_4") });
    assert_eq!(
        checkpoints(&case.out),
        ["checkpoint_epoch_1", "checkpoint_step_2", "checkpoint_step_4"]
    );
    assert_eq!(metrics(&case.out).last().unwrap()["step"], 4);
    case.complete(ResumeFrom::Auto);
    let (a, b) = (case.results(), uninterrupted());
    assert!(a.adapter == b.adapter);
    assert_eq!(a.metrics, b.metrics);
}

#[test]
fn every_setting_that_differs_is_named_with_both_values() {
    let mut case = case();
    case.stop_at(2, ResumeFrom::Fresh);
    let before = names(&case.out);
    case.config.batch_size = 3;
    case.config.learning_rate = 1e-3;
    case.config.seed = 9;
    case.lora.r = 8;
    case.lora.lora_alpha = 6.0;
    case.lora.lora_dropout = 0.2;
    case.train[0].ids[1] += 1;
    let Err(error) = case.run(ResumeFrom::Auto) else { panic!("resumed another run") };
    let message = error.to_string();
    let TrainError::ResumeMismatch { differences, .. } = error else { panic!("{message}") };
    let names_of: Vec<_> = differences.iter().map(|difference| difference.name.as_str()).collect();
    assert_eq!(
        names_of,
        ["batch_size", "learning_rate", "lora_alpha", "lora_dropout", "r", "seed", "training_data"]
    );
    assert!(
        message.contains("r was 4, now 8")
            && message.contains("learning_rate was 0.005, now 0.001"),
        "{message}"
    );
    assert_eq!(names(&case.out), before);
}

#[test]
fn a_base_that_has_changed_is_refused() {
    let case = case();
    case.stop_at(2, ResumeFrom::Fresh);
    let path = case.root.path().join("base/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let whole = tensors[name].clone();
    let doubled = (&whole * 2.0).unwrap();
    let rows = whole.dims()[0];
    let head = whole.narrow(0, 0, rows - 1).unwrap();
    let last = doubled.narrow(0, rows - 1, 1).unwrap();
    let last_row_alone = candle_core::Tensor::cat(&[head, last], 0).unwrap();
    for changed in [doubled, last_row_alone] {
        tensors.insert(name.to_owned(), changed);
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let Err(error) = case.run(ResumeFrom::Auto) else { panic!("resumed on another base") };
        assert!(error.to_string().contains("base_weights"), "{error}");
    }
}

#[test]
fn weights_that_are_written_to_meanwhile_end_the_run() {
    let case = case();
    let path = case.root.path().join("base/model.safetensors");
    let mut observer = On(move |event: &Event<'_>| {
        if matches!(event, Event::Step(record) if record.step == 3) {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, &[0]).unwrap();
        }
    });
    let result = case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new());
    let Err(error) = result else { panic!("trained on") };
    assert!(error.to_string().contains("written to while"), "{error}");
}

#[test]
fn a_tokenizer_that_is_replaced_meanwhile_changes_nothing() {
    let case = case();
    let path = case.root.path().join("tokenizer.json");
    let at_start = case.files();
    let expected = fs::read(&at_start.tokenizer_json).unwrap();
    let mut trainer = case.trainer();
    let mut observer = On(move |event: &Event<'_>| {
        if matches!(event, Event::RunStarted { .. }) {
            fs::write(&path, "{}").unwrap();
        }
    });
    trainer.run(ResumeFrom::Fresh, &mut observer, &StopFlag::new()).unwrap();
    for folder in ["final_model", "checkpoint_step_2"] {
        assert_eq!(fs::read(case.out.join(folder).join("tokenizer.json")).unwrap(), expected);
    }
}

#[test]
fn a_checkpoint_of_another_directory_is_refused() {
    let case = case();
    case.stop_at(2, ResumeFrom::Fresh);
    let mut other = self::case();
    other.out = case.root.path().join("other");
    let Err(error) = other.run(ResumeFrom::Dir(case.out.join("checkpoint_step_2"))) else {
        panic!("resumed")
    };
    assert!(matches!(error, TrainError::ForeignCheckpoint { .. }), "{error}");
    let Err(error) = case.run(ResumeFrom::Dir(case.out.join("checkpoint_step_9"))) else {
        panic!("resumed")
    };
    assert!(matches!(error, TrainError::BadCheckpoint { .. }), "{error}");
}

#[test]
fn skipped_steps_and_patience_survive_a_resume() {
    let broken = |mut case: Case| {
        case.broken_token = true;
        case.config.shuffle = false;
        case.config.num_epochs = 6;
        case.config.eval_steps = Some(1);
        case.config.early_stopping_patience = Some(3);
        case.config.learning_rate = 0.5; // so that evaluations get worse
        case.train[5].ids[1] = common::BROKEN_TOKEN;
        case
    };
    let whole = broken(case());
    whole.complete(ResumeFrom::Fresh);
    let stats = whole.results().stats;
    assert_eq!(stats["stopped_early"], true, "the test needs losses that rise");
    let number = |key: &str| stats[key].as_u64().unwrap() as usize;
    let (skipped, steps) = (number("skipped_steps"), number("steps"));
    assert!(skipped >= 2 && steps >= 8, "{skipped} of {steps} steps skipped");
    for step in [5, steps - 2, steps - 1] {
        let case = broken(case());
        case.stop_at(step, ResumeFrom::Fresh);
        case.complete(ResumeFrom::Auto);
        assert_same(&case.results(), &whole.results(), &format!("stopped at step {step}"));
    }
}
