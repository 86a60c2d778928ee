//! `--export_gguf_lora` as users run it.
#![allow(clippy::unwrap_used)]

#[path = "../../sft-inference/tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use candle_core::quantized::gguf_file::Content;
use common::{write_adapter, write_model};

fn infer(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sft-infer"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_HOME", folder.join("hf"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn an_adapter_becomes_a_gguf_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_model(&path.join("model"), 1);
    write_adapter(&path.join("adapter"), &path.join("model"), "model");

    let run = infer(path, &["--model_path", "adapter", "--export_gguf_lora", "adapter.gguf"]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(said.lines().count(), 1);
    let content =
        Content::read(&mut Cursor::new(fs::read(path.join("adapter.gguf")).unwrap())).unwrap();
    let matrices = content.tensor_infos.len();
    assert!(matrices > 0 && matrices.is_multiple_of(14), "{matrices}");
    for part in ["adapter.gguf", &format!("{matrices} matrices"), "llama", "alpha 7"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }

    // never over a file, and not without an adapter
    for (arguments, words) in [
        (["--model_path", "adapter", "--export_gguf_lora", "adapter.gguf"], "exists already"),
        (["--model_path", "model", "--export_gguf_lora", "new.gguf"], "no adapter to export"),
        (["--model_path", "adapter", "--export_gguf_lora", "no/new.gguf"], "no/new.gguf"),
    ] {
        let before = fs::read(path.join("adapter.gguf")).unwrap();
        let run = infer(path, &arguments);
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
        assert_eq!(fs::read(path.join("adapter.gguf")).unwrap(), before);
        assert!(!path.join("new.gguf").exists());
    }
}
