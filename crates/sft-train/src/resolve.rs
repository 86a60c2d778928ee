//! What the settings mean: flags over configuration file over resumed run over initial adapter over the model's
//! recommendation over defaults.
//!
//! All sources are [`Options`]. They are merged in one list, and [`Settings`] is built by taking the merged struct
//! apart, so the compiler finds a setting that is read from the command line and used nowhere.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::path::PathBuf;
use std::str::FromStr;

use sft_dataset::{DatasetError, SftConfig, TemplateChoice};
use sft_lora::peft::PeftAdapter;
use sft_lora::{LoraConfig, LoraError, TargetModules};
use sft_model::runtime::{DTypeChoice, DeviceChoice, Quantize};
use sft_trainer::{ResumeFrom, Scheduler, TrainConfig, TrainError};

use crate::error::{CliError, one_line};
use crate::flags::Options;
use crate::layers::{Entry, Origin, adapter_layer, defaults, merge};
use crate::memory::MemorySize;
use crate::source;

/// Notes of the sample that the report of a run shows.
const SAMPLE_EXAMPLES: usize = 3;

/// Where validation rows come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Validation {
    File(PathBuf),
    /// The share of the training file's notes that is held out; 0: no validation.
    Split(f64),
}

/// A run, resolved and valid as far as that can be known without opening data or model.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The base model as it was given.
    pub(crate) model_name: String,
    /// Its branch, tag or commit on the hub, if one was given.
    pub(crate) revision: Option<String>,
    pub(crate) init_adapter: Option<PeftAdapter>,
    pub(crate) device: DeviceChoice,
    pub(crate) dtype: DTypeChoice,
    /// How the matrices of the blocks are kept, if in few bits.
    pub(crate) quantize: Option<Quantize>,
    pub(crate) train_csv: PathBuf,
    pub(crate) validation: Validation,
    pub(crate) max_length: usize,
    pub(crate) template: TemplateChoice,
    pub(crate) lora: LoraConfig,
    pub(crate) train: TrainConfig,
    /// Memory that the run may take; none: what the machine has free.
    pub(crate) memory_budget: Option<MemorySize>,
    pub(crate) output_dir: PathBuf,
    /// Whether events for TensorBoard are written.
    pub(crate) tensorboard: bool,
    /// Notes that the report shows.
    pub(crate) report_examples: usize,
    pub(crate) resume: ResumeFrom,
    pub(crate) dry_run: bool,
    /// Every setting with its value and origin, in the order of the flags.
    pub(crate) entries: Vec<Entry>,
}

impl Settings {
    /// Merges the layers (those of the user strongest first), the initial adapter and the defaults, and checks the result.
    /// `notes` receives what a user should know although it is no error. Every problem is reported at once.
    pub(crate) fn resolve(
        mut layers: Vec<(Origin, Options)>,
        init_adapter: Option<PeftAdapter>,
        notes: &mut Vec<String>,
    ) -> Result<Self, CliError> {
        let mut problems = Vec::new();
        let mut saved_prompt = None;
        if let Some(adapter) = &init_adapter {
            let own = |(origin, _): &&(Origin, Options)| *origin < Origin::InitAdapter;
            for (origin, options) in layers.iter().filter(own) {
                adapter_conflicts(*origin, options, adapter, &mut problems);
            }
            if layers.iter().all(|(_, options)| options.prompt_template.is_none()) {
                saved_prompt = prompt_of(adapter).unwrap_or_else(|error| {
                    problems.push(one_line(&error));
                    None
                });
            }
            let layer = adapter_layer(&adapter.lora, saved_prompt.as_ref());
            layers.push((Origin::InitAdapter, layer));
        }
        layers.sort_by_key(|(origin, _)| *origin);
        alpha_belongs_to_its_rank(&mut layers);
        revision_belongs_to_its_model(&mut layers);
        sample_belongs_to_its_pair(&mut layers, notes);
        let typed = merge(&layers).0;
        layers.push((Origin::Default, defaults(&typed, &|path| path.is_file())));
        let (options, entries) = merge(&layers);
        build(options, entries, init_adapter, saved_prompt, notes, &mut problems)
            .ok_or(CliError::Settings { problems })
    }

    /// Records the number format that `auto` became, so that a resumed or repeated run takes the same.
    pub(crate) fn settle(&mut self, name: &str, value: &str) {
        for entry in self.entries.iter_mut().filter(|entry| entry.name == name) {
            entry.value = Some(toml::Value::String(value.to_owned()));
        }
    }

    /// The run as a configuration file that repeats it. What concerns one invocation only is left out, and so is a prompt
    /// of the initial adapter, which is more than its text: its end belongs to it.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Repeat this run: sft-train --config run_config.toml --output_dir DIR\n",
        );
        let repeated = |entry: &&Entry| match entry.name {
            "resume" | "dry_run" => false,
            "prompt_template" => entry.origin != Origin::InitAdapter,
            _ => true,
        };
        for entry in self.entries.iter().filter(repeated) {
            if let Some(value) = &entry.value {
                let _ = writeln!(text, "{} = {value} # {}", entry.name, entry.origin);
            }
        }
        text
    }
}

/// Takes the merged options apart. `None` when there are problems.
fn build(
    options: Options,
    entries: Vec<Entry>,
    mut init_adapter: Option<PeftAdapter>,
    saved_prompt: Option<TemplateChoice>,
    notes: &mut Vec<String>,
    problems: &mut Vec<String>,
) -> Option<Settings> {
    let Options {
        model_name,
        revision,
        init_adapter: _,
        device,
        dtype,
        quantize,
        train_csv,
        val_csv,
        val_split,
        max_length,
        prompt_template,
        lora_r,
        lora_alpha,
        lora_dropout,
        lora_target_modules,
        num_epochs,
        max_steps,
        batch_size,
        gradient_accumulation_steps,
        learning_rate,
        lr_scheduler,
        warmup_ratio,
        weight_decay,
        max_grad_norm,
        seed,
        no_shuffle,
        gradient_checkpointing,
        memory_budget,
        output_dir,
        save_steps,
        save_total_limit,
        eval_steps,
        early_stopping_patience,
        tensorboard,
        report_examples,
        resume,
        dry_run,
    } = options;
    // The last layer has a value for every setting unwrapped here; `Option`s stay where "not set" means something.
    let mut check = |result: Result<(), String>| problems.extend(result.err());

    let model_name =
        source::model_name(model_name.unwrap_or_default(), notes).unwrap_or_else(|error| {
            check(Err(error.to_string()));
            String::new()
        });
    let train_csv = train_csv.unwrap_or_default();
    let validation = match (val_csv, val_split) {
        (Some(path), split) => {
            if split.is_some() {
                notes.push(format!(
                    "val_split is not used: {} is the validation file",
                    path.display()
                ));
            }
            Validation::File(path)
        }
        (None, split) => Validation::Split(split.unwrap_or_default()),
    };
    if let Validation::Split(share) = validation
        && !(0.0..1.0).contains(&share)
    {
        check(Err(format!(
            "val_split is {share}; give a share from 0 (no validation) to less than 1"
        )));
    }
    if validation == Validation::Split(0.0) && early_stopping_patience.is_some() {
        check(Err(
            "early_stopping_patience needs validation data; give --val_csv or a val_split above 0"
                .to_owned(),
        ));
    }
    let max_length = max_length.unwrap_or_default();
    if max_length == 0 {
        check(Err("max_length is 0; give the longest example in tokens, such as 512".to_owned()));
    }

    let train = TrainConfig {
        num_epochs: num_epochs.unwrap_or_default(),
        max_steps,
        batch_size: batch_size.unwrap_or_default(),
        gradient_accumulation_steps: gradient_accumulation_steps.unwrap_or_default(),
        learning_rate: learning_rate.unwrap_or_default(),
        lr_scheduler: parsed(lr_scheduler, "lr_scheduler", problems).unwrap_or(Scheduler::Cosine),
        warmup_ratio: warmup_ratio.unwrap_or_default(),
        weight_decay: weight_decay.unwrap_or_default(),
        max_grad_norm: max_grad_norm.unwrap_or_default(),
        seed: seed.unwrap_or_default(),
        shuffle: !no_shuffle.unwrap_or_default(),
        gradient_checkpointing: gradient_checkpointing.unwrap_or_default(),
        save_steps,
        save_total_limit,
        eval_steps,
        early_stopping_patience,
    };
    match train.validate() {
        Ok(()) => {}
        Err(TrainError::InvalidConfig { problems: all }) => problems.extend(all),
        Err(other) => problems.push(one_line(&other)),
    }
    let lora_dropout = lora_dropout.unwrap_or_default();
    let lora = match &mut init_adapter {
        Some(adapter) => {
            adapter.lora.lora_dropout = lora_dropout;
            adapter.lora.clone()
        }
        None => LoraConfig {
            r: lora_r.unwrap_or_default(),
            lora_alpha: lora_alpha.unwrap_or_default(),
            lora_dropout,
            target_modules: parsed(lora_target_modules, "lora_target_modules", problems)
                .unwrap_or(TargetModules::AllLinear),
            ..LoraConfig::default()
        },
    };
    match lora.validate() {
        Ok(()) => {}
        Err(LoraError::Config { problems: all }) => problems.extend(all),
        Err(other) => problems.push(one_line(&other)),
    }

    // Synthetic on both sides, or the report would show notes that nobody wants shown.
    let is_sample = source::is_embedded(&train_csv)
        && !matches!(&validation, Validation::File(path) if !source::is_embedded(path));
    let report_examples = report_examples.unwrap_or(if is_sample { SAMPLE_EXAMPLES } else { 0 });

    let typed = || TemplateChoice::from_arg(&prompt_template.unwrap_or_default());
    let template = saved_prompt.map_or_else(typed, Ok);
    let device = parsed(device, "device", problems);
    let dtype = parsed(dtype, "dtype", problems);
    let quantize = parsed(quantize, "quantize", problems);
    let memory_budget = parsed(memory_budget, "memory_budget", problems);
    let template = template.map_err(|error| problems.push(one_line(&error))).ok();
    let (Some(device), Some(dtype), Some(template), []) =
        (device, dtype, template, problems.as_slice())
    else {
        return None;
    };
    let mut settings = Settings {
        model_name,
        revision,
        init_adapter,
        device,
        dtype,
        quantize,
        train_csv,
        validation,
        max_length,
        template,
        lora,
        train,
        memory_budget,
        output_dir: output_dir.unwrap_or_default(),
        tensorboard: tensorboard.unwrap_or_default(),
        report_examples,
        resume: resume.map_or(ResumeFrom::Fresh, |text| resume_from(&text)),
        dry_run: dry_run.unwrap_or_default(),
        entries,
    };
    let text = settings.template.text().to_owned();
    settings.settle("prompt_template", &text);
    Some(settings)
}

/// `auto`, or a checkpoint folder.
pub(crate) fn resume_from(text: &str) -> ResumeFrom {
    if text == "auto" { ResumeFrom::Auto } else { ResumeFrom::Dir(text.into()) }
}

fn parsed<T: FromStr<Err: Display>>(
    text: Option<String>,
    name: &str,
    problems: &mut Vec<String>,
) -> Option<T> {
    text?.parse().map_err(|error: T::Err| problems.push(format!("{name}: {error}"))).ok()
}

/// A model that recommends an alpha means it for its rank; with another rank the default ratio holds.
fn alpha_belongs_to_its_rank(layers: &mut [(Origin, Options)]) {
    let Some(at) = layers.iter().position(|(origin, _)| *origin == Origin::Model) else { return };
    let (stronger, model) = layers.split_at_mut(at);
    if stronger.iter().any(|(_, options)| options.lora_r.is_some()) {
        model[0].1.lora_alpha = None;
    }
}

/// A saved revision is of the saved model, and of no other that is given instead.
fn revision_belongs_to_its_model(layers: &mut [(Origin, Options)]) {
    let given = layers.iter().position(|(_, options)| options.model_name.is_some());
    let Some(at) = given else { return };
    let (stronger, weaker) = layers.split_at_mut(at + 1);
    let model = &stronger[at].1.model_name;
    let others = |it: &Options| it.model_name.is_some() && it.model_name != *model;
    for (_, options) in weaker.iter_mut().filter(|(_, options)| others(options)) {
        options.revision = None;
    }
}

/// The sample data that validated a run on the sample data is of no use for other rows.
fn sample_belongs_to_its_pair(layers: &mut [(Origin, Options)], notes: &mut Vec<String>) {
    let given = layers.iter().position(|(_, options)| options.train_csv.is_some());
    let Some(at) = given else { return };
    if layers[at].1.train_csv.as_deref().is_some_and(source::is_embedded) {
        return;
    }
    for (origin, options) in &mut layers[at + 1..] {
        if options.val_csv.as_deref().is_some_and(source::is_embedded) {
            options.val_csv = None;
            notes.push(format!(
                "val_csv = embedded ({origin}) is not used: the training rows are other ones; give --val_csv FILE, or \
                 `--val_csv embedded` to keep it"
            ));
        }
    }
}

/// The prompt that was saved beside an adapter, if one was.
fn prompt_of(adapter: &PeftAdapter) -> Result<Option<TemplateChoice>, DatasetError> {
    if !adapter.dir.join(SftConfig::FILE_NAME).is_file() {
        return Ok(None);
    }
    let saved = SftConfig::load(&adapter.dir)?;
    Ok(Some(TemplateChoice::Saved(saved.template()?, saved.eos_token_id)))
}

/// Values that contradict the adapter the run starts from.
fn adapter_conflicts(
    origin: Origin,
    options: &Options,
    adapter: &PeftAdapter,
    problems: &mut Vec<String>,
) {
    let mut differs = |name: &str, given: String, own: String| {
        problems.push(format!(
            "{name} is {given} ({origin}), but the adapter in {} has {own}; leave {name} out or start from another adapter",
            adapter.dir.display()
        ));
    };
    let lora = &adapter.lora;
    if let Some(r) = options.lora_r.filter(|&r| r != lora.r) {
        differs("lora_r", r.to_string(), lora.r.to_string());
    }
    if let Some(alpha) = options.lora_alpha.filter(|&alpha| alpha != lora.lora_alpha) {
        differs("lora_alpha", alpha.to_string(), lora.lora_alpha.to_string());
    }
    let own = lora.target_modules.to_string();
    if let Some(targets) =
        options.lora_target_modules.as_ref().filter(|targets| names(targets) != names(&own))
    {
        differs("lora_target_modules", targets.clone(), own);
    }
}

/// A list of modules whatever its order.
fn names(targets: &str) -> BTreeSet<&str> {
    targets.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests;
