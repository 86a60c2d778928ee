//! A tiny model, a byte-level tokenizer and a few rows, made anew for each test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of it"
)]

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

const HIDDEN: usize = 16;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 4;
const INTERMEDIATE: usize = 24;
const LAYERS: usize = 2;
/// 256 bytes, one merge, BOS and EOS.
const VOCAB: usize = 259;
const BOS: usize = 257;
const EOS: usize = 258;

/// A folder with `model/` and `train.csv`, and processes that run in it.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The ending of a process that must have succeeded.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// The first line that reports an error.
    pub(crate) fn error_line(&self) -> &str {
        self.stderr.lines().find(|line| line.starts_with("error:")).unwrap_or_default()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap() };
        write_model(&fixture.path("model"));
        std::fs::write(fixture.path("train.csv"), csv(&rows())).unwrap();
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    /// `sft-train` in the fixture's folder, with nothing of the caller's environment that matters.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sft-train"));
        command
            .current_dir(self.dir.path())
            .args(args)
            .env_remove("RUST_LOG")
            .env("RAYON_NUM_THREADS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// Runs with the model and the training file of the fixture.
    pub(crate) fn train(&self, args: &[&str]) -> Ended {
        self.run(&[&["--model_name", "model", "--train_csv", "train.csv"], args].concat())
    }
}

/// Every file under a folder with its content, by relative path.
pub(crate) fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((
                    path.strip_prefix(root).unwrap().to_owned(),
                    std::fs::read(&path).unwrap(),
                ));
            }
        }
    }
    files.sort();
    files
}

/// Notes of uneven lengths; a note with two summaries; one row that must not train.
pub(crate) fn rows() -> Vec<[String; 5]> {
    let notes = [
        ("a", "Patient has a cough.\nNo fever.", "the cough is dry", "factual"),
        (
            "b",
            "Fell from a \"low\" wall, hurts the left wrist; X-ray shows no break.",
            "wrist sprain",
            " Factual ",
        ),
        ("c", "Headache.", "headache", "FACTUAL"),
        ("d", "Headache.", "the head aches", "factual"),
        (
            "e",
            "Diabetes mellitus type 2, metformin 500 mg twice a day, HbA1c 7.2 %.",
            "T2DM on metformin",
            "factual",
        ),
        ("f", "Chest pain since this morning.", "chest pain for a year", "hallucinated"),
        ("g", "Sore throat, größere Mandeln.", "tonsillitis", "factual"),
        ("h", "Back pain after lifting a box.", "lumbar strain", "factual"),
        (
            "i",
            "Rash on both arms, itching at night, new soap at home.",
            "contact dermatitis, likely the soap",
            "factual",
        ),
        (
            "j",
            "Follow-up: blood pressure 128/82, feels well.",
            "blood pressure controlled",
            "factual",
        ),
    ];
    let row = |(id, note, summary, label): (&str, &str, &str, &str)| {
        [id, note, summary, label, ""].map(str::to_owned)
    };
    notes.into_iter().map(row).collect()
}

/// Rows as a CSV file with its header.
pub(crate) fn csv(rows: &[[String; 5]]) -> String {
    let mut text = String::from("id,clinical_note,model_summary,label,hallucination_type\n");
    for row in rows {
        let fields: Vec<String> =
            row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        writeln!(text, "{}", fields.join(",")).unwrap();
    }
    text
}

fn write_model(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "float32",
        "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM,
        "vocab_size": VOCAB, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "bos_token_id": BOS, "eos_token_id": EOS, "tie_word_embeddings": false,
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("tokenizer_config.json"), json!({ "eos_token": "</s>" }).to_string())
        .unwrap();
    std::fs::write(dir.join("tokenizer.json"), tokenizer().to_string()).unwrap();
    let tensors = weights();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).unwrap();
}

fn weights() -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
        ("lm_head.weight".to_owned(), vec![VOCAB, HIDDEN]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![q, HIDDEN]),
            ("self_attn.k_proj", vec![kv, HIDDEN]),
            ("self_attn.v_proj", vec![kv, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, q]),
            ("mlp.gate_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.up_proj", vec![INTERMEDIATE, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, INTERMEDIATE]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut uniform = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let center = if shape.len() == 1 { 1.0 } else { 0.0 };
        let bytes = (0..shape.iter().product())
            .flat_map(|_| (center + 0.5 * uniform()).to_le_bytes())
            .collect();
        (name, shape, bytes)
    };
    shapes.into_iter().map(tensor).collect()
}

/// Byte-level BPE whose only merge is a space with a `t`.
fn tokenizer() -> Value {
    // GPT-2's printable stand-ins for the 256 bytes.
    let printable = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256_u32).filter(|byte| !printable(byte)).zip(256..);
    let stand_ins: HashMap<u32, u32> = others.collect();
    let symbol = |byte: u32| {
        char::from_u32(stand_ins.get(&byte).copied().unwrap_or(byte)).unwrap().to_string()
    };
    let mut vocab: HashMap<String, usize> =
        (0..256).map(|byte| (symbol(byte), byte as usize)).collect();
    vocab.insert("Ġt".to_owned(), 256);
    let special = |id: usize, content: &str| json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true });
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [special(BOS, "<s>"), special(EOS, "</s>")],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "SpecialToken": { "id": "<s>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [BOS], "tokens": ["<s>"] } },
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [["Ġ", "t"]],
        },
    })
}
