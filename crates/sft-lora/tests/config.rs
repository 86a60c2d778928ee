//! Which modules get an adapter, of which rank and scale, and how a configuration is written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use sft_lora::{LoraConfig, LoraError, TargetModules};

const Q: &str = "model.layers.0.self_attn.q_proj";

fn targets(text: &str) -> TargetModules {
    text.parse().unwrap()
}

#[test]
fn names_match_exactly_or_after_a_dot() {
    let list = targets("q_proj,mlp.up_proj");
    for (module, expected) in [
        ("q_proj", true),
        (Q, true),
        ("model.layers.0.self_attn.xq_proj", false),
        ("model.layers.0.q_proj.inner", false),
        ("model.layers.3.mlp.up_proj", true),
        ("up_proj", false),
        ("model.xmlp.up_proj", false),
    ] {
        assert_eq!(list.matches(module, false).unwrap(), expected, "{module}");
    }
}

#[test]
fn a_string_is_a_full_match_regex() {
    let regex = targets(r".*\.(q|v)_proj|lm_head");
    for (module, expected) in [
        (Q, true),
        ("model.layers.0.self_attn.v_proj", true),
        ("model.layers.0.self_attn.q_proj.x", false),
        ("q_proj", false),
        ("lm_head", true),
        // without a group around the pattern, the anchors would bind to one alternative each
        ("x.lm_head", false),
        ("a.q_proj_more", false),
    ] {
        assert_eq!(regex.matches(module, false).unwrap(), expected, "{module}");
    }
    // look-around is Python's too
    let regex = targets(r"model\.layers\.(?!0\.).*_proj");
    assert!(!regex.matches(Q, false).unwrap());
    assert!(regex.matches("model.layers.1.mlp.up_proj", false).unwrap());
}

#[test]
fn all_linear_leaves_the_head_out() {
    let all = targets("all-linear");
    assert_eq!(all, TargetModules::AllLinear);
    assert!(all.matches("anything.at.all", false).unwrap());
    assert!(!all.matches("lm_head", true).unwrap());
    assert!(targets("lm_head").matches("lm_head", true).unwrap(), "asked for by name");
}

#[test]
fn command_line_text() {
    assert_eq!(
        targets(" q_proj , self_attn.v_proj"),
        TargetModules::List(vec!["q_proj".into(), "self_attn.v_proj".into()])
    );
    assert_eq!(targets("c_attn"), TargetModules::List(vec!["c_attn".into()]));
    assert_eq!(targets(".*_proj"), TargetModules::Regex(".*_proj".into()));
    for text in ["all-linear", "q_proj,v_proj", r".*\.(q|v)_proj"] {
        assert_eq!(targets(text).to_string(), text);
    }
    for empty in ["", "  ", "q_proj,", ",", "q_proj v_proj"] {
        assert!(
            matches!(empty.parse::<TargetModules>(), Err(LoraError::Targets { .. })),
            "{empty:?}"
        );
    }
}

#[test]
fn a_bad_regex_says_where() {
    for (text, at) in [
        (".*_proj|(q_proj", "position 15"),
        ("*_proj", "position 0"),
        (".*_proj[", "position 8"),
        (r"q_proj\", "position 6"),
        ("q_proj(?P<x", "position 7"),
    ] {
        let error = text.parse::<TargetModules>().unwrap_err();
        assert!(matches!(error, LoraError::Pattern { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(&format!("{text:?}")) && message.contains(at), "{message}");
    }
}

#[test]
fn patterns_match_as_peft_matches_them() {
    // peft/utils/other.py::get_pattern_key: re.match(rf"(.*\.)?({key})$", module)
    let config = LoraConfig {
        r: 8,
        lora_alpha: 12.0,
        rank_pattern: BTreeMap::from([
            ("k_proj".into(), 2),
            (r"layers\.\d+\.mlp\.up_proj".into(), 3),
            ("^model.layers.0.self_attn.q_proj".into(), 5),
        ]),
        alpha_pattern: BTreeMap::from([("self_attn.(q|v)_proj".into(), 1.5)]),
        ..LoraConfig::default()
    };
    for (module, rank, alpha) in [
        ("model.layers.0.self_attn.k_proj", 2, 12.0),
        ("k_proj", 2, 12.0),
        ("model.layers.0.self_attn.xk_proj", 8, 12.0),
        ("model.layers.0.self_attn.k_proj.x", 8, 12.0),
        ("model.layers.17.mlp.up_proj", 3, 12.0),
        (Q, 5, 1.5),
        ("model.layers.1.self_attn.q_proj", 8, 1.5),
    ] {
        assert_eq!(config.rank_for(module), rank, "{module}");
        assert_eq!(config.alpha_for(module), alpha, "{module}");
        assert_eq!(config.scale_for(module), alpha / rank as f64, "{module}");
    }
    let rslora = LoraConfig { use_rslora: true, ..config };
    assert_eq!(rslora.scale_for(Q), 1.5 / 5f64.sqrt());
}

#[test]
fn every_problem_at_once() {
    let config = LoraConfig {
        r: 0,
        lora_alpha: f64::NAN,
        lora_dropout: 1.0,
        target_modules: TargetModules::Regex("(".into()),
        use_rslora: false,
        rank_pattern: BTreeMap::from([("q_proj".into(), 0), ("[".into(), 4)]),
        alpha_pattern: BTreeMap::from([("v_proj".into(), -1.0), ("*".into(), 4.0)]),
    };
    let error = config.validate().unwrap_err();
    let LoraError::Config { problems } = &error else { panic!("{error:?}") };
    assert_eq!(problems.len(), 8, "{problems:#?}");
    for part in [
        "r is 0",
        "lora_alpha",
        "lora_dropout",
        "target_modules",
        "q_proj",
        "\"[\"",
        "v_proj",
        "\"*\"",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(LoraConfig::default().validate().is_ok());
    let none = LoraConfig { target_modules: TargetModules::List(vec![]), ..LoraConfig::default() };
    assert!(none.validate().is_err());
}

#[test]
fn toml_and_json_forms() {
    #[derive(serde::Deserialize)]
    struct File {
        lora: LoraConfig,
    }
    let read = |text: &str| toml::from_str::<File>(&format!("[lora]\n{text}")).map(|f| f.lora);
    let config = read("r = 4\nlora_alpha = 6\ntarget_modules = ['q_proj', 'v_proj']\nrank_pattern = { k_proj = 2 }").unwrap();
    assert_eq!((config.r, config.lora_alpha, config.lora_dropout), (4, 6.0, 0.05));
    assert_eq!(config.target_modules, targets("q_proj,v_proj"));
    assert_eq!(config.rank_pattern["k_proj"], 2);
    assert_eq!(read("target_modules = 'all-linear'").unwrap(), LoraConfig::default());
    assert_eq!(
        read("target_modules = 'q_proj'").unwrap().target_modules,
        TargetModules::Regex("q_proj".into()),
        "a string in a file is a regex, as in PEFT"
    );
    assert!(read("rank = 4").unwrap_err().to_string().contains("rank"));
    assert!(read("target_modules = 4").unwrap_err().to_string().contains("target_modules"));

    for config in [LoraConfig::default(), config] {
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LoraConfig>(&json).unwrap(), config);
    }
}
