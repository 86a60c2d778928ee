#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use candle_core::Tensor;
use clap::FromArgMatches;
use sft_lora::peft::PeftConfig;
use sft_model::runtime::Quantize;

use super::*;
use crate::flags::{self, Flags};
use crate::layers::default_entries;
use crate::{error, file};

/// A value for every flag that is not its default. `FILE` and `DIR` stand for things that exist.
const TYPED: [(&str, &str); 37] = [
    ("model_name", "DIR"),
    ("revision", "v1"),
    ("init_adapter", "no/adapter"),
    ("device", "cuda:1"),
    ("dtype", "bf16"),
    ("quantize", "nf4"),
    ("train_csv", "FILE"),
    ("val_csv", "val.csv"),
    ("val_split", "0.25"),
    ("max_length", "300"),
    ("prompt_template", "Note:\r\n{clinical_note}\n\"Summary\" \\ '''é'''\n"),
    ("lora_r", "8"),
    ("lora_alpha", "24"),
    ("lora_dropout", "0.125"),
    ("lora_target_modules", "q_proj,v_proj"),
    ("num_epochs", "5"),
    ("max_steps", "77"),
    ("batch_size", "3"),
    ("gradient_accumulation_steps", "7"),
    ("learning_rate", "0.001"),
    ("lr_scheduler", "linear"),
    ("warmup_ratio", "0.2"),
    ("weight_decay", "0.01"),
    ("max_grad_norm", "0.5"),
    ("seed", "9"),
    ("no_shuffle", "true"),
    ("gradient_checkpointing", "true"),
    ("memory_budget", "16GB"),
    ("output_dir", "./out dir"),
    ("save_steps", "11"),
    ("save_total_limit", "13"),
    ("eval_steps", "17"),
    ("early_stopping_patience", "19"),
    ("tensorboard", "true"),
    ("report_examples", "23"),
    ("resume", "auto"),
    ("dry_run", "true"),
];

fn typed(name: &str) -> String {
    let (_, value) =
        TYPED.iter().find(|(key, _)| *key == name).unwrap_or_else(|| panic!("no value for {name}"));
    value
        .replace("DIR", env!("CARGO_MANIFEST_DIR"))
        .replace("FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
}

fn parse(args: &[String]) -> Options {
    let all = std::iter::once("sft-train".to_owned()).chain(args.iter().cloned());
    let matches = flags::command().try_get_matches_from(all).unwrap();
    Flags::from_arg_matches(&matches).unwrap().options
}

fn parse_str(args: &[&str]) -> Options {
    parse(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
}

/// Options that resolve, for tests about others.
fn base() -> Options {
    Options {
        model_name: Some(typed("model_name")),
        train_csv: Some(typed("train_csv").into()),
        ..Options::default()
    }
}

fn resolve(layers: Vec<(Origin, Options)>) -> Result<Settings, String> {
    resolve_from(layers, None)
}

fn resolve_from(
    layers: Vec<(Origin, Options)>,
    adapter: Option<PeftAdapter>,
) -> Result<Settings, String> {
    let layers = layers.into_iter().chain([(Origin::ConfigFile, base())]).collect();
    Settings::resolve(layers, adapter, &mut Vec::new()).map_err(|error| error::one_line(&error))
}

fn entry<'a>(settings: &'a Settings, name: &str) -> &'a Entry {
    settings.entries.iter().find(|entry| entry.name == name).unwrap()
}

fn adapter(targets: &str) -> PeftAdapter {
    let lora = LoraConfig {
        r: 4,
        lora_alpha: 12.0,
        lora_dropout: 0.5,
        target_modules: targets.parse().unwrap(),
        ..LoraConfig::default()
    };
    let config = PeftConfig::from_lora(&lora, "base", None, &[]);
    PeftAdapter { config, lora, tensors: BTreeMap::<String, Tensor>::new(), dir: "start".into() }
}

/// The report of a run on anybody's rows shows none of them unless it was asked to.
#[test]
fn only_notes_of_the_sample_are_shown_unasked() {
    let examples = |train: &str, val: Option<&str>, asked: Option<usize>| {
        let options = Options {
            train_csv: Some(train.into()),
            val_csv: val.map(Into::into),
            report_examples: asked,
            ..Options::default()
        };
        let settings = resolve(vec![(Origin::Flag, options)]).unwrap();
        assert_eq!(settings.to_toml().contains("report_examples"), asked.is_some());
        settings.report_examples
    };
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_eq!(examples("embedded", None, None), 3);
    assert_eq!(examples("embedded", None, Some(0)), 0);
    assert_eq!(examples("embedded", Some(own), None), 0);
    assert_eq!(examples(own, None, None), 0);
    assert_eq!(examples(own, Some("embedded"), None), 0);
    assert_eq!(examples(own, None, Some(5)), 5);
}

#[test]
fn every_flag_reaches_the_resolved_run_under_both_its_names() {
    let command = flags::command();
    let names: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
    let (names, of_this_call) = names.split_at(names.len() - 6);
    assert_eq!(
        of_this_call,
        ["config", "self_test", "allow_changes", "cross_validate", "suggest", "show"]
    );
    assert_eq!(names, TYPED.map(|(name, _)| name));
    for kebab in [false, true] {
        let flag = |name: &str| if kebab { name.replace('_', "-") } else { name.to_owned() };
        let args: Vec<String> =
            TYPED.iter().map(|(name, _)| format!("--{}={}", flag(name), typed(name))).collect();
        let mut options = parse(&args);
        options.init_adapter = None; // reading it is not the resolver's part
        let settings =
            Settings::resolve(vec![(Origin::Flag, options)], None, &mut Vec::new()).unwrap();
        for (name, _) in TYPED.iter().filter(|(name, _)| *name != "init_adapter") {
            let entry = entry(&settings, name);
            assert_eq!(entry.origin, Origin::Flag, "{name}");
            let value = match entry.value.clone().unwrap() {
                toml::Value::String(text) => text,
                toml::Value::Float(number) => number.to_string(),
                other => other.to_string(),
            };
            assert_eq!(value, typed(name), "{name}");
            assert!(
                default_entries().iter().all(|e| e.name != *name || e.value != entry.value),
                "{name} is its default"
            );
        }
    }
}

#[test]
fn every_value_arrives_where_it_belongs() {
    let skipped = ["init_adapter", "val_split"];
    let args: Vec<String> = TYPED
        .iter()
        .filter(|(name, _)| !skipped.contains(name))
        .map(|(name, _)| format!("--{name}={}", typed(name)))
        .collect();
    let settings =
        Settings::resolve(vec![(Origin::Flag, parse(&args))], None, &mut Vec::new()).unwrap();
    assert_eq!(settings.device, DeviceChoice::Cuda(1));
    assert_eq!(settings.dtype, DTypeChoice::Bf16);
    assert_eq!(settings.quantize, Some(Quantize::Nf4));
    assert_eq!(settings.validation, Validation::File("val.csv".into()));
    assert_eq!(settings.max_length, 300);
    assert_eq!(settings.template.text(), typed("prompt_template"));
    assert_eq!(settings.output_dir, PathBuf::from("./out dir"));
    assert!(settings.dry_run && settings.resume == ResumeFrom::Auto);
    let lora = LoraConfig {
        r: 8,
        lora_alpha: 24.0,
        lora_dropout: 0.125,
        target_modules: TargetModules::List(vec!["q_proj".into(), "v_proj".into()]),
        ..LoraConfig::default()
    };
    assert_eq!(settings.lora, lora);
    let train = TrainConfig {
        num_epochs: 5,
        max_steps: Some(77),
        batch_size: 3,
        gradient_accumulation_steps: 7,
        learning_rate: 1e-3,
        lr_scheduler: Scheduler::Linear,
        warmup_ratio: 0.2,
        weight_decay: 0.01,
        max_grad_norm: 0.5,
        seed: 9,
        shuffle: false,
        gradient_checkpointing: true,
        save_steps: Some(11),
        save_total_limit: Some(13),
        eval_steps: Some(17),
        early_stopping_patience: Some(19),
    };
    assert_eq!(settings.train, train);
    assert_eq!(settings.memory_budget, Some(MemorySize(16_000_000_000)));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let settings = resolve(vec![]).unwrap();
    let shown: BTreeMap<&str, String> =
        settings.entries.iter().map(|entry| (entry.name, entry.shown())).collect();
    for (name, value) in [
        ("val_split", "0.1"),
        ("output_dir", "./models/sft_specialist"),
        ("num_epochs", "2"),
        ("max_steps", "-"),
        ("batch_size", "8"),
        ("gradient_accumulation_steps", "1"),
        ("max_length", "512"),
        ("learning_rate", "0.0002"),
        ("lr_scheduler", "cosine"),
        ("warmup_ratio", "0.1"),
        ("weight_decay", "0.0"),
        ("max_grad_norm", "1.0"),
        ("lora_r", "16"),
        ("lora_alpha", "32.0"),
        ("lora_dropout", "0.05"),
        ("lora_target_modules", "all-linear"),
        ("seed", "42"),
        ("no_shuffle", "false"),
        ("device", "auto"),
        ("dtype", "auto"),
        ("quantize", "-"),
        ("gradient_checkpointing", "false"),
        ("memory_budget", "-"),
        ("resume", "-"),
        ("dry_run", "false"),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    let defaults: BTreeMap<&str, String> =
        default_entries().iter().map(|entry| (entry.name, entry.shown())).collect();
    assert_eq!(defaults["model_name"], "embedded");
    assert_eq!(defaults["train_csv"], "embedded");
    assert_eq!(entry(&settings, "lora_r").origin, Origin::Default);
}

#[test]
fn the_help_shows_each_default_and_the_names_with_dashes() {
    let help = flags::command().render_long_help().to_string();
    for text in [
        "--lora-r <R>",
        "[default: 16]",
        "--no-shuffle",
        "[default: 0.0002]",
        "[default: cosine]",
        "Examples:",
        "LoRA:",
    ] {
        assert!(help.contains(text), "{text} is missing in:\n{help}");
    }
    assert!(!help.contains("--lora_r "), "{help}");
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_resumed_run_and_that_over_defaults() {
    let flag = Options { lora_r: Some(2), ..Options::default() };
    let file = Options { lora_r: Some(3), batch_size: Some(3), ..Options::default() };
    let resumed =
        Options { lora_r: Some(4), batch_size: Some(4), seed: Some(4), ..Options::default() };
    let settings = resolve(vec![
        (Origin::Flag, flag),
        (Origin::ConfigFile, file),
        (Origin::ResumedRun, resumed),
    ])
    .unwrap();
    assert_eq!((settings.lora.r, settings.train.batch_size, settings.train.seed), (2, 3, 4));
    let origin = |name| entry(&settings, name).origin;
    assert_eq!(origin("lora_r"), Origin::Flag);
    assert_eq!(origin("batch_size"), Origin::ConfigFile);
    assert_eq!(origin("seed"), Origin::ResumedRun);
    assert_eq!(origin("num_epochs"), Origin::Default);
    assert_eq!(settings.lora.lora_alpha, 4.0, "alpha follows the rank that was typed");
}

#[test]
fn a_model_s_recommendation_stands_between_the_user_and_the_defaults() {
    let model = Options {
        num_epochs: Some(9),
        lora_r: Some(4),
        lora_alpha: Some(4.0),
        max_length: Some(99),
        learning_rate: Some(0.5),
        ..Options::default()
    };
    let flag = Options { num_epochs: Some(1), max_steps: Some(7), ..Options::default() };
    let with = |flag: &Options, adapter| {
        let layers = vec![(Origin::Flag, flag.clone()), (Origin::Model, model.clone())];
        resolve_from(layers, adapter).unwrap()
    };
    let settings = with(&flag, None);
    assert_eq!((settings.train.num_epochs, settings.train.max_steps), (1, Some(7)));
    assert_eq!((settings.train.learning_rate, settings.max_length), (0.5, 99));
    assert_eq!((settings.lora.r, settings.lora.lora_alpha), (4, 4.0));
    assert_eq!(entry(&settings, "max_length").origin, Origin::Model);
    assert_eq!(entry(&settings, "max_length").origin.to_string(), "model");
    assert_eq!(entry(&settings, "num_epochs").origin, Origin::Flag);

    // The model means its alpha for its own rank.
    let rank = Options { lora_r: Some(2), ..Options::default() };
    assert_eq!(with(&rank, None).lora.lora_alpha, 4.0, "twice the rank");
    let rank = Options { lora_r: Some(8), ..Options::default() };
    assert_eq!(with(&rank, None).lora.lora_alpha, 16.0, "twice the rank");
    let settings = with(&Options::default(), Some(adapter("q_proj")));
    assert_eq!(settings.lora.lora_alpha, 12.0, "the initial adapter is no contradiction");
    assert_eq!(entry(&settings, "lora_r").origin, Origin::InitAdapter);
}

#[test]
fn the_embedded_rows_come_as_a_pair() {
    let with = |options: Options| resolve(vec![(Origin::Flag, options)]).unwrap().validation;
    let train = Options { train_csv: Some("embedded".into()), ..Options::default() };
    assert_eq!(with(train.clone()), Validation::File("embedded".into()));
    let val = PathBuf::from("val.csv");
    let own = Options { val_csv: Some(val.clone()), ..train };
    assert_eq!(with(own), Validation::File(val));
}

#[test]
fn what_belongs_together_is_replaced_together() {
    let saved = Options {
        model_name: Some("owner/base".into()),
        revision: Some("c0ffee".into()),
        train_csv: Some("embedded".into()),
        val_csv: Some("embedded".into()),
        ..Options::default()
    };
    let over = |flags: &[&str]| {
        resolve(vec![(Origin::Flag, parse_str(flags)), (Origin::ConfigFile, saved.clone())])
            .unwrap()
    };
    let embedded = Validation::File("embedded".into());
    assert_eq!(over(&[]).validation, embedded);
    assert_eq!(over(&["--train_csv=own.csv"]).validation, Validation::Split(0.1));
    assert_eq!(over(&["--train_csv=own.csv", "--val_csv=embedded"]).validation, embedded);
    assert_eq!(over(&["--model_name=owner/base"]).revision.as_deref(), Some("c0ffee"));
    assert_eq!(over(&["--model_name=owner/other"]).revision, None);
}

#[test]
fn a_switch_of_the_file_can_be_turned_off() {
    let file = Options { no_shuffle: Some(true), ..Options::default() };
    let settings = resolve(vec![
        (Origin::Flag, parse_str(&["--no_shuffle=false"])),
        (Origin::ConfigFile, file),
    ])
    .unwrap();
    assert!(settings.train.shuffle);
    let settings =
        resolve(vec![(Origin::Flag, parse_str(&["--no-shuffle", "--seed", "1"]))]).unwrap();
    assert!(!settings.train.shuffle);
}

#[test]
fn the_validation_file_of_phase_1_is_found_beside_its_training_file() {
    let dir = tempfile::tempdir().unwrap();
    let (train, val) =
        (dir.path().join("train_set_processed.csv"), dir.path().join("val_set_processed.csv"));
    let with = |train: &PathBuf, val_split| {
        let options = Options { train_csv: Some(train.clone()), val_split, ..Options::default() };
        resolve(vec![(Origin::Flag, options)]).unwrap()
    };
    assert_eq!(with(&train, None).validation, Validation::Split(0.1));
    std::fs::write(&val, "").unwrap();
    let settings = with(&train, None);
    assert_eq!(settings.validation, Validation::File(val.clone()));
    assert_eq!(entry(&settings, "val_split").shown(), "-");
    assert_eq!(with(&train, Some(0.2)).validation, Validation::File(val.clone()), "as promised");
    assert_eq!(with(&dir.path().join("other.csv"), None).validation, Validation::Split(0.1));
}

#[test]
fn an_initial_adapter_sets_rank_alpha_and_targets_but_not_dropout() {
    let settings = resolve_from(vec![], Some(adapter("v_proj,q_proj"))).unwrap();
    assert_eq!(
        (settings.lora.r, settings.lora.lora_alpha, settings.lora.lora_dropout),
        (4, 12.0, 0.05)
    );
    assert_eq!(settings.init_adapter.as_ref().unwrap().lora, settings.lora);
    assert_eq!(entry(&settings, "lora_r").origin, Origin::InitAdapter);
    assert_eq!(entry(&settings, "lora_target_modules").shown(), "v_proj,q_proj");

    let same = parse_str(&[
        "--lora_r",
        "4",
        "--lora_alpha",
        "12",
        "--lora_target_modules",
        "q_proj, v_proj",
    ]);
    assert!(resolve_from(vec![(Origin::Flag, same)], Some(adapter("v_proj,q_proj"))).is_ok());
}

#[test]
fn an_initial_adapter_brings_its_prompt_unless_another_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Some(PeftAdapter { dir: dir.path().into(), ..adapter("v_proj,q_proj") });
    let settings = resolve_from(vec![], start()).unwrap();
    assert_eq!(entry(&settings, "prompt_template").origin, Origin::Default);

    let saved = SftConfig {
        prompt_template: "[INST] {clinical_note} [/INST]".into(),
        summary_lead: " ".into(),
        max_length: 99,
        eos_token_id: 260,
        base_model: "base".into(),
        sft_version: "0.1.0".into(),
    };
    saved.save(dir.path()).unwrap();
    let settings = resolve_from(vec![], start()).unwrap();
    assert_eq!(entry(&settings, "prompt_template").origin, Origin::InitAdapter);
    assert_eq!(entry(&settings, "prompt_template").shown(), saved.prompt_template);
    assert_eq!(settings.max_length, 512);
    let (template, end) = settings.template.resolve("nowhere".as_ref()).unwrap();
    assert_eq!((template.lead(), end), (" ", Some(260)));
    // read again where the run is repeated or resumed
    assert!(!settings.to_toml().contains("prompt_template"));

    for origin in [Origin::Flag, Origin::ResumedRun] {
        let prompt_template = Some("chat".to_owned());
        let own = Options { prompt_template, ..Options::default() };
        let settings = resolve_from(vec![(origin, own)], start()).unwrap();
        assert_eq!(settings.template, TemplateChoice::Chat);
        assert!(settings.to_toml().contains("prompt_template = \"chat\""));
    }
    std::fs::write(dir.path().join(SftConfig::FILE_NAME), "{}").unwrap();
    assert!(resolve_from(vec![], start()).unwrap_err().contains(SftConfig::FILE_NAME));
}

#[test]
fn what_contradicts_the_initial_adapter_is_named_with_both_values() {
    let other = parse_str(&["--lora_r", "8", "--lora_target_modules", "all-linear"]);
    let error =
        resolve_from(vec![(Origin::Flag, other)], Some(adapter("v_proj,q_proj"))).unwrap_err();
    for text in [
        "lora_r is 8 (flag)",
        "start has 4",
        "lora_target_modules is all-linear",
        "v_proj,q_proj",
        "leave lora_r out",
    ] {
        assert!(error.contains(text), "{text} is missing in: {error}");
    }
}

#[test]
fn every_problem_is_listed_at_once() {
    let wrong = parse_str(&[
        "--model_name=./nowhere",
        "--batch_size=0",
        "--lora_r=0",
        "--lora_dropout=1",
        "--val_split=1.5",
        "--device=tpu",
        "--dtype=int4",
        "--quantize=fp4",
        "--lr_scheduler=step",
        "--lora_target_modules=q_(proj",
        "--prompt_template=no place",
        "--max_length=0",
        "--learning_rate=-1",
    ]);
    let error = resolve(vec![(Origin::Flag, wrong)]).unwrap_err();
    for text in [
        "settings cannot be used",
        "no folder ./nowhere",
        "batch_size",
        "r is 0",
        "lora_dropout",
        "val_split is 1.5",
        "tpu",
        "int4",
        "step",
        "q_(proj",
        "{clinical_note}",
        "max_length is 0",
        "learning_rate is -1",
    ] {
        assert!(error.contains(text), "{text} is missing in: {error}");
    }
    let error =
        resolve(vec![(Origin::Flag, parse_str(&["--early_stopping_patience=2", "--val_split=0"]))])
            .unwrap_err();
    assert!(error.contains("--val_csv"), "{error}");
}

#[test]
fn a_split_beside_a_validation_file_is_noted() {
    let mut notes = Vec::new();
    let options = Options { val_csv: Some("val.csv".into()), val_split: Some(0.2), ..base() };
    Settings::resolve(vec![(Origin::Flag, options)], None, &mut notes).unwrap();
    assert!(notes.iter().any(|note| note.contains("val_split is not used")), "{notes:?}");
}

#[test]
fn the_saved_configuration_repeats_the_run() {
    let args: Vec<String> = TYPED
        .iter()
        .filter(|(name, _)| !["init_adapter", "val_split"].contains(name))
        .map(|(name, _)| format!("--{name}={}", typed(name)))
        .collect();
    let first =
        Settings::resolve(vec![(Origin::Flag, parse(&args))], None, &mut Vec::new()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run_config.toml");
    std::fs::write(&path, first.to_toml()).unwrap();
    let saved = file::read(&path).unwrap_or_else(|error| panic!("{error}\n{}", first.to_toml()));
    let second =
        Settings::resolve(vec![(Origin::ConfigFile, saved)], None, &mut Vec::new()).unwrap();
    for (one, two) in first.entries.iter().zip(&second.entries) {
        if !["resume", "dry_run"].contains(&one.name) {
            assert_eq!(one.value, two.value, "{}", one.name);
        }
    }
    assert_eq!(second.template, first.template);
    assert_eq!(first.to_toml().matches("# flag").count(), TYPED.len() - 4);
    assert!(second.resume == ResumeFrom::Fresh && !second.dry_run);
}
