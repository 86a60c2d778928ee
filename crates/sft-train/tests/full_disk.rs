//! A disk that is full at any moment of a run.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use common::{Ended, Fixture};

const ADAPTER: &str = "out/final_model/adapter_model.safetensors";

/// Runs into a small file system of its own, then makes room and goes on. What the first run said goes to standard error,
/// its exit status to standard output.
const SCRIPT: &str = r#"
set -e
room=$1; program=$2; shift 2
mount -t tmpfs -o size="$room" none out
code=0; "$program" "$@" >/dev/null || code=$?
echo "$code"
echo ---- >&2
mount -o remount,size=64m none out
"$program" "$@" >/dev/null
cp out/final_model/adapter_model.safetensors adapter
"#;

const RUN: [&str; 10] = [
    "--model_name=model",
    "--train_csv=train.csv",
    "--batch_size=2",
    "--lora_r=4",
    "--val_split=0.2",
    "--max_length=128",
    "--max_steps=9",
    "--save_steps=2",
    "--output_dir=out",
    "--resume=auto",
];

/// Whether this system lets its users mount something in a name space of their own.
fn can_mount() -> bool {
    let run = std::process::Command::new("unshare").args(["-Urm", "true"]).output();
    let can = run.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: no user name spaces here (unshare -Urm)");
    }
    can
}

#[test]
fn a_disk_that_is_full_loses_nothing() {
    if !can_mount() {
        return;
    }
    let whole = Fixture::new();
    whole.run(&RUN).ok();
    let expected = whole.read(ADAPTER);
    let files = common::tree(&whole.path("out"));
    let pages = |bytes: usize| bytes.div_ceil(4096);
    let total: usize = files.iter().map(|(_, content)| pages(content.len()) + 1).sum();
    let (mut full, mut begun, mut cases) = (0, 0, 0);
    for share in 1..=24 {
        let room = format!("{}k", 4 * (total * share / 24).max(2));
        let fixture = Fixture::new();
        std::fs::create_dir(fixture.path("out")).unwrap();
        let mut command = std::process::Command::new("unshare");
        command.current_dir(fixture.path("")).args(["-Urm", "sh", "-c", SCRIPT, "sh", &room]);
        command.arg(env!("CARGO_BIN_EXE_sft-train")).args(RUN).env("HF_HUB_OFFLINE", "1");
        command
            .env("HF_HOME", fixture.path("hf"))
            .env("RAYON_NUM_THREADS", "1")
            .env_remove("RUST_LOG");
        let ended = Ended::from(command.output().unwrap()).ok();
        let first = ended.stderr.split("----").next().unwrap();
        cases += 1;
        match ended.stdout.trim() {
            "0" => {}
            "1" => {
                full += 1;
                let line = first.lines().find(|line| line.starts_with("error:")).unwrap();
                assert!(line.contains("No space left"), "{room}: {line}");
                begun += usize::from(first.contains("note: to go on: sft-train"));
            }
            other => panic!("{room}: exit {other}: {first}"),
        }
        assert!(fixture.read("adapter") == expected, "{room}: other bytes after there was room");
    }
    assert!(full >= cases / 2, "{full} of {cases} found the disk full");
    assert!(begun >= full / 2, "{begun} of {full} said how to go on");
    println!("{full} full disks survived");
}
