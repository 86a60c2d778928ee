//! Runs that are killed at random instants, and go on to the bytes of one that was not.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::time::{Duration, Instant};

use common::Fixture;
use sft_kernels::random::uniform;

const ADAPTER: &str = "out/final_model/adapter_model.safetensors";

/// Dropout, accumulation, and a checkpoint at every second step: most instants lie in or near a write.
const RUN: [&str; 15] = [
    "--model_name=model",
    "--train_csv=train.csv",
    "--batch_size=2",
    "--gradient_accumulation_steps=2",
    "--lora_r=4",
    "--lora_alpha=12",
    "--lora_dropout=0.2",
    "--learning_rate=0.01",
    "--max_length=128",
    "--val_split=0.2",
    "--max_steps=120",
    "--save_steps=2",
    "--save_total_limit=3",
    "--output_dir=out",
    "--resume=auto",
];

/// Kills runs until there were `kills`; each process has another number of threads.
fn survive(kills: usize, seed: u64) {
    let whole = Fixture::new();
    let started = Instant::now();
    whole.run(&RUN).ok();
    // From before the first write to beyond the last one.
    let longest = started.elapsed().mul_f64(1.1);
    let expected = whole.read(ADAPTER);
    let mut instants = uniform(seed, 1, 100 * kills).into_iter();
    let (mut done, mut completed, mut fixture) = (0, 0, Fixture::new());
    while done < kills {
        let threads = ["1", "2", "4"][done % 3];
        let mut child = fixture.command(&RUN).env("RAYON_NUM_THREADS", threads).spawn().unwrap();
        let instant = longest.mul_f64(f64::from(instants.next().expect("instants")));
        let end = Instant::now() + instant;
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            done += 1;
            continue;
        }
        let ended = common::Ended::from(child.wait_with_output().unwrap()).ok();
        assert!(!ended.stderr.contains("damaged"), "{}", ended.stderr);
        assert!(fixture.read(ADAPTER) == expected, "after {done} kills");
        completed += 1;
        fixture = Fixture::new();
    }
    fixture.run(&RUN).ok();
    assert!(fixture.read(ADAPTER) == expected, "after the last kill");
    println!("{kills} kills survived, {} runs byte-equal", completed + 1);
}

#[test]
fn kills_at_random_instants_change_nothing() {
    survive(12, 7);
}

/// The figure in the README: `cargo survive`.
#[test]
#[ignore = "takes a minute or two"]
fn two_hundred_kills() {
    survive(220, 8);
}
