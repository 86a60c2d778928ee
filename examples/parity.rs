//! What this project computes on a model and a CSV file, in files that `scripts/parity.py` compares with transformers and PEFT.
//!
//! ```sh
//! cargo run --example parity -- MODEL_DIR ROWS.csv OUT_DIR [ROWS] [SEED]
//! ```
//!
//! Takes the first ROWS (200) factual rows that need no cutting, puts an adapter (r 8, alpha 16, all linear layers, neither matrix
//! zero) on the model, and writes to OUT_DIR, which must not exist:
//!
//! * `adapter/`: the adapter, as PEFT files;
//! * `parity.safetensors`: `ids`, `cu_seqlens` and `first_target` of every row; `nll` of every row (f64, summed over its
//!   targets); `logits` of the target rows of the first four examples; `grad.NAME` of the summed loss of the first eight;
//!   `steps.loss` and `steps.grad_norm` of ten AdamW steps (constant rate 1e-3, clipped at 0.5, eight rows a step, in order);
//! * `run/final_model/`: the adapter after these steps;
//! * `parity.json`: what was asked, the rows' texts, and what three notes are continued with, greedily, as ids.
#![allow(clippy::print_stdout)]

use std::{collections::HashMap, error::Error, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use sft::{
    dataset::{
        Batch, Dataset, Encoded, Example, PromptTemplate, PromptTokenizer, Record, SftConfig,
    },
    inference::{GenerationParams, Generator},
    kernels::random,
    lora::{
        LoraConfig,
        peft::{PeftConfig, save_adapter},
    },
    model::{Decoder, Gradients, ModelDir, Packed, Recompute, TrainPass},
    trainer::{
        Event, Observer, ResumeFrom, RunFiles, Scheduler, StepRecord, StopFlag, TrainConfig,
        Trainer,
    },
};

const MAX_LENGTH: usize = 512;
const WITH_LOGITS: usize = 4;
const BATCH: usize = 8;
const STEPS: usize = 10;
const NOTES: usize = 3;
const NEW_TOKENS: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: parity MODEL_DIR ROWS.csv OUT_DIR [ROWS] [SEED]";
    let [model_dir, csv, out, options @ ..] = arguments.as_slice() else {
        return Err(usage.into());
    };
    if options.len() > 2 {
        return Err(usage.into());
    }
    let number = |i: usize, default: u64| {
        options.get(i).map_or(Ok(default), |text| text.parse().map_err(|_| usage))
    };
    let (count, seed) = (number(0, 200)? as usize, number(1, 42)?);
    let (dir, out) = (ModelDir::open(Path::new(model_dir))?, Path::new(out));
    fs::create_dir(out)
        .map_err(|error| format!("{}: {error}; give a new folder", out.display()))?;

    let eos_id = dir.target_eos()?;
    let open = || {
        PromptTokenizer::from_file(&dir.tokenizer_json()?, PromptTemplate::default(), eos_id)
            .map_err(Box::<dyn Error>::from)
    };
    let tokenizer = open()?;
    let limit = MAX_LENGTH.min(dir.config().max_position_embeddings);
    let (records, examples) = examples(Path::new(csv), &tokenizer, limit, count)?;

    let mut model = Decoder::load(&dir, DType::F32, &Device::Cpu)?;
    adapt(&mut model, model_dir, seed, &out.join("adapter"))?;
    let mut tensors = rows(&examples)?;
    let nll = examples
        .iter()
        .map(|example| {
            let batch = Batch::pack([example]);
            let (input, targets) = packed(&batch);
            Ok(model.loss(&input, &targets)?.nll)
        })
        .collect::<Result<Vec<f64>, Box<dyn Error>>>()?;
    tensors.insert("nll".into(), Tensor::new(nll, &Device::Cpu)?);

    let batch = Batch::pack(examples.iter().take(WITH_LOGITS));
    let (input, targets) = packed(&batch);
    let target_rows: Vec<u32> = targets.iter().map(|&(row, _)| row).collect();
    tensors.insert("logits".into(), model.logits(&input, Some(&target_rows))?);

    let batch = Batch::pack(examples.iter().take(BATCH));
    let (input, targets) = packed(&batch);
    let mut gradients = Gradients::default();
    let pass = TrainPass { dropout: None, recompute: Recompute::None };
    model.forward_backward(&input, &targets, &pass, &mut gradients)?;
    for (name, gradient) in gradients.iter() {
        tensors.insert(format!("grad.{name}"), gradient.clone());
    }

    let notes: Vec<String> =
        records.iter().take(NOTES).map(|record| record.clinical_note.clone()).collect();
    let generator = Generator::new(model, open()?, dir.stop_ids());
    let params = GenerationParams { max_new_tokens: NEW_TOKENS, ..GenerationParams::default() };
    let generated = generator.generate(&notes, &params, &mut |_, _| {})?;
    let texts: Vec<_> = generated.iter().map(|text| &text.ids).collect();

    // The steps start from the adapter that was saved.
    let mut model = Decoder::load(&dir, DType::F32, &Device::Cpu)?;
    model.load_lora(&sft::lora::peft::load_adapter(&out.join("adapter"), &Device::Cpu)?)?;
    let steps = train(model, &dir, model_dir, &tokenizer, &examples, limit, out)?;
    let column = |value: fn(&StepRecord) -> f64| {
        Tensor::new(steps.iter().map(value).collect::<Vec<f64>>(), &Device::Cpu)
    };
    tensors.insert("steps.loss".into(), column(|step| step.loss)?);
    tensors.insert("steps.grad_norm".into(), column(|step| step.grad_norm)?);

    candle_core::safetensors::save(&tensors, out.join("parity.safetensors"))?;
    let rows: Vec<[&str; 2]> = records
        .iter()
        .map(|record| [record.clinical_note.trim(), record.model_summary.trim()])
        .collect();
    let facts = serde_json::json!({
        "template": tokenizer.template().text(), "eos_id": eos_id, "stop_ids": dir.stop_ids(),
        "rows": rows, "greedy": texts, "new_tokens": NEW_TOKENS, "batch": BATCH,
        "with_logits": WITH_LOGITS,
    });
    fs::write(out.join("parity.json"), format!("{facts:#}\n"))?;
    println!("{} rows, {} tokens: {}", examples.len(), tensors["ids"].elem_count(), out.display());
    Ok(())
}

/// The first factual rows that fit without being cut.
fn examples(
    csv: &Path,
    tokenizer: &PromptTokenizer,
    limit: usize,
    rows: usize,
) -> Result<(Vec<Record>, Vec<Example>), Box<dyn Error>> {
    tokenizer.check_border()?;
    let (mut kept, mut examples) = (vec![], vec![]);
    for record in Dataset::read_csv(csv)?.records {
        if !record.is_factual() {
            continue;
        }
        let encoded = tokenizer.example(&record, examples.len() as u64, limit)?;
        if let Encoded::Fits { example, tokens_cut: 0 } = encoded {
            kept.push(record);
            examples.push(example);
        }
        if examples.len() >= rows.max(1) {
            break;
        }
    }
    if examples.is_empty() {
        return Err(format!("no factual row of {} fits into {limit} tokens", csv.display()).into());
    }
    Ok((kept, examples))
}

/// Puts an adapter on the model, `B` away from zero, and saves it.
fn adapt(model: &mut Decoder, name: &str, seed: u64, dir: &Path) -> Result<(), Box<dyn Error>> {
    let lora = LoraConfig { r: 8, lora_alpha: 16.0, lora_dropout: 0.0, ..LoraConfig::default() };
    model.add_lora(&lora, seed)?;
    for (name, var) in model.lora_parameters() {
        if name.ends_with("lora_B.weight") {
            let stream = random::module_key(&name);
            let values = random::uniform(seed, stream, var.elem_count());
            let values: Vec<f32> = values.into_iter().map(|u| 0.1 * (u - 0.5)).collect();
            var.set(&Tensor::from_vec(values, var.dims(), var.device())?)?;
        }
    }
    let tensors = model.lora_parameters();
    let tensors = tensors.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    let config = PeftConfig::from_lora(&lora, name, None, &model.adapted_leaf_names());
    Ok(save_adapter(dir, &config, &tensors)?)
}

fn train(
    model: Decoder,
    dir: &ModelDir,
    name: &str,
    tokenizer: &PromptTokenizer,
    examples: &[Example],
    max_length: usize,
    out: &Path,
) -> Result<Vec<StepRecord>, Box<dyn Error>> {
    let config = TrainConfig {
        max_steps: Some(STEPS),
        batch_size: BATCH,
        learning_rate: 1e-3,
        lr_scheduler: Scheduler::Constant,
        warmup_ratio: 0.0,
        weight_decay: 0.01,
        max_grad_norm: 0.5,
        shuffle: false,
        ..TrainConfig::default()
    };
    let files = RunFiles {
        output_dir: out.join("run"),
        tokenizer_json: dir.tokenizer_json()?,
        tokenizer_config: dir.tokenizer_config(),
        base_model_name: name.into(),
        base_model_revision: None,
        sft_config: SftConfig {
            prompt_template: tokenizer.template().text().into(),
            summary_lead: String::new(),
            max_length,
            eos_token_id: tokenizer.eos_id(),
            base_model: name.into(),
            sft_version: env!("CARGO_PKG_VERSION").into(),
        },
        run_config_toml: String::new(),
    };
    let mut steps = Steps::default();
    Trainer::new(config, model, examples.to_vec(), vec![], files)?.run(
        ResumeFrom::Fresh,
        &mut steps,
        &StopFlag::new(),
    )?;
    Ok(steps.0)
}

#[derive(Default)]
struct Steps(Vec<StepRecord>);

impl Observer for Steps {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Step(record) = event {
            self.0.push(*record);
        }
    }
}

/// The examples one after another, as the decoder takes them.
fn packed(batch: &Batch) -> (Packed<'_>, Vec<(u32, u32)>) {
    let Batch { ids, positions, cu_seqlens, example, targets } = batch;
    let targets = targets.iter().map(|target| (target.row, target.label)).collect();
    (Packed { ids, positions, cu_seqlens, example }, targets)
}

/// What was trained on, EOS included.
fn rows(examples: &[Example]) -> Result<HashMap<String, Tensor>, Box<dyn Error>> {
    let tensor = |values: Vec<u32>| Tensor::new(values, &Device::Cpu)?.to_dtype(DType::I64);
    let ids: Vec<u32> = examples.iter().flat_map(|example| example.ids.clone()).collect();
    let mut borders = vec![0];
    for example in examples {
        borders.push(borders[borders.len() - 1] + example.ids.len() as u32);
    }
    let first = examples.iter().map(|example| example.first_target as u32).collect();
    Ok(HashMap::from([
        ("ids".to_owned(), tensor(ids)?),
        ("cu_seqlens".to_owned(), tensor(borders)?),
        ("first_target".to_owned(), tensor(first)?),
    ]))
}
