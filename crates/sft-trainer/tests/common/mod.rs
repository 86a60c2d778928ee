//! A tiny random Llama, examples for it, and runs over them.
#![allow(dead_code, unreachable_pub, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use sft_dataset::{Example, SftConfig};
use sft_fixtures::LlamaShape;
use sft_kernels::random::{module_key, uniform};
use sft_lora::LoraConfig;
use sft_model::{Decoder, ModelDir};
use sft_trainer::{
    Event, Observer, Outcome, ResumeFrom, RunFiles, StopFlag, TrainConfig, TrainError, Trainer,
};
use tempfile::TempDir;

pub const VOCAB: u32 = 40;
/// Embedded as not-a-number in [`Case::broken_token`].
pub const BROKEN_TOKEN: u32 = 39;
pub const EOS: u32 = 2;

/// Everything a run is made of; tests change what they are about.
pub struct Case {
    pub root: TempDir,
    pub config: TrainConfig,
    pub lora: LoraConfig,
    pub train: Vec<Example>,
    pub val: Vec<Example>,
    pub out: PathBuf,
    /// Gives token [`BROKEN_TOKEN`] an embedding that is not a number.
    pub broken_token: bool,
}

impl Case {
    /// 11 examples in micro-batches of 2, windows of 2: 3 steps an epoch, 3 epochs, dropout 0.1.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        Self {
            root,
            config: TrainConfig {
                num_epochs: 3,
                batch_size: 2,
                gradient_accumulation_steps: 2,
                learning_rate: 5e-3,
                weight_decay: 0.01,
                seed: 7,
                ..TrainConfig::default()
            },
            lora: LoraConfig { r: 4, lora_alpha: 12.0, lora_dropout: 0.1, ..LoraConfig::default() },
            train: examples(11, 1),
            val: examples(5, 2),
            out,
            broken_token: false,
        }
    }

    pub fn decoder(&self) -> Decoder {
        let dir = self.root.path().join("base");
        if !dir.exists() {
            write_model(&dir, self.broken_token);
        }
        let mut decoder =
            Decoder::load(&ModelDir::open(&dir).unwrap(), DType::F32, &Device::Cpu).unwrap();
        decoder.add_lora(&self.lora, 11).unwrap();
        // B != 0, so that the gradient of A is not zero in the first step.
        for (name, var) in
            decoder.lora_parameters().iter().filter(|(name, _)| name.contains("lora_B"))
        {
            let values = normal(name, 5, var.elem_count(), 0.05);
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
        }
        decoder
    }

    pub fn files(&self) -> RunFiles {
        let tokenizer_json = self.root.path().join("tokenizer.json");
        fs::write(&tokenizer_json, r#"{"added_tokens": [{"id": 2, "content": "</s>"}]}"#).unwrap();
        RunFiles {
            output_dir: self.out.clone(),
            tokenizer_json,
            tokenizer_config: None,
            base_model_name: "./tiny".into(),
            base_model_revision: None,
            sft_config: SftConfig {
                prompt_template: "{clinical_note}\n".into(),
                summary_lead: String::new(),
                max_length: 64,
                eos_token_id: EOS,
                base_model: "./tiny".into(),
                sft_version: "test".into(),
            },
            run_config_toml: "seed = 7\n".into(),
        }
    }

    pub fn trainer(&self) -> Trainer {
        self.try_trainer().unwrap()
    }

    pub fn try_trainer(&self) -> Result<Trainer, TrainError> {
        Trainer::new(
            self.config.clone(),
            self.decoder(),
            self.train.clone(),
            self.val.clone(),
            self.files(),
        )
    }

    /// Runs a new trainer, as a new process would.
    pub fn run(&self, resume: ResumeFrom) -> Result<(Outcome, Log), TrainError> {
        let mut log = Log::default();
        let outcome = self.trainer().run(resume, &mut log, &StopFlag::new())?;
        Ok((outcome, log))
    }

    pub fn complete(&self, resume: ResumeFrom) -> Log {
        let (outcome, log) = self.run(resume).unwrap();
        assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
        log
    }

    /// Runs until the step is done, then sets the stop flag.
    pub fn stop_at(&self, step: usize, resume: ResumeFrom) -> Outcome {
        let stop = StopFlag::new();
        let flag = stop.clone();
        let mut observer = On(move |event: &Event<'_>| {
            if matches!(event, Event::Step(record) if record.step == step) {
                flag.set();
            }
        });
        self.trainer().run(resume, &mut observer, &stop).unwrap()
    }

    /// What a run leaves behind, but for times and memory.
    pub fn results(&self) -> Results {
        results(&self.out)
    }
}

#[derive(PartialEq)]
pub struct Results {
    pub adapter: Vec<u8>,
    pub torch_adapter: Vec<u8>,
    pub metrics: Vec<Value>,
    pub stats: Value,
}

pub fn results(out: &Path) -> Results {
    let mut metrics = metrics(out);
    metrics.iter_mut().for_each(strip_times);
    let mut stats = read_json(&out.join("training_stats.json"));
    strip_times(&mut stats);
    stats["epochs"].as_array_mut().unwrap().iter_mut().for_each(strip_times);
    Results {
        adapter: fs::read(out.join("final_model/adapter_model.safetensors")).unwrap(),
        torch_adapter: fs::read(out.join("final_model/adapter_model.bin")).unwrap(),
        metrics,
        stats,
    }
}

/// Says which part differs, without printing megabytes.
pub fn assert_same(a: &Results, b: &Results, what: &str) {
    assert_eq!(a.metrics, b.metrics, "metrics: {what}");
    assert_eq!(a.stats, b.stats, "stats: {what}");
    assert!(a.adapter == b.adapter, "adapter: {what}");
    assert!(a.torch_adapter == b.torch_adapter, "torch adapter: {what}");
}

fn strip_times(value: &mut Value) {
    for name in ["seconds", "tokens_per_s", "peak_memory_mb", "train_seconds"] {
        value.as_object_mut().unwrap().remove(name);
    }
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn metrics(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The names in a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn checkpoints(dir: &Path) -> Vec<String> {
    names(dir).into_iter().filter(|name| name.starts_with("checkpoint_")).collect()
}

/// The f32 tensors of a file whose names end in `suffix`.
pub fn tensors(path: &Path, suffix: &str) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values =
        |data: &[u8]| data.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let named = file.iter().filter(|(name, _)| name.ends_with(suffix));
    named.map(|(name, view)| (name.to_owned(), values(view.data()))).collect()
}

pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in names(from) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            copy_dir(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Remembers what happened, as text.
#[derive(Default)]
pub struct Log {
    pub events: Vec<String>,
    pub losses: Vec<f64>,
    pub grad_norms: Vec<f64>,
    pub warnings: Vec<String>,
}

impl Observer for Log {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Step(record) => {
                self.losses.push(record.loss);
                self.grad_norms.push(record.grad_norm);
            }
            Event::Warning { message } => self.warnings.push((*message).to_owned()),
            _ => {}
        }
        self.events.push(format!("{event:?}"));
    }
}

impl Log {
    pub fn has(&self, text: &str) -> bool {
        self.events.iter().any(|event| event.contains(text))
    }
}

/// An observer from a closure.
pub struct On<F>(pub F);

impl<F: FnMut(&Event<'_>)> Observer for On<F> {
    fn event(&mut self, event: &Event<'_>) {
        (self.0)(event);
    }
}

/// Examples of uneven length, with something to learn: a summary repeats the note's first token and counts up.
pub fn examples(count: usize, seed: u64) -> Vec<Example> {
    (0..count)
        .map(|index| {
            let draw = uniform(seed, index as u64, 3);
            let first = 4 + (draw[0] * 20.0) as u32;
            let note = 2 + (draw[1] * 9.0) as u32;
            let summary = 1 + (draw[2] * 5.0) as u32;
            let mut ids = vec![1];
            ids.extend((0..note).map(|i| first + i % 5));
            let first_target = ids.len();
            ids.extend((0..summary).map(|i| first + i));
            ids.push(EOS);
            Example { ids, first_target, index: index as u64, line: index as u64 + 2 }
        })
        .collect()
}

/// Roughly normal values that depend on the name alone.
fn normal(name: &str, seed: u64, len: usize, std: f32) -> Vec<f32> {
    let draws = uniform(seed, module_key(name), len * 12);
    draws.chunks(12).map(|draw| std * (draw.iter().sum::<f32>() - 6.0)).collect()
}

/// Two blocks, 4 query heads on 2 key/value heads, hidden 32.
fn write_model(dir: &Path, broken_token: bool) {
    let shape = LlamaShape {
        hidden_size: 32,
        intermediate_size: 48,
        head_dim: 8,
        vocab_size: VOCAB as usize,
        max_position_embeddings: 64,
        ..LlamaShape::default()
    };
    shape.write(dir, 3).unwrap();
    if broken_token {
        let path = dir.join("model.safetensors");
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let name = "model.embed_tokens.weight";
        let mut rows: Vec<Vec<f32>> = tensors[name].to_vec2().unwrap();
        rows[BROKEN_TOKEN as usize].fill(f32::NAN);
        tensors.insert(name.to_owned(), Tensor::new(rows, &Device::Cpu).unwrap());
        candle_core::safetensors::save(&tensors, path).unwrap();
    }
}
