//! Ten AdamW steps of PyTorch, PEFT and transformers' cosine schedule, through the trainer. `scripts/make_golden.py`
//! (`ten_steps`) is the code that made the numbers: warm-up from a rate of 0, decay, clipping that bites in every step.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors};
use sft_dataset::{Example, SftConfig};
use sft_lora::peft::load_adapter;
use sft_model::{Decoder, ModelDir, runtime::DeviceChoice};
use sft_trainer::{
    Event, Observer, Outcome, ResumeFrom, RunFiles, Scheduler, StepRecord, StopFlag, TrainConfig,
    Trainer,
};

/// The steps so far; after `stop_after` of them the flag is set.
#[derive(Default)]
struct Steps {
    records: Vec<StepRecord>,
    stop_after: Option<usize>,
    stop: StopFlag,
}

impl Observer for Steps {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Step(record) = event {
            self.records.push(*record);
            if self.stop_after == Some(record.step) {
                self.stop.set();
            }
        }
    }
}

/// The golden sequences as examples.
fn examples(golden: &HashMap<String, Tensor>) -> Vec<Example> {
    let integers = |key: &str| golden[key].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    let (ids, first) = (integers("ids"), integers("first_target"));
    let sequence = |(i, border): (usize, &[u32])| Example {
        ids: ids[border[0] as usize..border[1] as usize].to_vec(),
        first_target: first[i] as usize,
        index: i as u64,
        line: i as u64 + 2,
    };
    integers("cu_seqlens").windows(2).enumerate().map(sequence).collect()
}

/// Trains on the golden sequences, all three in each step, and stops and resumes after some of the steps.
fn run(
    name: &str,
    batch_size: usize,
    gradient_accumulation_steps: usize,
    stops: &[usize],
) -> (HashMap<String, Tensor>, Vec<StepRecord>) {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden");
    let source = std::env::var_os("SFT_GOLDEN").map_or_else(here, PathBuf::from).join(name);
    let device = std::env::var("SFT_TEST_DEVICE")
        .map_or(Device::Cpu, |name| name.parse::<DeviceChoice>().unwrap().open().unwrap());
    let golden = safetensors::load(source.join("golden.safetensors"), &Device::Cpu).unwrap();
    let model = || {
        let mut model =
            Decoder::load(&ModelDir::open(&source).unwrap(), DType::F32, &device).unwrap();
        model.load_lora(&load_adapter(&source.join("adapter"), &Device::Cpu).unwrap()).unwrap();
        model
    };

    let config = TrainConfig {
        max_steps: Some(10),
        batch_size,
        gradient_accumulation_steps,
        learning_rate: 1e-3,
        lr_scheduler: Scheduler::Cosine,
        warmup_ratio: 0.2,
        weight_decay: 0.01,
        max_grad_norm: 0.5,
        shuffle: false,
        gradient_checkpointing: batch_size > 1,
        save_total_limit: Some(1),
        ..TrainConfig::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let tokenizer_json = dir.path().join("tokenizer.json");
    fs::write(&tokenizer_json, "{}").unwrap();
    let files = RunFiles {
        output_dir: dir.path().join("run"),
        tokenizer_json,
        tokenizer_config: None,
        base_model_name: name.into(),
        base_model_revision: None,
        sft_config: SftConfig {
            prompt_template: "{clinical_note}".into(),
            summary_lead: String::new(),
            max_length: 32,
            eos_token_id: 2,
            base_model: name.into(),
            sft_version: "0.1.0".into(),
        },
        run_config_toml: String::new(),
    };
    let (mut steps, mut resume) = (Steps::default(), ResumeFrom::Fresh);
    for stop_after in stops.iter().copied().map(Some).chain([None]) {
        (steps.stop_after, steps.stop) = (stop_after, StopFlag::new());
        let (config, files) = (config.clone(), files.clone());
        let mut trainer = Trainer::new(config, model(), examples(&golden), vec![], files).unwrap();
        let stop = steps.stop.clone();
        let outcome = trainer.run(resume, &mut steps, &stop).unwrap();
        assert_eq!(matches!(outcome, Outcome::Completed { .. }), stop_after.is_none());
        resume = ResumeFrom::Auto;
    }
    (golden, steps.records)
}

fn assert_steps(name: &str, batch_size: usize, accumulation: usize, stops: &[usize]) {
    let (golden, steps) = run(name, batch_size, accumulation, stops);
    let expected = |key: &str| golden[key].to_vec1::<f64>().unwrap();
    let (losses, norms) = (expected("steps.loss"), expected("steps.grad_norm"));
    let rates = expected("steps.learning_rate");
    assert_eq!(steps.len(), 10);
    for (i, step) in steps.iter().enumerate() {
        let what = format!("{name} {batch_size}x{accumulation} step {}", i + 1);
        assert_eq!(
            (step.step, step.tokens, step.target_tokens, step.skipped),
            (i + 1, 40, 14, false),
            "{what}"
        );
        assert!(
            (step.loss - losses[i]).abs() < 1e-4,
            "{what}: loss {} for {}",
            step.loss,
            losses[i]
        );
        let off = (step.grad_norm / norms[i] - 1.0).abs();
        assert!(off < 1e-4, "{what}: norm {} for {}", step.grad_norm, norms[i]);
        assert!(
            (step.learning_rate - rates[i]).abs() < 1e-15,
            "{what}: rate {}",
            step.learning_rate
        );
    }
}

#[test]
fn ten_steps_of_each_architecture() {
    for name in ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"] {
        assert_steps(name, 3, 1, &[]);
    }
}

/// The loss of a step is weighted by tokens over the whole window, however it is cut into micro-batches.
#[test]
fn ten_steps_with_accumulation() {
    assert_steps("llama32", 1, 3, &[]);
    assert_steps("mistral", 2, 2, &[]); // windows of 2 + 1 sequences
}

/// A checkpoint brings the moments back, wherever they were.
#[test]
fn ten_steps_with_two_resumes() {
    assert_steps("llama2", 3, 1, &[3, 7]);
}
