//! Files made to break a reader: each is refused by one clear error, in bounded memory and time.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, Fixture, csv, rows};
use serde_json::{Value, json};

/// Address space of a run, in KiB: the program, its libraries and a tiny model need about a fifth of it.
const MEMORY: &str = "1500000";
const PATIENCE: Duration = Duration::from_secs(20);

/// A file of a run, and what stands in it instead.
struct Attack {
    name: String,
    file: &'static str,
    content: Vec<u8>,
    args: &'static [&'static str],
}

fn attack(
    name: impl Into<String>,
    file: &'static str,
    content: impl Into<Vec<u8>>,
    args: &'static [&'static str],
) -> Attack {
    Attack { name: name.into(), file, content: content.into(), args }
}

/// A program of a shell that limits the memory of what it becomes.
fn run(fixture: &Fixture, args: &[&str]) -> Ended {
    let common =
        ["--model_name=model", "--train_csv=train.csv", "--max_steps=1", "--output_dir=out"];
    let plain = fixture.command(&[&common[..], args].concat());
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", MEMORY]).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(fixture.path("")).stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ended::from(command.output().unwrap())
}

fn check(attacks: Vec<Attack>) -> usize {
    let count = attacks.len();
    for Attack { name, file, content, args } in attacks {
        let fixture = Fixture::new();
        fixture.write(file, content);
        let started = Instant::now();
        let ended = run(&fixture, args);
        assert!(started.elapsed() < PATIENCE, "{name}: it took {:?}", started.elapsed());
        assert!(matches!(ended.code, Some(1 | 2)), "{name}: {:?}: {}", ended.code, ended.stderr);
        let errors = ended.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(errors, 1, "{name}: {}", ended.stderr);
        let line = ended.error_line();
        assert!(!line.contains("fault in the program"), "{name}: {}", ended.stderr);
        assert!(line.len() > 20 && line.len() < 2000, "{name}: {line}");
        assert!(!fixture.path("out/final_model").exists(), "{name}");
    }
    println!("{count} hostile files refused");
    count
}

const WEIGHTS: &str = "model/model.safetensors";

fn header_and_data(fixture: &Fixture) -> (Value, Vec<u8>) {
    let bytes = fixture.read(WEIGHTS);
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

fn nested(depth: usize) -> Vec<u8> {
    [vec![b'['; depth], vec![b']'; depth]].concat()
}

fn weights() -> Vec<Attack> {
    let fixture = Fixture::new();
    let (header, data) = header_and_data(&fixture);
    let name = "model.norm.weight";
    let mut attacks = vec![
        attack("nothing", WEIGHTS, [], &[]),
        attack("seven bytes", WEIGHTS, [1; 7], &[]),
        attack("a header of all bytes there are", WEIGHTS, u64::MAX.to_le_bytes(), &[]),
        attack("a header longer than the file", WEIGHTS, 4096u64.to_le_bytes(), &[]),
        attack("a header of 50 MB", WEIGHTS, safetensors(&vec![b' '; 50 << 20], &[]), &[]),
        attack("a header that is no JSON", WEIGHTS, safetensors(b"{\"a\":", &data), &[]),
        attack("a header of a list", WEIGHTS, safetensors(b"[]", &data), &[]),
        attack("a header without tensors", WEIGHTS, safetensors(b"{}", &[]), &[]),
        attack("a deep header", WEIGHTS, safetensors(&nested(100_000), &[]), &[]),
        attack("data without tensors", WEIGHTS, safetensors(b"{}", &data), &[]),
        attack(
            "data cut short",
            WEIGHTS,
            {
                let bytes = fixture.read(WEIGHTS);
                bytes[..bytes.len() - 1].to_vec()
            },
            &[],
        ),
        attack("data too long", WEIGHTS, [fixture.read(WEIGHTS), vec![0; 4]].concat(), &[]),
    ];
    let edits: Vec<(&str, Value)> = vec![
        ("an unknown type", json!({"dtype": "F31", "shape": [64], "data_offsets": [0, 256]})),
        ("offsets turned round", json!({"dtype": "F32", "shape": [64], "data_offsets": [256, 0]})),
        (
            "offsets beyond the data",
            json!({"dtype": "F32", "shape": [64], "data_offsets": [0, 1u64 << 40]}),
        ),
        (
            "offsets that overlap others",
            json!({"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}),
        ),
        (
            "a shape that overflows",
            json!({"dtype": "F32", "shape": [1u64 << 40, 1u64 << 40], "data_offsets": [0, 0]}),
        ),
        ("a shape of nothing", json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})),
        (
            "a shape of ten thousand dimensions",
            json!({"dtype": "F32", "shape": vec![1; 10_000], "data_offsets": [0, 4]}),
        ),
        ("a negative offset", json!({"dtype": "F32", "shape": [64], "data_offsets": [-4, 252]})),
        (
            "offsets that are text",
            json!({"dtype": "F32", "shape": [64], "data_offsets": ["0", "256"]}),
        ),
        ("no offsets", json!({"dtype": "F32", "shape": [64]})),
        ("integers for weights", json!({"dtype": "I64", "shape": [32], "data_offsets": [0, 256]})),
        ("null for a tensor", Value::Null),
    ];
    for (what, value) in edits {
        let mut header = header.clone();
        header[name] = value;
        let header = serde_json::to_vec(&header).unwrap();
        attacks.push(attack(what, WEIGHTS, safetensors(&header, &data), &[]));
    }
    attacks
}

fn configurations() -> Vec<Attack> {
    const FILE: &str = "model/config.json";
    let config = Fixture::new().json(FILE);
    let mut attacks = vec![
        attack("config: nothing", FILE, [], &[]),
        attack("config: deep", FILE, nested(200_000), &[]),
        attack("config: 20 MB", FILE, vec![b' '; 20 << 20], &[]),
        attack("config: a list", FILE, "[1, 2]", &[]),
        attack("config: not UTF-8", FILE, [0xff, 0xfe, b'{'], &[]),
        attack("config: a lone surrogate", FILE, r#"{"model_type": "\ud800"}"#, &[]),
    ];
    for (key, value) in [
        ("hidden_size", json!(1u64 << 60)),
        ("hidden_size", json!(-1)),
        ("num_hidden_layers", json!(4_000_000_000u64)),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("vocab_size", json!(1u64 << 62)),
        ("head_dim", json!(7)),
        ("rms_norm_eps", json!("1e-5")),
        ("rope_theta", json!(0)),
        ("intermediate_size", json!(1e300)),
        ("model_type", json!("x".repeat(1_000_000))),
    ] {
        let mut config = config.clone();
        config[key] = value;
        attacks.push(attack(format!("config: {key}"), FILE, config.to_string(), &[]));
    }
    attacks
}

fn tokenizers() -> Vec<Attack> {
    const FILE: &str = "model/tokenizer.json";
    let tokenizer = Fixture::new().json(FILE);
    let bomb = json!({"type": "Precompiled", "precompiled_charsmap": "/P///wAA"});
    let edited = |pointer: &str, value: Value| {
        let mut tokenizer = tokenizer.clone();
        *tokenizer.pointer_mut(pointer).unwrap() = value;
        tokenizer.to_string()
    };
    vec![
        attack("tokenizer: nothing", FILE, [], &[]),
        attack("tokenizer: deep", FILE, nested(200_000), &[]),
        attack("tokenizer: an empty object", FILE, "{}", &[]),
        attack("tokenizer: no model", FILE, edited("/model", Value::Null), &[]),
        attack(
            "tokenizer: an unknown model",
            FILE,
            edited("/model", json!({"type": "Oracle"})),
            &[],
        ),
        attack("tokenizer: a vocabulary of nothing", FILE, edited("/model/vocab", json!({})), &[]),
        attack(
            "tokenizer: ids beyond the model",
            FILE,
            edited("/model/vocab/a", json!(4_000_000_000u32)),
            &[],
        ),
        attack("tokenizer: a negative id", FILE, edited("/model/vocab/a", json!(-1)), &[]),
        attack(
            "tokenizer: merges of unknown pieces",
            FILE,
            edited("/model/merges", json!([["zz", "yy"]])),
            &[],
        ),
        attack("tokenizer: a lone surrogate", FILE, r#"{"version": "\udc00"}"#, &[]),
        // A table that says it has 4 GB, for which the library would reserve 8 GB.
        attack("tokenizer: tables without end", FILE, edited("/normalizer", bomb.clone()), &[]),
        attack(
            "tokenizer: tables without end in a sequence",
            FILE,
            edited("/normalizer", json!({"type": "Sequence", "normalizers": [bomb]})),
            &[],
        ),
    ]
}

fn tables() -> Vec<Attack> {
    const FILE: &str = "train.csv";
    let good = csv(&rows());
    let header = "id,clinical_note,model_summary,label,hallucination_type\n";
    vec![
        attack("csv: nothing", FILE, [], &[]),
        attack("csv: a header alone", FILE, header, &[]),
        attack("csv: NULs", FILE, [good.as_bytes(), &[0; 100]].concat(), &[]),
        attack(
            "csv: UTF-16",
            FILE,
            good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            &[],
        ),
        attack("csv: not UTF-8", FILE, [good.as_bytes(), b"x,\xff\xfe,s,factual,\n"].concat(), &[]),
        attack("csv: a quote without end", FILE, format!("{good}x,\"note,s,factual,\n"), &[]),
        attack("csv: a field too many", FILE, format!("{good}x,n,s,factual,,more\n"), &[]),
        attack("csv: a field too few", FILE, format!("{good}x,n\n"), &[]),
        attack("csv: a column twice", FILE, format!("id,id,{}", &header[3..]), &[]),
        attack("csv: a million columns", FILE, "a,".repeat(1_000_000), &[]),
        attack("csv: no known column", FILE, "a,b\n1,2\n", &[]),
        attack("csv: nothing factual", FILE, format!("{header}x,n,s,hallucinated,\n"), &[]),
    ]
}

fn settings() -> Vec<Attack> {
    const FILE: &str = "run.toml";
    const ARGS: &[&str] = &["--config=run.toml"];
    vec![
        attack("toml: no TOML", FILE, "= 1", ARGS),
        attack("toml: deep", FILE, [b"seed = ".to_vec(), nested(100_000)].concat(), ARGS),
        attack("toml: 20 MB", FILE, vec![b' '; 20 << 20], ARGS),
        attack("toml: an unknown key", FILE, "batch_szie = 1", ARGS),
        attack("toml: a wrong type", FILE, "seed = \"x\"", ARGS),
        attack("toml: a number out of range", FILE, "batch_size = 99999999999999999999", ARGS),
        attack("toml: not UTF-8", FILE, [0xff, 0xfe], ARGS),
        attack(
            "toml of the model: deep",
            "model/recommended_sft.toml",
            [b"seed = ".to_vec(), nested(100_000)].concat(),
            &[],
        ),
        attack(
            "toml of the model: a setting that is the user's",
            "model/recommended_sft.toml",
            "output_dir = \"/\"",
            &[],
        ),
    ]
}

fn adapters() -> Vec<Attack> {
    const FILE: &str = "adapter/adapter_config.json";
    const ARGS: &[&str] = &["--init_adapter=adapter"];
    let config = |edit: Value| {
        let mut config = json!({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8,
            "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj"]});
        for (key, value) in edit.as_object().unwrap() {
            config[key] = value.clone();
        }
        config.to_string()
    };
    vec![
        attack("adapter: nothing", FILE, [], ARGS),
        attack("adapter: deep", FILE, nested(200_000), ARGS),
        attack("adapter: rank 0", FILE, config(json!({"r": 0})), ARGS),
        attack("adapter: a rank beyond numbers", FILE, config(json!({"r": 1u64 << 62})), ARGS),
        attack("adapter: a negative rank", FILE, config(json!({"r": -4})), ARGS),
        attack("adapter: a broken pattern", FILE, config(json!({"target_modules": "(((("})), ARGS),
        attack(
            "adapter: a pattern that explodes",
            FILE,
            config(json!({"target_modules": "((a{1000}){1000}){1000}"})),
            ARGS,
        ),
        attack("adapter: another kind", FILE, config(json!({"peft_type": "IA3"})), ARGS),
        attack("adapter: no weights", FILE, config(json!({})), ARGS),
        attack("adapter: weights that are no zip", "adapter/adapter_model.bin", "not a zip", ARGS),
    ]
}

fn indices() -> Vec<Attack> {
    const FILE: &str = "model/model.safetensors.index.json";
    let to = |name: &str| json!({"weight_map": {"model.norm.weight": name}}).to_string();
    vec![
        attack("index: out of the folder", FILE, to("../../../etc/passwd"), &[]),
        attack("index: an absolute path", FILE, to("/etc/passwd"), &[]),
        attack("index: a name with a control character", FILE, to("a\u{0}b"), &[]),
        attack("index: a missing shard", FILE, to("model-00001-of-00002.safetensors"), &[]),
        attack("index: a folder", FILE, to("."), &[]),
        attack("index: deep", FILE, nested(200_000), &[]),
        attack("index: no map", FILE, "{}", &[]),
    ]
}

#[test]
fn hostile_weights_are_refused() {
    check(weights());
}

#[test]
fn hostile_settings_and_tables_are_refused() {
    check([configurations(), tables(), settings()].into_iter().flatten().collect());
}

#[test]
fn hostile_tokenizers_adapters_and_indices_are_refused() {
    check([tokenizers(), adapters(), indices()].into_iter().flatten().collect());
}

#[test]
fn there_are_at_least_sixty() {
    let all =
        [weights(), configurations(), tokenizers(), tables(), settings(), adapters(), indices()];
    assert!(all.iter().map(Vec::len).sum::<usize>() >= 60);
}
