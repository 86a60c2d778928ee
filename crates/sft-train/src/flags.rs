//! What was typed: one struct of optional settings, read from the command line and from a configuration file alike.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};
use serde::{Deserialize, Deserializer};

use crate::layers;

const EXAMPLES: &str = "\
Examples:
  Train the small model inside this program on the synthetic sample inside it, in about a minute:
    sft-train
  See what a run with your own notes would do, without writing anything:
    sft-train --model_name ./Llama-3.2-1B --train_csv notes.csv --dry_run
  Check that your own model is computed and trained exactly, before a long run:
    sft-train --model_name ./Llama-3.2-1B --train_csv notes.csv --self_test
  Find out what to expect of new notes, and which rate and rank to use:
    sft-train --model_name ./Llama-3.2-1B --train_csv notes.csv --cross_validate 5
    sft-train --model_name ./Llama-3.2-1B --train_csv notes.csv --suggest 30m
  Train a model of the hub, fetched once, holding out a tenth of the notes for validation:
    sft-train --model_name meta-llama/Llama-3.2-1B --train_csv notes.csv --output_dir ./models/summariser
  Go on after a stop, a crash or a power cut:
    sft-train --output_dir ./models/summariser --resume auto
  Look at the loss curve of a run, while it goes on or later:
    sft-train --show ./models/summariser
  Repeat a run elsewhere:
    sft-train --config ./models/summariser/run_config.toml --output_dir ./models/again
  Train a chat model in its own chat format:
    sft-train --model_name ./Llama-3.2-1B-Instruct --train_csv notes.csv --prompt_template chat
  Take the same steps in less memory, at the price of time:
    sft-train --model_name ./Llama-3.2-1B --train_csv notes.csv --batch_size 1 --gradient_accumulation_steps 8 --gradient_checkpointing

Every flag may also be written with underscores (--batch_size); every setting of a run stands under that name in a configuration file.
The training file has the columns id, clinical_note, model_summary, label and hallucination_type; rows labelled `factual` train.
Exit status: 0 done, 1 failed (or a check of --self_test did), 2 wrong usage or settings, 130 stopped by a signal (resumable).";

/// Fine-tune a causal language model to summarise clinical notes, with LoRA.
#[derive(Debug, Parser)]
#[command(name = "sft-train", version, after_help = EXAMPLES, max_term_width = 110, allow_negative_numbers = true, args_override_self = true)]
pub(crate) struct Flags {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Read settings from a TOML file: the same names, with underscores; flags win over it
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub(crate) config: Option<PathBuf>,
    /// Check that this model is computed and trained exactly, with these rows, this prompt and these settings, and write
    /// nothing
    #[arg(long, value_name = "true|false", help_heading = "Run", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) self_test: Option<bool>,
    /// With --resume: go on although settings, rows, template or base are not those of the checkpoint; each difference is
    /// named. Rank, alpha, target modules and the base's shape cannot change
    #[arg(long, value_name = "true|false", help_heading = "Run", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) allow_changes: Option<bool>,
    /// Train on all parts of the training rows but one, K times, and say what the losses on the other come out as; all
    /// rows of a note are in one part. Writes nothing
    #[arg(long, value_name = "K", help_heading = "Run", conflicts_with_all = ["suggest", "self_test", "resume", "dry_run"])]
    pub(crate) cross_validate: Option<usize>,
    /// Try rates and ranks around those that are set, as far as so much time goes (90s, 10m, 2h), and say which to use.
    /// Writes nothing
    #[arg(long, value_name = "TIME", help_heading = "Run", conflicts_with_all = ["self_test", "resume", "dry_run"])]
    pub(crate) suggest: Option<crate::trials::Budget>,
    /// Print the loss curve of the run in a folder as text, complete or still going on, and do nothing else
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub(crate) show: Option<PathBuf>,
}

/// Every setting, as one source gave it: `None` where that source is silent.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// The base model: a folder in Hugging Face form (config.json, tokenizer.json, weights), a hub id (owner/name), or
    /// embedded, the small one inside this program
    #[arg(long, value_name = "DIR|ID|embedded", help_heading = "Model")]
    pub(crate) model_name: Option<String>,
    /// Branch, tag or commit of a base model on the hub; without the flag, main
    #[arg(long, value_name = "REV", help_heading = "Model")]
    pub(crate) revision: Option<String>,
    /// Start from a PEFT adapter; its config sets rank, alpha and target modules
    #[arg(long, value_name = "DIR", help_heading = "Model")]
    pub(crate) init_adapter: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:N, metal or metal:N
    #[arg(long, value_name = "DEVICE", help_heading = "Model")]
    pub(crate) device: Option<String>,
    /// Number format of the frozen base: auto, f32, bf16 or f16 (adapters are always f32)
    #[arg(long, value_name = "DTYPE", help_heading = "Model")]
    pub(crate) dtype: Option<String>,
    /// Keep the matrices of the base's blocks in few bits (QLoRA): nf4 or int8, on the CPU; the rest is bf16
    #[arg(long, value_name = "nf4|int8", help_heading = "Model")]
    pub(crate) quantize: Option<String>,

    /// Training rows; without the flag, phase1_data/sft/train_set_processed.csv if it is there, else embedded: synthetic
    /// sample data inside this program
    #[arg(long, value_name = "CSV|embedded", help_heading = "Data")]
    pub(crate) train_csv: Option<PathBuf>,
    /// Validation rows; without the flag, val_set_processed.csv beside a train_set_processed.csv, if it is there, and
    /// embedded with embedded training rows
    #[arg(long, value_name = "CSV|embedded", help_heading = "Data")]
    pub(crate) val_csv: Option<PathBuf>,
    /// Share of the rows held out, all rows of one note together, when there is no validation file; 0 holds out none
    /// [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub(crate) val_split: Option<f64>,
    /// Longest example in tokens; the note is shortened to fit, template and summary never are
    #[arg(long, value_name = "TOKENS", help_heading = "Data")]
    pub(crate) max_length: Option<usize>,
    /// A file or a text with {clinical_note} in it, used byte for byte; or the word chat: the tokenizer's own chat
    /// template, each answer ended by its end of turn
    #[arg(long, value_name = "FILE|TEXT|chat", help_heading = "Data")]
    pub(crate) prompt_template: Option<String>,

    /// Rank of the adapters
    #[arg(long, value_name = "R", help_heading = "LoRA")]
    pub(crate) lora_r: Option<usize>,
    /// Adapters are scaled by alpha / r; without the flag, alpha is twice the rank
    #[arg(long, value_name = "ALPHA", help_heading = "LoRA")]
    pub(crate) lora_alpha: Option<f64>,
    /// Dropout on the input of the adapters
    #[arg(long, value_name = "P", help_heading = "LoRA")]
    pub(crate) lora_dropout: Option<f64>,
    /// Which layers get an adapter: all-linear, a comma-separated list of names, or a regular expression for full names
    #[arg(long, value_name = "MODULES", help_heading = "LoRA")]
    #[serde(deserialize_with = "text_or_list")]
    pub(crate) lora_target_modules: Option<String>,

    /// Passes over the training rows
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) num_epochs: Option<usize>,
    /// Optimizer steps in all, in place of epochs; the data repeats as needed
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) max_steps: Option<usize>,
    /// Examples computed together
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) batch_size: Option<usize>,
    /// Batches summed into one optimizer step
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(crate) gradient_accumulation_steps: Option<usize>,
    /// Highest learning rate of the schedule
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    pub(crate) learning_rate: Option<f64>,
    /// How the rate falls after the warm-up: cosine, linear or constant
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub(crate) lr_scheduler: Option<String>,
    /// Share of the steps in which the rate rises from zero
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub(crate) warmup_ratio: Option<f64>,
    /// Decoupled weight decay of AdamW
    #[arg(long, value_name = "DECAY", help_heading = "Training")]
    pub(crate) weight_decay: Option<f64>,
    /// Clip the norm of all gradients together to this
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    pub(crate) max_grad_norm: Option<f64>,
    /// Seed of everything random
    #[arg(long, value_name = "N", help_heading = "Training", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: Option<u64>,
    /// Take the rows in file order
    #[arg(long, value_name = "true|false", help_heading = "Training", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) no_shuffle: Option<bool>,
    /// Recompute activations in the backward pass: less memory, more time, the same bytes
    #[arg(long, value_name = "true|false", help_heading = "Training", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) gradient_checkpointing: Option<bool>,
    /// Memory that the run may take, such as 16GB: as many blocks as it needs to fit are recomputed in the backward pass;
    /// without the flag, nine tenths of what the machine has free
    #[arg(long, value_name = "SIZE", help_heading = "Training")]
    pub(crate) memory_budget: Option<String>,

    /// Folder for the adapter, checkpoints and statistics
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Save a checkpoint every N steps, besides the one of each epoch
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(crate) save_steps: Option<usize>,
    /// Keep at most N checkpoints, but always the newest and the best
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(crate) save_total_limit: Option<usize>,
    /// Evaluate every N steps, besides the end of each epoch
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(crate) eval_steps: Option<usize>,
    /// Stop after N evaluations without improvement
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(crate) early_stopping_patience: Option<usize>,
    /// Write events for TensorBoard into the folder tensorboard of the output folder
    #[arg(long, value_name = "true|false", help_heading = "Run", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) tensorboard: Option<bool>,
    /// Put N validation notes into report.html, each with its reference and the summaries by the fine-tuned model and by
    /// its base: the file then holds text of notes; 3 where every row is of the embedded sample [default: 0]
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(crate) report_examples: Option<usize>,
    /// Go on from a checkpoint folder, or from the newest of the output folder (auto)
    #[arg(long, value_name = "DIR|auto", help_heading = "Run")]
    pub(crate) resume: Option<String>,
    /// Print the resolved run, the data and two examples, and write nothing
    #[arg(long, value_name = "true|false", help_heading = "Run", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pub(crate) dry_run: Option<bool>,
}

/// A configuration file may give the modules as one text or as a list of names.
fn text_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts")]
    enum Modules {
        Text(String),
        List(Vec<String>),
    }
    Ok(Some(match Modules::deserialize(deserializer)? {
        Modules::Text(text) => text,
        Modules::List(names) => names.join(","),
    }))
}

/// The command line: each flag also under its snake_case name, each default shown as the resolver has it.
pub(crate) fn command() -> Command {
    let defaults = layers::default_entries();
    Flags::command().mut_args(|arg| {
        let name = arg.get_id().clone(); // the field's, so with underscores
        let arg = if name.as_str().contains('_') { arg.alias(name) } else { arg };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        match defaults.iter().find(|entry| entry.name == arg.get_id().as_str()) {
            Some(entry) if entry.value.as_ref().is_some_and(|v| !v.is_bool()) => {
                arg.help(format!("{help} [default: {}]", entry.shown()))
            }
            _ => arg,
        }
    })
}

/// Parses the arguments of this process; prints help, version or a usage error and exits where clap says so.
pub(crate) fn parse() -> Flags {
    let matches = command().get_matches();
    Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}
