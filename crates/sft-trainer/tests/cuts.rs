//! What a power cut leaves: a checkpoint whose writing stopped anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Case, assert_same, copy_dir, names, results};
use sft_trainer::{Outcome, ResumeFrom};

/// The files of a checkpoint in the order of their writing.
const ORDER: [&str; 8] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "sft_config.json",
    "optimizer.safetensors",
    "trainer_state.json",
    "manifest.json",
];

/// Cuts are made after each such share of the bytes.
const CUTS: usize = 50;

fn case() -> Case {
    let mut case = Case::new();
    case.config.save_steps = Some(2);
    case
}

/// The first `bytes` of the stream of files; what comes later is missing.
fn write_until(from: &Path, to: &Path, mut bytes: usize) {
    fs::create_dir_all(to).unwrap();
    for name in ORDER {
        let content = fs::read(from.join(name)).unwrap();
        let written = content.len().min(bytes);
        fs::write(to.join(name), &content[..written]).unwrap();
        bytes -= written;
        if bytes == 0 {
            return;
        }
    }
}

#[test]
fn a_checkpoint_whose_writing_stops_anywhere_is_never_taken() {
    let expected = {
        let case = case();
        case.complete(ResumeFrom::Fresh);
        case.results()
    };
    let mut case = case();
    let outcome = case.stop_at(5, ResumeFrom::Fresh);
    let Outcome::Stopped { checkpoint } = outcome else { panic!("{outcome:?}") };
    assert_eq!(names(&checkpoint), {
        let mut order = ORDER.map(str::to_owned).to_vec();
        order.sort();
        order
    });
    let total: usize =
        ORDER.iter().map(|name| fs::metadata(checkpoint.join(name)).unwrap().len() as usize).sum();
    let stopped = case.out.clone();
    for cut in 0..CUTS {
        // Under its temporary name, as the program leaves it; and under its own, as a file system may that wrote the
        // new name before the content.
        for name in [".sft-tmp-checkpoint_step_5", "checkpoint_step_5"] {
            let work = case.root.path().join("work");
            copy_dir(&stopped, &work);
            fs::remove_dir_all(work.join("checkpoint_step_5")).unwrap();
            write_until(&checkpoint, &work.join(name), total * cut / CUTS);
            case.out.clone_from(&work);
            let log = case.complete(ResumeFrom::Auto);
            let what = format!("{name} cut at {cut}/{CUTS}");
            assert!(log.has("steps_done: 4"), "{what}");
            assert_eq!(log.warnings.len(), usize::from(name == "checkpoint_step_5"), "{what}");
            assert_same(&results(&work), &expected, &what);
            fs::remove_dir_all(&work).unwrap();
        }
    }
}
