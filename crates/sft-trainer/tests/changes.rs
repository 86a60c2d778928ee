//! Runs that are resumed with other settings or data, because that was allowed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::{Case, Log, examples, names};
use sft_trainer::{Outcome, ResumeFrom, StopFlag, TrainError};

fn resume(case: &Case) -> Result<(Outcome, Log), TrainError> {
    let mut log = Log::default();
    let mut trainer = case.trainer();
    trainer.allow_changes();
    let outcome = trainer.run(ResumeFrom::Auto, &mut log, &StopFlag::new())?;
    Ok((outcome, log))
}

#[test]
fn the_refusal_names_the_flag() {
    let mut case = Case::new();
    case.stop_at(2, ResumeFrom::Fresh);
    case.config.learning_rate = 1e-3;
    let Err(error) = case.run(ResumeFrom::Auto) else { panic!("resumed another run") };
    assert!(error.to_string().contains("--allow_changes goes on"), "{error}");
}

#[test]
fn each_difference_is_told_and_the_run_goes_on() {
    let mut case = Case::new();
    case.stop_at(4, ResumeFrom::Fresh);
    case.config.learning_rate = 1e-3;
    case.config.batch_size = 3;
    case.lora.lora_dropout = 0.2;
    case.train = examples(14, 5);
    case.val = examples(4, 6);
    let (outcome, log) = resume(&case).unwrap();
    let Outcome::Completed { stats, .. } = outcome else { panic!("{outcome:?}") };
    // 14 examples in windows of 6: 3 steps an epoch.
    assert_eq!((stats.steps, stats.total_steps), (9, 9));
    assert!(log.has("steps_done: 4"));
    let named = |name: &str| log.warnings.iter().filter(|text| text.contains(name)).count();
    for change in [
        "learning_rate was 0.005, now 0.001: from step 4 on",
        "batch_size was 2, now 3",
        "lora_dropout was 0.1, now 0.2",
        "training_data was \"11 examples, ",
        "validation_data was \"5 examples, ",
    ] {
        assert_eq!(named(change), 1, "{change}: {:?}", log.warnings);
    }
    assert_eq!(log.warnings.len(), 5, "{:?}", log.warnings);
    // Losses over the old validation rows are no best evaluation of this run.
    assert!(stats.best_evaluation.unwrap().step > 4);
}

#[test]
fn what_was_allowed_once_is_the_run_s_own_afterwards() {
    let mut case = Case::new();
    case.stop_at(2, ResumeFrom::Fresh);
    case.config.weight_decay = 0.1;
    let (stop, mut log) = (StopFlag::new(), Log::default());
    stop.set();
    let mut trainer = case.trainer();
    trainer.allow_changes();
    let stopped = trainer.run(ResumeFrom::Auto, &mut log, &stop).unwrap();
    assert!(matches!(stopped, Outcome::Stopped { .. }), "{stopped:?}");
    assert_eq!(log.warnings.len(), 1);
    assert_eq!(fs::read_to_string(case.out.join("run_config.toml")).unwrap(), "seed = 7\n");
    assert!(case.complete(ResumeFrom::Auto).warnings.is_empty());
}

/// Something that a run cannot take.
type Change = fn(&mut Case);

#[test]
fn what_the_adapter_is_made_for_cannot_change() {
    let changes: [(&str, Change); 3] = [
        ("r", |case| case.lora.r = 8),
        ("lora_alpha", |case| case.lora.lora_alpha = 6.0),
        ("target_modules", |case| {
            case.lora.target_modules = sft_lora::TargetModules::List(vec!["q_proj".into()]);
        }),
    ];
    for (name, change) in changes {
        let mut case = Case::new();
        case.stop_at(2, ResumeFrom::Fresh);
        let before = names(&case.out);
        case.config.seed = 9;
        change(&mut case);
        let Err(error) = resume(&case) else { panic!("{name} was changed") };
        let message = error.to_string();
        assert!(message.contains(&format!("no run can change {name},")), "{message}");
        assert!(message.contains("seed was 7, now 9"), "{message}");
        assert!(!message.contains("--allow_changes"), "{message}");
        assert_eq!(names(&case.out), before);
    }
}

#[test]
fn a_run_that_would_be_over_already_is_refused() {
    let mut case = Case::new();
    case.stop_at(5, ResumeFrom::Fresh);
    let before = names(&case.out);
    for steps in [3, 5] {
        case.config.max_steps = Some(steps);
        let Err(error) = resume(&case) else { panic!("{steps} steps are over") };
        let message = error.to_string();
        assert!(matches!(error, TrainError::NothingLeft { step: 5, .. }), "{message}");
        assert!(message.contains(&format!("{steps} in all")), "{message}");
        assert_eq!(names(&case.out), before);
    }
    case.config.max_steps = Some(6);
    resume(&case).unwrap();
}
