//! What a run leaves alone: files of others, checkpoints that it cannot read, a better model than its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Case, assert_same, checkpoints, names};
use sft_trainer::{ResumeFrom, RunState, TrainError, run_state};

fn write(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "precious").unwrap();
}

#[test]
fn files_of_other_programs_are_never_touched() {
    let foreign = [
        "final_model/adapter_model.safetensors",
        "checkpoint_epoch_1/adapter_model.safetensors",
        "checkpoint_step_3",
        "metrics.jsonl",
        "run_config.toml",
        "training_stats.json",
        "report.html",
        "tensorboard/notes.txt",
        "next_run/notes.txt",
    ];
    for name in foreign {
        for resume in [ResumeFrom::Auto, ResumeFrom::Fresh] {
            let case = Case::new();
            write(&case.out, name);
            let Err(error) = case.run(resume) else { panic!("{name} was overwritten") };
            assert!(matches!(&error, TrainError::ForeignFiles { .. }), "{name}: {error}");
            let message = error.to_string();
            assert!(message.contains(name.split('/').next().unwrap()), "{message}");
            assert!(message.contains("another --output_dir"), "{message}");
            assert_eq!(fs::read_to_string(case.out.join(name)).unwrap(), "precious");
            assert_eq!(names(&case.out).len(), 1);
        }
    }
}

#[test]
fn a_foreign_folder_inside_a_run_is_not_touched_either() {
    for name in
        ["checkpoint_epoch_2/weights.bin", "final_model/weights.bin", "tensorboard/notes.txt"]
    {
        let case = Case::new();
        case.stop_at(2, ResumeFrom::Fresh);
        write(&case.out, name);
        let Err(error) = case.run(ResumeFrom::Auto) else { panic!("{name} was overwritten") };
        assert!(matches!(&error, TrainError::ForeignFiles { names, .. } if names.len() == 1));
        assert!(case.out.join(name).is_file());
    }
}

#[test]
fn files_of_other_names_live_beside_a_run() {
    let case = Case::new();
    for name in ["notes.txt", ".tmp-cache/file", ".lock", "checkpoint-500/trainer_state.json"] {
        write(&case.out, name);
    }
    assert_eq!(run_state(&case.out).unwrap(), RunState::Empty);
    case.complete(ResumeFrom::Auto);
    case.complete(ResumeFrom::Fresh);
    for name in ["notes.txt", ".tmp-cache/file", ".lock", "checkpoint-500/trainer_state.json"] {
        assert_eq!(fs::read_to_string(case.out.join(name)).unwrap(), "precious", "{name}");
    }
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_is_not_started_anew() {
    let mut case = Case::new();
    case.config.save_steps = Some(2);
    case.stop_at(4, ResumeFrom::Fresh);
    let saved = checkpoints(&case.out);
    assert_eq!(saved.len(), 3);
    for name in &saved {
        fs::write(case.out.join(name).join("optimizer.safetensors"), "x").unwrap();
    }
    let Err(error) = case.run(ResumeFrom::Auto) else { panic!("started anew") };
    assert!(matches!(&error, TrainError::AllDamaged { .. }), "{error}");
    let message = error.to_string();
    for text in saved.iter().map(String::as_str).chain(["1 bytes instead of", "--output_dir"]) {
        assert!(message.contains(text), "{text} is missing in {message}");
    }
    assert_eq!(checkpoints(&case.out), saved);

    for name in &saved {
        fs::remove_dir_all(case.out.join(name)).unwrap();
    }
    assert!(case.complete(ResumeFrom::Auto).has("steps_done: 0, resumed_from: None"));
}

#[test]
fn a_diverged_run_fails_and_leaves_the_finished_one() {
    let old = Case::new();
    old.complete(ResumeFrom::Fresh);
    let expected = old.results();
    let broken = |change: fn(&mut Case)| {
        let mut case = Case::new();
        case.broken_token = true;
        case.config.num_epochs = 1;
        change(&mut case);
        common::copy_dir(&old.out, &case.out);
        case
    };
    let validation = broken(|case| case.val[1].ids[1] = common::BROKEN_TOKEN);
    let training = broken(|case| {
        case.val.clear();
        case.train.iter_mut().for_each(|example| example.ids[1] = common::BROKEN_TOKEN);
    });
    for (case, reason) in [(validation, "validation loss"), (training, "training loss")] {
        for resume in [ResumeFrom::Fresh, ResumeFrom::Auto] {
            let Err(error) = case.run(resume) else { panic!("kept a diverged model") };
            assert!(matches!(&error, TrainError::Diverged { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains(reason) && message.contains("--learning_rate"), "{message}");
            assert_same(&case.results(), &expected, reason);
            assert_eq!(checkpoints(&case.out.join("next_run")), ["checkpoint_epoch_1"]);
        }
    }
}

#[test]
fn adapters_that_are_not_finite_are_not_kept() {
    let mut case = Case::new();
    // Within the range of f32, but the update after it is not.
    case.config.learning_rate = 1e39;
    case.config.num_epochs = 1;
    case.config.max_steps = Some(1);
    case.config.warmup_ratio = 0.0;
    case.val.clear();
    let Err(error) = case.run(ResumeFrom::Fresh) else { panic!("kept a diverged model") };
    assert!(error.to_string().contains("the adapter has values"), "{error}");
    assert!(!case.out.join("final_model").exists());
}
