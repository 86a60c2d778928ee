//! Without a model's id of a hub, no connection is opened; without memory, the remedy is named.
#![cfg(all(feature = "hub", feature = "embedded"))]
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{write_adapter, write_model};

fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_model(&folder.path().join("model"), 1);
    write_adapter(&folder.path().join("adapter"), &folder.path().join("model"), "model");
    folder
}

fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.env("HF_HOME", folder.join("hf")).env("XDG_CACHE_HOME", folder.join("cache"));
    command.env("HF_TOKEN", "hf_secret").env_remove("HF_HUB_OFFLINE");
    command
}

#[test]
fn nothing_is_asked_of_a_hub_or_a_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let folder = workplace();
    let proxies =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    for arguments in [
        &["--model_path=embedded", "--clinical_note=Fever", "--max_new_tokens=4"][..],
        &["--model_path=adapter", "--clinical_note=Fever", "--max_new_tokens=4"],
        &["--model_path=adapter", "--base_model=./model", "--merge_to=merged"],
        &["--model_path=adapter", "--export_gguf_lora=adapter.gguf"],
        &["--export_base=base"],
    ] {
        let mut command = command(folder.path(), env!("CARGO_BIN_EXE_sft-infer"));
        command.args(arguments).env("HF_ENDPOINT", &url).envs(proxies.map(|name| (name, &url)));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        let connection = listener.accept();
        assert!(
            connection.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock),
            "{arguments:?}: {connection:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_memory_the_size_and_the_remedies_are_named() {
    let folder = workplace();
    // A gigabyte of nothing, in an address space of less.
    std::fs::File::create(folder.path().join("notes.txt")).unwrap().set_len(1 << 30).unwrap();
    let mut command = command(folder.path(), "sh");
    command.args(["-c", "ulimit -v 800000 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_sft-infer")]);
    command.args(["--model_path=adapter", "--input_file=notes.txt"]);
    let output = command.env("RAYON_NUM_THREADS", "1").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: there is no memory left: 1024 MB more were"), "{stderr}");
    assert!(stderr.contains("--quantize nf4") && stderr.lines().count() == 1, "{stderr}");
}
