//! Models from a hub, over a stand-in that gates, breaks off and fails.
#![cfg(feature = "hub")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stand_in;

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use candle_core::{DType, Device};
use sft_fixtures::LlamaShape;
use sft_model::source::{Event, HubOptions, SourceError, SourceOptions, Wanted, locate};
use sft_model::{Decoder, ModelDir};
use stand_in::{Faults, Files, Repo, StandIn, files};

/// The files of a small model.
fn model(seed: u64) -> Files {
    let dir = tempfile::tempdir().unwrap();
    LlamaShape::default().write(dir.path(), seed).unwrap();
    let mut files = files(dir.path());
    files.insert("README.md".into(), b"not wanted".to_vec());
    files
}

/// The same with its weights in two shards.
fn sharded(seed: u64) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let mut files = model(seed);
    fs::write(dir.path().join("all"), files.remove("model.safetensors").unwrap()).unwrap();
    let tensors = candle_core::safetensors::load(dir.path().join("all"), &Device::Cpu).unwrap();
    let (mut map, mut shards) = (serde_json::Map::new(), [HashMap::new(), HashMap::new()]);
    for (name, tensor) in tensors {
        let shard = usize::from(name.contains("mlp"));
        let file = format!("model-{:05}-of-00002.safetensors", shard + 1);
        map.insert(name.clone(), file.into());
        shards[shard].insert(name, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-00002.safetensors", i + 1);
        candle_core::safetensors::save(shard, dir.path().join(&name)).unwrap();
        files.insert(name.clone(), fs::read(dir.path().join(&name)).unwrap());
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    files.insert("model.safetensors.index.json".into(), index.to_string().into());
    files
}

/// One user: a cache, and how the hub is asked.
struct User {
    cache: tempfile::TempDir,
    options: SourceOptions,
    heard: Vec<String>,
}

impl User {
    fn new(hub: &StandIn) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let hub = HubOptions {
            endpoint: Some(hub.url.clone()),
            cache: Some(cache.path().join("hub")),
            attempts: 3,
            retry_wait: Duration::from_millis(2),
            stall: Duration::from_millis(300),
            ..HubOptions::default()
        };
        Self {
            cache,
            options: SourceOptions { hub, ..SourceOptions::default() },
            heard: Vec::new(),
        }
    }

    fn revision(mut self, revision: &str) -> Self {
        self.options.revision = Some(revision.into());
        self
    }

    fn fetch(&mut self, id: &str) -> Result<PathBuf, SourceError> {
        self.fetch_wanted(id, Wanted::Model)
    }

    fn fetch_wanted(&mut self, id: &str, wanted: Wanted) -> Result<PathBuf, SourceError> {
        self.heard.clear();
        let heard = &mut self.heard;
        let mut hear = |event: Event<'_>| match event {
            Event::Notice(text) => heard.push(format!("notice {text}")),
            Event::Started { file } => heard.push(format!("started {file}")),
            Event::Finished { file } => heard.push(format!("finished {file}")),
            Event::Advanced { done, total } => {
                assert!(done <= total);
                if done == total {
                    heard.push(format!("all {total}"));
                }
            }
            _ => {}
        };
        locate(id, wanted, &self.options, &mut hear)
    }

    /// The message and its causes.
    fn refused(&mut self, id: &str) -> (SourceError, String) {
        let error = self.fetch(id).unwrap_err();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(!text.contains('\n'), "{text}");
        (error, text)
    }
}

fn downloads(requests: &[String]) -> Vec<&String> {
    requests.iter().filter(|request| request.contains("/resolve/")).collect()
}

fn weights(folder: &std::path::Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn a_model_is_fetched_once() {
    let files = model(1);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/small").unwrap();
    let opened = ModelDir::open(&folder).unwrap();
    Decoder::load(&opened, DType::F32, &Device::Cpu).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        assert_eq!(fs::read(folder.join(name)).unwrap(), files[name], "{name}");
        let events = ["started", "finished"].map(|event| format!("{event} {name}"));
        assert!(events.iter().all(|event| user.heard.contains(event)), "{:?}", user.heard);
    }
    assert!(user.heard.contains(&format!("all {}", files["model.safetensors"].len())));
    assert!(!folder.join("README.md").exists());
    assert!(!downloads(&hub.requests()).is_empty());

    assert_eq!(user.fetch("owner/small").unwrap(), folder);
    assert_eq!(hub.requests(), ["/api/models/owner/small/revision/main?blobs=true"]);
    assert!(user.heard.is_empty(), "{:?}", user.heard);
}

#[test]
fn a_damaged_file_of_the_cache_is_fetched_again() {
    let files = model(1);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/small").unwrap();
    let file = fs::canonicalize(folder.join("model.safetensors")).unwrap();
    fs::write(&file, b"short").unwrap();
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
}

#[test]
fn a_gate_is_explained_and_opens_with_the_token() {
    let hub = StandIn::new([("owner/gated", Repo::new(model(1)).gated("hf_right"))]);
    let mut user = User::new(&hub);
    let (error, text) = user.refused("owner/gated");
    assert!(matches!(error, SourceError::Gated { with_token: false, .. }), "{text}");
    let page = format!("{}/owner/gated", hub.url);
    assert!(text.contains(&format!("{page},")) && text.contains("HF_TOKEN"), "{text}");

    user.options.hub.token = Some("hf_wrong".into());
    let (error, text) = user.refused("owner/gated");
    assert!(matches!(error, SourceError::Gated { with_token: true, .. }), "{text}");
    assert!(text.contains(&page) && text.contains("HF_TOKEN"), "{text}");
    assert!(!text.contains("hf_wrong") && !format!("{error:?}").contains("hf_wrong"));

    user.options.hub.token = Some("hf right\n".into());
    let (error, text) = user.refused("owner/gated");
    assert!(matches!(error, SourceError::Token) && !text.contains("right"), "{text}");

    user.options.hub.token = Some("hf_right".into());
    user.fetch("owner/gated").unwrap();
}

#[test]
fn a_missing_repository_suggests_what_was_meant() {
    let hub = StandIn::new([]);
    for missing_is_401 in [false, true] {
        hub.faults(Faults { missing_is_401, ..Faults::default() });
        let mut user = User::new(&hub);
        let (error, text) = user.refused("mistralai/Mistal-7B-v0.1");
        assert!(matches!(error, SourceError::NoRepository { .. }), "{text}");
        assert!(text.contains("did you mean mistralai/Mistral-7B-v0.1"), "{text}");
        assert!(text.contains("spelling") && text.contains("HF_TOKEN"), "{text}");
        assert!(!user.refused("somebody/else").1.contains("did you mean"));
    }
}

#[test]
fn a_revision_is_a_branch_a_tag_or_a_commit() {
    let repo = Repo::new(model(1)).revision("refs/pr/1", "beef", model(2));
    let hub = StandIn::new([("owner/small", repo)]);
    let main = weights(&User::new(&hub).fetch("owner/small").unwrap());
    let mut user = User::new(&hub).revision("refs/pr/1");
    let folder = user.fetch("owner/small").unwrap();
    assert_ne!(weights(&folder), main);
    assert!(folder.ends_with("beef"), "{}", folder.display());
    user.options.revision = Some("beef".into());
    assert_eq!(user.fetch("owner/small").unwrap(), folder);
    user.options.revision = Some("v9".into());
    let (error, text) = user.refused("owner/small");
    assert!(matches!(error, SourceError::NoRevision { .. }), "{text}");
    assert!(text.contains("`v9`") && text.contains("--revision"), "{text}");
    user.options.revision = Some("../../x".into());
    assert!(matches!(user.refused("owner/small").0, SourceError::Revision { .. }));
}

#[test]
fn shards_follow_their_index() {
    let hub = StandIn::new([("owner/large", Repo::new(sharded(1)))]);
    let mut user = User::new(&hub);
    let folder = ModelDir::open(&user.fetch("owner/large").unwrap()).unwrap();
    Decoder::load(&folder, DType::F32, &Device::Cpu).unwrap();
    assert!(user.heard.contains(&"finished model-00002-of-00002.safetensors".to_owned()));
}

#[test]
fn a_shard_outside_the_folder_is_refused() {
    for hostile in ["../../../../evil", "/etc/hostname", "a/../../b", "..\\evil", "C:evil", ""] {
        let mut files = sharded(1);
        let index = serde_json::json!({ "weight_map": { "lm_head.weight": hostile } });
        files.insert("model.safetensors.index.json".into(), index.to_string().into());
        files.insert(hostile.to_owned(), b"x".to_vec());
        let hub = StandIn::new([("owner/evil", Repo::new(files))]);
        let mut user = User::new(&hub);
        let (error, text) = user.refused("owner/evil");
        assert!(matches!(error, SourceError::Unusable { .. }), "{text}");
        assert!(text.contains("do not use this model"), "{text}");
        assert!(hub.requests().iter().all(|request| !request.contains("evil/resolve/c0ffee00/..")));
        assert!(!user.cache.path().join("evil").exists());
    }
}

#[test]
fn what_breaks_off_goes_on_where_it_stopped() {
    let files = model(1);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let breaks = |times| Some(("/model.safetensors".to_owned(), 1000, times));
    hub.faults(Faults { breaks: breaks(1), ..Faults::default() });
    let mut user = User::new(&hub);
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    let from_1000 = |requests: &[String]| requests.iter().any(|r| r.ends_with("bytes=1000-"));
    assert!(from_1000(&hub.requests()));

    // More often than it is tried: an error, and the next run goes on.
    hub.faults(Faults { breaks: breaks(3), ..Faults::default() });
    let mut user = User::new(&hub);
    let (error, text) = user.refused("owner/small");
    assert!(matches!(error, SourceError::Interrupted { .. }), "{text}");
    assert!(text.contains("model.safetensors") && text.contains("same command again"), "{text}");
    hub.requests();
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    let requests = hub.requests();
    assert!(requests.iter().any(|r| r.ends_with("bytes=3000-")), "{requests:?}");
    assert!(!requests.iter().any(|r| r.contains("/config.json")), "{requests:?}");
    assert!(user.heard.contains(&format!("all {}", files["model.safetensors"].len())));
}

#[test]
fn a_part_that_does_not_fit_is_begun_anew() {
    let files = model(1);
    let whole = files["model.safetensors"].len();
    for len in [whole, whole + 1] {
        let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
        hub.faults(Faults {
            breaks: Some(("/model.safetensors".to_owned(), 10, 3)),
            ..Faults::default()
        });
        let mut user = User::new(&hub);
        user.refused("owner/small");
        let blobs = user.cache.path().join("hub/models--owner--small/blobs");
        let part = fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path());
        let part = part.into_iter().find(|path| path.extension().is_some_and(|e| e == "part"));
        fs::write(part.unwrap(), vec![0; len]).unwrap();
        assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    }
}

#[test]
fn a_busy_hub_is_asked_again() {
    let hub = StandIn::new([("owner/small", Repo::new(model(1)))]);
    hub.faults(Faults { busy: 2, ..Faults::default() });
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/small").unwrap();
    // Without end: an error, or what is in the cache.
    hub.faults(Faults { busy: usize::MAX, ..Faults::default() });
    assert_eq!(user.fetch("owner/small").unwrap(), folder);
    assert!(user.heard[0].contains("as it is in the cache"), "{:?}", user.heard);
    let (error, text) = User::new(&hub).refused("owner/small");
    assert!(matches!(error, SourceError::Server { status: 503, .. }), "{text}");
    assert!(text.contains("503") && text.contains("later"), "{text}");
}

#[test]
fn offline_the_cache_serves_if_it_is_complete() {
    for files in [model(1), sharded(1)] {
        let hub = StandIn::new([("owner/small", Repo::new(files))]);
        let mut user = User::new(&hub);
        let folder = user.fetch("owner/small").unwrap();
        hub.requests();

        user.options.hub.offline = true;
        assert_eq!(user.fetch("owner/small").unwrap(), folder);
        assert!(hub.requests().is_empty() && user.heard.is_empty());
        user.options.revision = Some("c0ffee00".into());
        assert_eq!(user.fetch("owner/small").unwrap(), folder);
        user.options.revision = None;

        // Nobody listens: the same, with a notice.
        user.options.hub.offline = false;
        user.options.hub.endpoint = Some("http://127.0.0.1:1".into());
        assert_eq!(user.fetch("owner/small").unwrap(), folder);
        assert!(user.heard[0].starts_with("notice"), "{:?}", user.heard);

        let last = if folder.join("model.safetensors").exists() {
            "model.safetensors"
        } else {
            "model-00002-of-00002.safetensors"
        };
        fs::remove_file(folder.join(last)).unwrap();
        let (error, text) = user.refused("owner/small");
        assert!(matches!(error, SourceError::Network { .. }), "{text}");
        assert!(text.contains("--model_name DIR") && text.contains("refused"), "{text}");
        user.options.hub.offline = true;
        let (error, text) = user.refused("owner/small");
        assert!(matches!(error, SourceError::Offline { .. }), "{text}");
        assert!(text.contains("HF_HUB_OFFLINE") && text.contains("--model_path DIR"), "{text}");
    }
}

#[test]
fn a_repository_without_a_model_says_what_is_missing() {
    let gguf = Files::from([("model-Q4_K_M.gguf".to_owned(), vec![0; 8])]);
    let hub = StandIn::new([("owner/gguf", Repo::new(gguf))]);
    let (error, text) = User::new(&hub).refused("owner/gguf");
    assert!(matches!(error, SourceError::Unusable { .. }), "{text}");
    assert!(text.contains("config.json") && text.contains("GGUF"), "{text}");
    assert!(downloads(&hub.requests()).is_empty());

    let mut incomplete = sharded(1);
    incomplete.remove("model-00002-of-00002.safetensors");
    let hub = StandIn::new([("owner/incomplete", Repo::new(incomplete))]);
    let (_, text) = User::new(&hub).refused("owner/incomplete");
    assert!(text.contains("model-00002-of-00002.safetensors"), "{text}");
}

#[test]
fn an_adapter_is_fetched_without_the_rest() {
    let mut files = model(1);
    files.insert("adapter_config.json".into(), b"{}".to_vec());
    files.insert("adapter_model.safetensors".into(), b"matrices".to_vec());
    files.insert("sft_config.json".into(), b"{}".to_vec());
    let hub = StandIn::new([("owner/adapter", Repo::new(files))]);
    let mut user = User::new(&hub);
    let folder = user.fetch_wanted("owner/adapter", Wanted::AdapterOrModel).unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors", "sft_config.json"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(!folder.join("model.safetensors").exists());
}

#[test]
fn what_is_no_hub_is_named() {
    let hub = StandIn::new([]);
    hub.faults(Faults { web_page: true, ..Faults::default() });
    let (error, text) = User::new(&hub).refused("owner/small");
    assert!(matches!(error, SourceError::Answer { .. }), "{text}");
    assert!(text.contains("HF_ENDPOINT"), "{text}");
}

const FILE: &str = "/model.safetensors";

fn with_header(name: &'static str, value: Option<&str>) -> Faults {
    Faults { headers: vec![(FILE, name, value.map(str::to_owned))], ..Faults::default() }
}

#[test]
fn the_token_goes_to_no_other_host() {
    let files = model(1);
    let elsewhere = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let away = format!("{}/linked/owner/small/resolve/c0ffee00/model.safetensors", elsewhere.url);
    hub.faults(with_header("Location", Some(&away)));
    let mut user = User::new(&hub);
    user.options.hub.token = Some("hf_secret".into());
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    assert!(hub.with_token().iter().any(|path| path.ends_with(FILE)));
    assert_eq!(elsewhere.requests().len(), 1);
    assert!(elsewhere.with_token().is_empty());
}

#[test]
fn what_stalls_comes_to_an_end() {
    let hub = StandIn::new([("owner/small", Repo::new(model(1)))]);
    for stalls in [("/api/", None), ("/api/", Some(10)), (FILE, None), ("/linked/", Some(1000))] {
        hub.faults(Faults { stalls: Some(stalls), ..Faults::default() });
        let (error, text) = User::new(&hub).refused("owner/small");
        let is_listing = stalls.0 == "/api/";
        assert_eq!(matches!(error, SourceError::Network { .. }), is_listing, "{text}");
        assert_eq!(matches!(error, SourceError::Interrupted { .. }), !is_listing, "{text}");
        assert!(text.contains("timeout"), "{text}");
    }
}

#[test]
fn redirects_to_nowhere_or_without_end_are_refused() {
    let hub = StandIn::new([("owner/small", Repo::new(model(1)))]);
    let itself = "/owner/small/resolve/c0ffee00/model.safetensors";
    for (location, word) in
        [(None, "no address"), (Some("file:///etc/passwd"), "no address"), (Some(itself), "end")]
    {
        hub.faults(with_header("Location", location));
        let (error, text) = User::new(&hub).refused("owner/small");
        assert!(matches!(error, SourceError::Answer { .. }), "{text}");
        assert!(text.contains(word) && text.contains("model.safetensors"), "{text}");
    }
    hub.faults(with_header("X-Repo-Commit", Some("../../../../up")));
    let (error, text) = User::new(&hub).refused("owner/small");
    assert!(matches!(error, SourceError::Answer { .. }), "{text}");
    assert!(text.contains("another commit"), "{text}");
}

/// Every file below a folder, links not followed.
fn below(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_tag_cannot_lead_out_of_the_cache() {
    let files = model(1);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let outside = tempfile::tempdir().unwrap();
    let absolute = outside.path().join("x");
    for tag in ["../../../../x", absolute.to_str().unwrap(), "..", "a.part", ""] {
        hub.faults(with_header("X-Linked-ETag", Some(&format!("\"{tag}\""))));
        let mut user = User::new(&hub);
        let folder = user.fetch("owner/small").unwrap();
        assert_eq!(weights(&folder), files["model.safetensors"]);
        let cache = user.cache.path().join("hub/models--owner--small");
        let all = below(user.cache.path());
        assert!(all.iter().all(|path| path.starts_with(&cache)), "{all:?}");
        assert!(
            !all.iter().any(|path| path.extension().is_some_and(|e| e == "part" || e == "lock"))
        );
        assert!(below(outside.path()).is_empty());
    }
}

#[test]
fn a_changed_tag_or_a_lost_content_is_no_obstacle() {
    let files = model(1);
    let hub = StandIn::new([("owner/small", Repo::new(files.clone()))]);
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/small").unwrap();
    let blob = fs::canonicalize(folder.join("model.safetensors")).unwrap();
    hub.faults(with_header("X-Linked-ETag", Some("\"0ther\"")));
    fs::write(&blob, b"short").unwrap();
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    assert!(fs::canonicalize(folder.join("model.safetensors")).unwrap().ends_with("0ther"));
    // A link that leads nowhere is replaced; a content that is there is not fetched again.
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../blobs/gone", folder.join("model.safetensors")).unwrap();
    assert_eq!(weights(&user.fetch("owner/small").unwrap()), files["model.safetensors"]);
    assert!(user.heard.iter().all(|event| !event.starts_with("all")), "{:?}", user.heard);
}

#[test]
#[cfg(unix)]
fn a_complete_cache_may_be_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let hub = StandIn::new([("owner/small", Repo::new(model(1)))]);
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/small").unwrap();
    let reference = user.cache.path().join("hub/models--owner--small/refs/main");
    let written = reference.metadata().unwrap().modified().unwrap();
    assert_eq!(user.fetch("owner/small").unwrap(), folder);
    assert_eq!(reference.metadata().unwrap().modified().unwrap(), written, "written once");
    // Where it cannot be written there is a notice. The rights of a file do not bind root, a folder in its place does.
    fs::remove_file(&reference).unwrap();
    fs::create_dir(&reference).unwrap();
    fs::set_permissions(reference.parent().unwrap(), fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(user.fetch("owner/small").unwrap(), folder);
    assert!(user.heard[0].contains("refs/main"), "{:?}", user.heard);
    fs::set_permissions(reference.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn of_two_at_once_one_downloads() {
    let hub = StandIn::new([("owner/small", Repo::new(model(1)))]);
    let cache = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut user = User::new(&hub);
            user.options.hub.cache = Some(cache.path().to_owned());
            scope.spawn(move || user.fetch("owner/small").unwrap());
        }
    });
    let requests = hub.requests();
    let times = |end: &str| requests.iter().filter(|request| request.ends_with(end)).count();
    assert_eq!((times(FILE), times("/config.json")), (2, 1), "{requests:?}");
}

#[test]
fn an_unknown_architecture_is_refused_before_its_weights() {
    let mut files = model(1);
    let config = String::from_utf8(files["config.json"].clone()).unwrap();
    files.insert("config.json".into(), config.replace("\"llama\"", "\"gpt2\"").into());
    let hub = StandIn::new([("owner/gpt2", Repo::new(files))]);
    let (error, text) = User::new(&hub).refused("owner/gpt2");
    assert!(matches!(error, SourceError::Config { .. }), "{text}");
    assert!(text.contains("gpt2 cannot be used") && text.contains("model_type"), "{text}");
    let requests = hub.requests();
    assert_eq!(downloads(&requests).len(), 1, "{requests:?}");
}

#[test]
fn names_of_shards_are_plain_and_files_may_be_empty() {
    for strange in ["a\x1b[31mb", "a b", "a\nb", "config.json?x", "%2e%2e/x"] {
        let mut files = sharded(1);
        let index = serde_json::json!({ "weight_map": { "lm_head.weight": strange } });
        files.insert("model.safetensors.index.json".into(), index.to_string().into());
        files.insert(strange.to_owned(), b"x".to_vec());
        let hub = StandIn::new([("owner/strange", Repo::new(files))]);
        let (error, text) = User::new(&hub).refused("owner/strange");
        assert!(matches!(error, SourceError::Unusable { .. }), "{text}");
        assert!(!text.contains('\x1b') && text.contains("do not use this model"), "{text}");
    }
    let mut files = model(1);
    files.insert("chat_template.jinja".into(), Vec::new());
    let hub = StandIn::new([("owner/empty", Repo::new(files))]);
    let mut user = User::new(&hub);
    let folder = user.fetch("owner/empty").unwrap();
    assert_eq!(folder.join("chat_template.jinja").metadata().unwrap().len(), 0);
}
