//! The model and the sample data that the library carries.
#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use candle_core::{DType, Device};
use sft_fixtures::embedded::BASE;
use sft_model::source::{
    EMBEDDED, Sample, SourceError, SourceOptions, Wanted, export_base, locate, sample_csv,
};
use sft_model::{Decoder, ModelDir};

fn options(caches: &[PathBuf]) -> SourceOptions {
    SourceOptions { cache_dirs: caches.to_vec(), ..SourceOptions::default() }
}

fn base(caches: &[PathBuf]) -> Result<PathBuf, SourceError> {
    locate(EMBEDDED, Wanted::Model, &options(caches), &mut |_| {})
}

#[test]
fn it_is_unpacked_once_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let caches = [dir.path().join("cache")];
    let folder = base(&caches).unwrap();
    assert!(folder.starts_with(&caches[0]));
    let opened = ModelDir::open(&folder).unwrap();
    Decoder::load(&opened, DType::F32, &Device::Cpu).unwrap();
    opened.target_eos().unwrap();
    let bytes: u64 = BASE.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(bytes <= 8 << 20, "{bytes}");

    let weights = folder.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let written = weights.metadata().unwrap().modified().unwrap();
    assert_eq!(base(&caches).unwrap(), folder);
    assert_eq!(weights.metadata().unwrap().modified().unwrap(), written, "written once");

    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&weights, damaged).unwrap();
    fs::remove_file(folder.join("config.json")).unwrap();
    base(&caches).unwrap();
    assert!(fs::read(&weights).unwrap() == whole && folder.join("config.json").is_file());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), BASE.len(), "nothing is left behind");
}

#[test]
fn strangers_beside_its_files_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let caches = [dir.path().join("cache")];
    let planted = base(&caches).unwrap().join("model.safetensors.index.json");
    fs::write(&planted, "{}").unwrap();
    base(&caches).unwrap();
    assert!(!planted.exists());
    // What cannot be removed without a doubt is refused.
    fs::create_dir(&planted).unwrap();
    let error = base(&caches).unwrap_err().to_string();
    assert!(error.contains("model.safetensors.index.json"), "{error}");
}

#[test]
#[cfg(unix)]
fn among_the_temporary_files_of_all_its_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    base(&[dir.path().to_owned()]).unwrap();
    assert_eq!(mode(dir.path()), 0o700);
    // A link is no folder of this user.
    let link = dir.path().with_extension("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let refused = base(std::slice::from_ref(&link));
    fs::remove_file(&link).unwrap();
    assert!(refused.unwrap_err().to_string().contains("cannot use"));
}

#[test]
fn many_may_unpack_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let caches = [dir.path().to_owned()];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| base(&caches))).collect();
        for thread in threads {
            ModelDir::open(&thread.join().unwrap().unwrap()).unwrap();
        }
    });
    let folder = base(&caches).unwrap();
    for (name, bytes) in BASE {
        assert!(fs::read(folder.join(name)).unwrap() == *bytes, "{name}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), BASE.len(), "nothing is left behind");
}

#[test]
fn the_next_folder_serves_where_the_first_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (blocked, free) = (dir.path().join("file/x"), dir.path().join("free"));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(base(&[blocked.clone(), free.clone()]).unwrap().starts_with(&free));
    let error = base(&[blocked]).unwrap_err();
    assert!(error.to_string().contains("XDG_CACHE_HOME"), "{error}");
}

#[test]
fn the_sample_has_rows() {
    let dir = tempfile::tempdir().unwrap();
    for sample in [Sample::Train, Sample::Validation, Sample::Test] {
        let csv = sample_csv(sample, &[dir.path().to_owned()]).unwrap();
        let text = fs::read_to_string(csv).unwrap();
        assert!(text.contains("clinical_note") && text.contains("factual"));
    }
}

#[test]
fn an_export_is_a_model_folder_and_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/base");
    export_base(&out).unwrap();
    ModelDir::open(&out).unwrap().tokenizer_json().unwrap();
    assert!(matches!(export_base(&out).unwrap_err(), SourceError::ExportTarget { .. }));
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(export_base(&file).unwrap_err(), SourceError::ExportTarget { .. }));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    export_base(&empty).unwrap();
}
