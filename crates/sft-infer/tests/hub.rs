//! The program on models of a hub, over a stand-in, and on the embedded model.
#![cfg(all(feature = "hub", feature = "embedded"))]
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;
#[path = "../../sft-model/tests/stand_in/mod.rs"]
mod stand_in;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{write_adapter, write_model};
use stand_in::{Repo, StandIn, files};

const TOKEN: &str = "hf_very_secret";

fn infer(folder: &Path, hub: &StandIn, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sft-infer"))
        .current_dir(folder)
        .args(arguments)
        .args(if arguments.contains(&"--export_base") {
            &[][..]
        } else {
            &["--clinical_note", "Fever, cough", "--max_new_tokens", "8"]
        })
        .env("HF_HOME", folder.join("hf"))
        .env("HF_ENDPOINT", &hub.url)
        .env("HF_TOKEN", TOKEN)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("RUST_LOG", "trace,candle_core=off")
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_HUB_CACHE")
        .output()
        .unwrap()
}

/// What a run that went well printed; the token is nowhere.
fn text(output: Output) -> (String, String) {
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains(TOKEN) && !stdout.contains(TOKEN), "the token is shown");
    (stdout, stderr)
}

#[test]
fn an_adapter_of_the_hub_brings_its_base() {
    let dir = tempfile::tempdir().unwrap();
    let (base, adapter) = (dir.path().join("base"), dir.path().join("adapter"));
    write_model(&base, 1);
    write_adapter(&adapter, &base, "owner/base");
    let hub = StandIn::new([
        ("owner/base", Repo::new(files(&base)).gated(TOKEN)),
        ("owner/adapter", Repo::default().revision("v1", "abcd", files(&adapter))),
    ]);
    let arguments = ["--model_path", "owner/adapter", "--revision", "v1"];
    let (first, progress) = text(infer(dir.path(), &hub, &arguments));
    assert!(first.len() > 2, "{first:?}");
    for file in ["adapter_model.safetensors", "model.safetensors"] {
        assert!(progress.contains(&format!("downloading {file}")), "{progress}");
    }
    hub.requests();
    let (second, _) = text(infer(dir.path(), &hub, &arguments));
    assert_eq!(first, second);
    assert!(hub.requests().iter().all(|request| request.starts_with("/api/")));
    // A local adapter over the same base; the revision is now the base's.
    let local = ["--model_path", "adapter", "--revision", "main"];
    assert_eq!(text(infer(dir.path(), &hub, &local)).0, first);
    let output = infer(dir.path(), &hub, &["--model_path", "adapter", "--revision", "v7"]);
    let error = String::from_utf8(output.stderr).unwrap();
    let line = error.lines().find(|line| line.starts_with("error:")).unwrap();
    assert!(line.contains("no revision `v7`") && line.contains("--base-model"), "{line}");
}

#[test]
fn the_embedded_model_answers_and_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let hub = StandIn::new([]);
    let (embedded, _) = text(infer(dir.path(), &hub, &["--model_path", "embedded"]));
    let export = ["--export_base", "out"];
    text(infer(dir.path(), &hub, &export));
    assert_eq!(text(infer(dir.path(), &hub, &["--model_path", "./out"])).0, embedded);
    fs::write(dir.path().join("out/mine"), "x").unwrap();
    let again = infer(dir.path(), &hub, &export);
    assert_eq!(again.status.code(), Some(1));
    assert!(hub.requests().is_empty());
}
