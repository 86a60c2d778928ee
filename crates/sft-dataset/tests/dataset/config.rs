//! `sft_config.json`.

use sft_dataset::{DatasetError, PromptTemplate, SftConfig};

fn config() -> SftConfig {
    SftConfig {
        prompt_template: PromptTemplate::default().text().to_owned(),
        summary_lead: String::new(),
        max_length: 384,
        eos_token_id: 2,
        base_model: "models/my \"base\"".to_owned(),
        sft_version: "0.1.0".to_owned(),
    }
}

#[test]
fn what_is_saved_is_loaded_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    config().save(dir.path()).unwrap();
    SftConfig { max_length: 512, ..config() }.save(dir.path()).unwrap();
    assert_eq!(SftConfig::load(dir.path()).unwrap(), SftConfig { max_length: 512, ..config() });
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["sft_config.json"]);
}

#[test]
fn keys_of_a_newer_version_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    config().save(dir.path()).unwrap();
    let path = dir.path().join("sft_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen('{', "{\n  \"chat_format\": [1],", 1)).unwrap();
    assert_eq!(SftConfig::load(dir.path()).unwrap(), config());
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let missing = SftConfig::load(dir.path()).unwrap_err();
    assert!(matches!(missing, DatasetError::Read { .. }));
    assert!(missing.to_string().contains("sft_config.json"));
    std::fs::write(dir.path().join("sft_config.json"), "{\"max_length\": 512}").unwrap();
    let partial = SftConfig::load(dir.path()).unwrap_err().to_string();
    assert!(
        partial.contains("sft_config.json") && partial.contains("prompt_template"),
        "{partial}"
    );

    let nowhere = dir.path().join("missing");
    let unwritten = config().save(&nowhere).unwrap_err();
    assert!(matches!(unwritten, DatasetError::Write { .. }));
    assert!(unwritten.to_string().contains("missing"), "{unwritten}");
    // A failed rename (the target is a folder) leaves no half-written sibling.
    let taken = dir.path().join("taken");
    std::fs::create_dir_all(taken.join("sft_config.json/x")).unwrap();
    config().save(&taken).unwrap_err();
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 1);
}
