//! Several sources of settings become one, field by field, and it stays known which source each value came from.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use sft_dataset::{PromptTemplate, TemplateChoice};
use sft_lora::LoraConfig;
use sft_model::source::EMBEDDED;
use sft_trainer::TrainConfig;

use crate::flags::Options;
use crate::source;

/// Where a run goes unless it is told otherwise.
pub(crate) const OUTPUT_DIR: &str = "./models/sft_specialist";
const TRAIN_CSV: &str = "phase1_data/sft/train_set_processed.csv";
const TRAIN_NAME: &str = "train_set_processed.csv";
const VAL_NAME: &str = "val_set_processed.csv";
const VAL_SPLIT: f64 = 0.1;

/// Where a value came from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Flag,
    ConfigFile,
    ResumedRun,
    InitAdapter,
    Model,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Flag => "flag",
            Self::ConfigFile => "config file",
            Self::ResumedRun => "resumed run",
            Self::InitAdapter => "initial adapter",
            Self::Model => "model",
            Self::Default => "default",
        })
    }
}

/// One line of the resolved configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// `None`: not set by anyone, and without a default.
    pub(crate) value: Option<toml::Value>,
    pub(crate) origin: Origin,
}

impl Entry {
    /// The value for a reader, on one line.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            None => "-".to_owned(),
            Some(toml::Value::String(text)) if text.contains(['\n', '\r']) => format!("{text:?}"),
            Some(toml::Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        }
    }
}

macro_rules! merged {
    ($layers:expr, $entries:expr; $($field:ident),* $(,)?) => {
        Options { $($field: pick($layers, $entries, stringify!($field), |options| &options.$field),)* }
    };
}

/// The strongest value of every setting, and where it came from.
pub(crate) fn merge(layers: &[(Origin, Options)]) -> (Options, Vec<Entry>) {
    let mut entries = Vec::new();
    let options = merged!(layers, &mut entries;
        model_name, revision, init_adapter, device, dtype, quantize,
        train_csv, val_csv, val_split, max_length, prompt_template,
        lora_r, lora_alpha, lora_dropout, lora_target_modules,
        num_epochs, max_steps, batch_size, gradient_accumulation_steps, learning_rate, lr_scheduler, warmup_ratio,
        weight_decay, max_grad_norm, seed, no_shuffle, gradient_checkpointing, memory_budget,
        output_dir, save_steps, save_total_limit, eval_steps, early_stopping_patience, tensorboard, report_examples,
        resume, dry_run,
    );
    (options, entries)
}

fn pick<T: Clone + Serialize>(
    layers: &[(Origin, Options)],
    entries: &mut Vec<Entry>,
    name: &'static str,
    field: impl Fn(&Options) -> &Option<T>,
) -> Option<T> {
    let found = layers
        .iter()
        .find_map(|(origin, options)| field(options).clone().map(|value| (*origin, value)));
    let (origin, value) =
        found.map_or((Origin::Default, None), |(origin, value)| (origin, Some(value)));
    let shown = value.as_ref().and_then(|value| toml::Value::try_from(value).ok());
    entries.push(Entry { name, value: shown, origin });
    value
}

/// The contract's defaults, of which some follow from what was `typed`.
pub(crate) fn defaults(typed: &Options, is_file: &dyn Fn(&Path) -> bool) -> Options {
    let train = TrainConfig::default();
    let lora = LoraConfig::default();
    let phase_1 = if is_file(Path::new(TRAIN_CSV)) { TRAIN_CSV } else { EMBEDDED };
    let train_csv = typed.train_csv.clone().unwrap_or_else(|| phase_1.into());
    // The files of phase 1 come as a pair, as do the embedded ones; any other training file is alone unless the user
    // says otherwise.
    let pair = train_csv.file_name().is_some_and(|name| name == TRAIN_NAME);
    let beside = Some(train_csv.with_file_name(VAL_NAME)).filter(|path| pair && is_file(path));
    let val_csv = if source::is_embedded(&train_csv) { Some(EMBEDDED.into()) } else { beside };
    let has_val_file = typed.val_csv.is_some() || val_csv.is_some();
    Options {
        model_name: Some(EMBEDDED.into()),
        revision: None,
        init_adapter: None,
        device: Some("auto".into()),
        dtype: Some("auto".into()),
        quantize: None,
        train_csv: Some(train_csv),
        val_csv,
        val_split: (!has_val_file).then_some(VAL_SPLIT),
        max_length: Some(512),
        prompt_template: Some(PromptTemplate::default().text().to_owned()),
        lora_r: Some(lora.r),
        lora_alpha: Some(2.0 * typed.lora_r.unwrap_or(lora.r).max(1) as f64),
        lora_dropout: Some(lora.lora_dropout),
        lora_target_modules: Some(lora.target_modules.to_string()),
        num_epochs: Some(train.num_epochs),
        max_steps: train.max_steps,
        batch_size: Some(train.batch_size),
        gradient_accumulation_steps: Some(train.gradient_accumulation_steps),
        learning_rate: Some(train.learning_rate),
        lr_scheduler: Some(train.lr_scheduler.to_string()),
        warmup_ratio: Some(train.warmup_ratio),
        weight_decay: Some(train.weight_decay),
        max_grad_norm: Some(train.max_grad_norm),
        seed: Some(train.seed),
        no_shuffle: Some(!train.shuffle),
        gradient_checkpointing: Some(train.gradient_checkpointing),
        memory_budget: None,
        output_dir: Some(OUTPUT_DIR.into()),
        save_steps: train.save_steps,
        save_total_limit: train.save_total_limit,
        eval_steps: train.eval_steps,
        early_stopping_patience: train.early_stopping_patience,
        tensorboard: Some(false),
        // Notes of others are shown only when somebody asks for them; the sample is nobody's.
        report_examples: None,
        resume: None,
        dry_run: Some(false),
    }
}

/// The defaults alone, as the help shows them: the same on every machine and in every folder.
pub(crate) fn default_entries() -> Vec<Entry> {
    merge(&[(Origin::Default, defaults(&Options::default(), &|_| false))]).1
}

/// The settings that an initial adapter decides; `prompt` is the one saved beside it.
pub(crate) fn adapter_layer(lora: &LoraConfig, prompt: Option<&TemplateChoice>) -> Options {
    Options {
        prompt_template: prompt.map(|prompt| prompt.text().to_owned()),
        lora_r: Some(lora.r),
        lora_alpha: Some(lora.lora_alpha),
        lora_target_modules: Some(lora.target_modules.to_string()),
        ..Options::default()
    }
}
