//! What lies under a run and is removed or changed while it goes on: its folder, and the files of its rows.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Case, Log, checkpoints, metrics, names};
use sft_trainer::{
    DataFile, Event, Observer, Outcome, ResumeFrom, RunState, StopFlag, TrainError, run_state,
};

/// Does something at an event, and remembers what happened.
struct At<F> {
    log: Log,
    act: F,
}

impl<F: FnMut(&Event<'_>)> Observer for At<F> {
    fn event(&mut self, event: &Event<'_>) {
        (self.act)(event);
        self.log.event(event);
    }
}

fn case() -> Case {
    let mut case = Case::new();
    case.config.save_steps = Some(2);
    case.config.save_total_limit = Some(3);
    case
}

/// Whether it is time.
type When = fn(&Event<'_>) -> bool;

/// Runs with something done at an event.
fn run_with(case: &Case, act: impl FnMut(&Event<'_>)) -> (Outcome, Log) {
    let mut observer = At { log: Log::default(), act };
    let outcome = case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new()).unwrap();
    (outcome, observer.log)
}

#[test]
fn another_run_that_took_the_place_is_not_touched() {
    for finished in [true, false] {
        let case = case();
        let other = Case { out: case.out.clone(), ..self::case() };
        let (mut act, mut theirs) = (true, None);
        let mut observer = At {
            log: Log::default(),
            act: |event: &Event<'_>| {
                if act && matches!(event, Event::Step(record) if record.step == 3) {
                    act = false;
                    fs::remove_dir_all(&other.out).unwrap();
                    if finished {
                        other.complete(ResumeFrom::Fresh);
                    } else {
                        other.stop_at(2, ResumeFrom::Fresh);
                    }
                    theirs = Some(tree(&other.out));
                }
            },
        };
        let ended = case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new());
        assert!(matches!(ended, Err(TrainError::ForeignFiles { .. })), "{ended:?}");
        assert!(theirs.unwrap() == tree(&other.out), "finished: {finished}");
    }
}

/// Every file with its content.
fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.clone(), fs::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_folder_that_is_deleted_is_made_again() {
    let whole = case();
    whole.complete(ResumeFrom::Fresh);
    let expected = whole.results();
    // Before any checkpoint, between two, and after the last one, before the final model is written.
    let moments: [(&str, When); 4] = [
        ("begin", |event| matches!(event, Event::RunStarted { .. })),
        ("first step", |event| matches!(event, Event::Step(record) if record.step == 1)),
        ("fifth step", |event| matches!(event, Event::Step(record) if record.step == 5)),
        (
            "last checkpoint",
            |event| matches!(event, Event::CheckpointSaved { path } if path.ends_with("checkpoint_epoch_3")),
        ),
    ];
    for (name, when) in moments {
        let case = case();
        let (outcome, log) = run_with(&case, |event| {
            if when(event) {
                fs::remove_dir_all(&case.out).unwrap();
            }
        });
        assert!(matches!(outcome, Outcome::Completed { .. }), "{name}: {outcome:?}");
        assert_eq!(log.warnings.len(), 1, "{name}: {:?}", log.warnings);
        assert!(log.warnings[0].contains("were removed while it was going on"), "{name}");
        let results = case.results();
        assert!(results.adapter == expected.adapter, "{name}: another adapter");
        assert_eq!(results.metrics, expected.metrics, "{name}");
        assert_eq!(run_state(&case.out).unwrap(), RunState::Finished, "{name}");
        assert!(names(&case.out).iter().all(|file| !file.starts_with(".sft")), "{name}");
    }
}

#[test]
fn a_run_in_a_folder_that_was_deleted_can_be_resumed() {
    let whole = case();
    whole.complete(ResumeFrom::Fresh);
    let case = case();
    let stop = StopFlag::new();
    let mut observer = At {
        log: Log::default(),
        act: |event: &Event<'_>| {
            if matches!(event, Event::Step(record) if record.step == 5) {
                fs::remove_dir_all(&case.out).unwrap();
                stop.set();
            }
        },
    };
    case.trainer().run(ResumeFrom::Fresh, &mut observer, &stop).unwrap();
    assert_eq!(checkpoints(&case.out), ["checkpoint_step_5"]);
    assert_eq!(metrics(&case.out).iter().filter(|line| line.get("loss").is_some()).count(), 5);
    case.complete(ResumeFrom::Auto);
    assert!(case.results().adapter == whole.results().adapter);
}

#[test]
fn a_folder_that_is_deleted_again_and_again_is_made_again() {
    let whole = case();
    whole.complete(ResumeFrom::Fresh);
    let mut case = case();
    case.config.save_steps = Some(1);
    // In the midst of what is being written, so that it often fails on the way; but not for longer than it is tried again.
    let remove = |out: PathBuf| {
        move || {
            for _ in 0..12 {
                let _ = fs::remove_dir_all(&out);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    let mut remover = None;
    let (outcome, log) = run_with(&case, |event| match event {
        Event::RunStarted { .. } => {
            remover = Some(std::thread::spawn(remove(case.out.clone())));
        }
        Event::Step(record) if record.step == 8 => remover.take().unwrap().join().unwrap(),
        _ => {}
    });
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    assert!(!log.warnings.is_empty());
    assert!(case.results().adapter == whole.results().adapter);
}

#[test]
fn a_folder_that_cannot_be_made_again_is_named() {
    let case = case();
    let (root, out) = (case.root.path().join("outer"), case.root.path().join("outer/out"));
    let case = Case { out: out.clone(), ..case };
    let mut observer = At {
        log: Log::default(),
        act: |event: &Event<'_>| {
            if matches!(event, Event::Step(record) if record.step == 3) {
                fs::remove_dir_all(&root).unwrap();
                // As if another thing were in its place.
                fs::write(&root, "a file").unwrap();
                fs::set_permissions(&root, fs::Permissions::from_mode(0o400)).unwrap();
            }
        },
    };
    let ended = case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new());
    let message = ended.unwrap_err().to_string();
    assert!(message.contains(&*out.to_string_lossy()), "{message}");
    assert!(message.contains("--output_dir"), "{message}");
    assert_eq!(fs::read_to_string(&root).unwrap(), "a file");
}

#[test]
fn what_others_put_in_the_place_of_the_folder_stays() {
    let case = case();
    let mut observer = At {
        log: Log::default(),
        act: |event: &Event<'_>| {
            if matches!(event, Event::Step(record) if record.step == 3) {
                fs::remove_dir_all(&case.out).unwrap();
                fs::create_dir_all(case.out.join("final_model")).unwrap();
                fs::write(case.out.join("final_model/model.bin"), "precious").unwrap();
            }
        },
    };
    let ended = case.trainer().run(ResumeFrom::Fresh, &mut observer, &StopFlag::new());
    let message = ended.unwrap_err().to_string();
    assert!(message.contains("final_model") && message.contains("--output_dir"), "{message}");
    let kept = fs::read_to_string(case.out.join("final_model/model.bin")).unwrap();
    assert_eq!(kept, "precious");
}

#[test]
fn rows_that_change_meanwhile_are_told_at_the_next_checkpoint() {
    let case = case();
    let path = case.root.path().join("train.csv");
    fs::write(&path, "old").unwrap();
    let mut trainer = case.trainer();
    trainer.watch(vec![DataFile::of(&path)]);
    let mut observer = At {
        log: Log::default(),
        act: |event: &Event<'_>| {
            if matches!(event, Event::Step(record) if record.step == 3) {
                fs::write(&path, "new rows").unwrap();
            }
        },
    };
    trainer.run(ResumeFrom::Fresh, &mut observer, &StopFlag::new()).unwrap();
    let log = observer.log;
    assert_eq!(log.warnings.len(), 1, "{:?}", log.warnings);
    assert!(log.warnings[0].contains("train.csv has changed since this run read it"));
    let at = |text: &str| log.events.iter().position(|event| event.contains(text)).unwrap();
    assert!(
        at("checkpoint_step_2") < at("has changed") && at("has changed") < at("checkpoint_step_4")
    );
}
