//! From flags to a trained adapter, each input checked before the work it would spoil.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, DeviceLocation};
use sft_dataset::{EncodedSet, PromptTokenizer, SftConfig, encode};
use sft_lora::TargetModules;
use sft_model::runtime::base_types;
use sft_model::{Decoder, ModelConfig, ModelDir};
use sft_self_test::{Subject, Text};
use sft_trainer::{
    Outcome, Plan, ResumeFrom, RunFiles, RunState, StopFlag, TrainError, Trainer, run_state,
};

use crate::console;
use crate::data::Rows;
use crate::ending::Ending;
use crate::error::CliError;
use crate::flags::Flags;
use crate::inputs::Inputs;
use crate::memory;
use crate::progress::Progress;
use crate::report;
use crate::resolve::{Settings, Validation};
use crate::self_test;
use crate::shape;
use crate::show;
use crate::signals;
use crate::source;
use crate::trials;
use crate::watch::Watch;

/// Stopped by a signal, as shells count it: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Steps that a model needs to take up a form of summary at all.
const FEW_STEPS: usize = 30;

/// Everything `sft-train` does between its flags and its exit status. It `started` a moment ago.
pub(crate) fn run(flags: Flags, started: Instant) -> Result<u8, CliError> {
    sft_kernels::start_threads().map_err(CliError::Threads)?;
    if let Some(dir) = &flags.show {
        return show::show(dir);
    }
    let self_test = flags.self_test.unwrap_or_default();
    let (folds, budget) = (flags.cross_validate, flags.suggest);
    let trials = folds.is_some() || budget.is_some();
    let allow_changes = flags.allow_changes.unwrap_or_default();
    let Some(inputs) = Inputs::read(flags)? else {
        return Ok(0);
    };
    // What needs no model comes first: fetching one can take long.
    let settings = inputs.before_model()?;
    if allow_changes && settings.resume == ResumeFrom::Fresh {
        console::note("--allow_changes has no effect without --resume");
    }
    let mut settings = settings;
    if folds.is_some()
        && let Validation::Split(share) = &mut settings.validation
    {
        *share = 0.0; // each row is held out in its turn
    }
    let mut rows = Rows::read(&settings)?;
    let device = settings.device.open()?;
    base_types(settings.quantize, None, settings.dtype, &device)?;
    check_output(&settings, self_test || trials)?;
    let folder = source::model_folder(&settings.model_name, settings.revision.as_deref())?;
    let folder = ModelDir::open(&folder)?;
    let stored = folder.config().quantization;
    let (quantize, dtype) = base_types(settings.quantize, stored, settings.dtype, &device)?;
    if let Some(quantize) = quantize.filter(|_| self_test) {
        let problem = format!(
            "--self_test compares the base with its files, in full: it cannot do so in {quantize}; leave out \
             --quantize, or give the base that is not quantised"
        );
        return Err(CliError::Settings { problems: vec![problem] });
    }
    let mut settings = inputs.with_model(folder.path())?;
    if let (None, Some(stored)) = (settings.quantize, quantize) {
        settings.settle("quantize", &stored.to_string());
    }
    settings.quantize = quantize;
    settings.settle("dtype", dtype.as_str());
    if settings.revision.is_none()
        && let Some(commit) = source::fetched_commit(&settings.model_name, folder.path())
    {
        // `main` moves; who goes on with this run or uses its adapter needs the same weights.
        settings.settle("revision", commit);
        settings.revision = Some(commit.to_owned());
    }
    let tokenizer_json = folder.tokenizer_json()?;
    let (template, turn_end) = settings.template.resolve(&tokenizer_json)?;
    let eos_id = turn_end.map_or_else(|| folder.target_eos(), Ok)?;
    let tokenizer = PromptTokenizer::from_file(&tokenizer_json, template, eos_id)?;
    let train_csv = &settings.train_csv;
    let val_csv = match &settings.validation {
        Validation::File(path) => path,
        Validation::Split(_) => train_csv,
    };
    let train = encode(train_csv, &rows.train, &tokenizer, settings.max_length)?;
    let val = encode(val_csv, &rows.val, &tokenizer, settings.max_length)?;
    check_examples(&[&train, &val], folder.config())?;
    let memory = if self_test {
        None
    } else {
        memory::plan(&settings, &folder, dtype, &device, &train.examples)?
    };

    // What a dry run prints is its result; otherwise standard output belongs to the run.
    let say = |text: String| {
        if settings.dry_run {
            return console::print(text).map_err(CliError::Stdout);
        }
        console::status(text);
        Ok(())
    };
    say(report::settings(&settings.entries, memory.as_ref()))?;
    say(report::data(&rows, &train, &val))?;
    rows.notes.iter().for_each(console::note);
    let explain = |error: CliError| match &memory {
        Some(memory) => memory.explain(error),
        None => error,
    };
    let mut model = adapted_model(&settings, &folder, dtype, &device).map_err(explain)?;
    say(report::model(&model))?;
    let plan = Plan::new(&settings.train, train.examples.len());
    if !trials {
        say(report::plan(&plan, &train))?;
    }
    if plan.total_steps < FEW_STEPS {
        console::note(format_args!(
            "a run of {} steps teaches little; below {FEW_STEPS}, give more epochs (--num_epochs), or a smaller \
             --batch_size",
            plan.total_steps
        ));
    }
    if settings.dry_run {
        say(report::examples(&train, &tokenizer)?)?;
    }
    let files = run_files(&settings, &folder, &tokenizer)?;
    if self_test {
        let text = Text {
            records: &rows.train,
            set: &train,
            tokenizer: &tokenizer,
            tokenizer_json: &files.tokenizer_json,
            saved: &files.sft_config,
            bos_id: folder.config().bos_token_id,
        };
        let subject = Subject {
            decoder: &mut model,
            folder: &folder,
            examples: &train.examples,
            fresh: settings.init_adapter.is_none(),
            learning_rate: settings.train.learning_rate,
        };
        self_test::run(&text, subject)?;
    }
    if settings.dry_run || self_test {
        return Ok(0);
    }
    if trials {
        let stop = StopFlag::new();
        signals::listen(&stop, &Progress::new(started), signals::TRIALS)?;
        let subject = trials::Subject {
            settings: &settings,
            tokenizer: &tokenizer,
            records: &rows.train,
            train: train.examples,
            val: val.examples,
            files,
            stop_ids: folder.stop_ids(),
            plan: memory.as_ref().map(|memory| memory.plan),
            stop,
        };
        let code = match (folds, budget) {
            (Some(folds), _) => trials::cross_validate(&subject, model, folds),
            (None, Some(budget)) => trials::suggest(&subject, model, budget),
            (None, None) => Ok(0),
        };
        return code.map_err(explain);
    }
    shape::encoded(&mut rows.shape, &train, &val);
    let data_files = std::mem::take(&mut rows.files);
    let ending = Ending::new(&settings, rows, &train, &val, tokenizer, folder.stop_ids());
    let mut trainer =
        Trainer::new(settings.train.clone(), model, train.examples, val.examples, files)?;
    if let Some(memory) = &memory {
        trainer.follow(memory.plan);
    }
    if allow_changes {
        trainer.allow_changes();
    }
    trainer.watch(data_files);
    let mut watch = Watch::new(Progress::new(started), settings.tensorboard);
    let stop = StopFlag::new();
    signals::listen(&stop, &watch.progress, signals::SAVING)?;
    let outcome = trainer.run(settings.resume.clone(), &mut watch, &stop);
    watch.progress.clear();
    if outcome.is_err()
        && watch.progress.has_begun()
        && let Ok(RunState::Unfinished(run)) = run_state(&settings.output_dir)
    {
        tracing::debug!(run = %run.display(), "the run failed");
        how_to_go_on(&settings.output_dir);
    }
    let outcome = outcome.map_err(|error| explain(error.into()))?;
    let code = finish(&outcome, &settings.output_dir);
    if let Some(dir) = ending.directory(&outcome) {
        ending.finish(trainer, &dir, matches!(outcome, Outcome::Completed { .. }), &stop);
    }
    if matches!(outcome, Outcome::Stopped { .. }) {
        how_to_go_on(&settings.output_dir);
    }
    Ok(code)
}

fn how_to_go_on(output_dir: &Path) {
    console::note(format_args!(
        "to go on: sft-train --output_dir {} --resume auto",
        shell_word(&output_dir.to_string_lossy())
    ));
}

/// No example may have an id without an embedding (a tokenizer may know such ids), or a position that the model was
/// not made for.
fn check_examples(sets: &[&EncodedSet], model: &ModelConfig) -> Result<(), CliError> {
    let (vocab_size, limit) = (model.vocab_size, model.max_position_embeddings);
    for example in sets.iter().flat_map(|set| &set.examples) {
        if let Some(&id) = example.ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(CliError::Vocabulary { line: example.line, id, vocab_size });
        }
        if example.ids.len() > limit {
            let tokens = example.ids.len();
            return Err(CliError::TooLong { line: example.line, tokens, limit });
        }
    }
    Ok(())
}

/// The rules of the output folder that can be known before the model is loaded. The trainer has the last word.
fn check_output(settings: &Settings, self_test: bool) -> Result<(), TrainError> {
    if !settings.dry_run
        && !self_test
        && let RunState::Unfinished(path) = run_state(&settings.output_dir)?
        && settings.resume == ResumeFrom::Fresh
    {
        return Err(TrainError::UnfinishedRun { path });
    }
    if let ResumeFrom::Dir(path) = &settings.resume
        && !path.is_dir()
    {
        return Err(TrainError::BadCheckpoint {
            path: path.clone(),
            reason: "there is no such directory".into(),
        });
    }
    match settings.output_dir.ancestors().find(|path| path.exists()) {
        Some(path) if !path.is_dir() => {
            let source = std::io::ErrorKind::NotADirectory.into();
            Err(TrainError::OutputDir { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn adapted_model(
    settings: &Settings,
    folder: &ModelDir,
    dtype: DType,
    device: &Device,
) -> Result<Decoder, CliError> {
    console::status(format_args!(
        "loading {} ({} on {})",
        settings.model_name,
        settings
            .quantize
            .map_or(dtype.as_str().to_owned(), |quantize| format!("blocks in {quantize}")),
        device_name(device)
    ));
    let mut model = Decoder::load_as(folder, dtype, settings.quantize, device)?;
    match &settings.init_adapter {
        Some(adapter) => model.load_lora(adapter)?,
        None => model.add_lora(&settings.lora, settings.train.seed)?,
    }
    let unknown = unmatched_targets(&settings.lora.target_modules, &model.linear_modules());
    if !unknown.is_empty() {
        console::note(format_args!(
            "lora_target_modules has names of no layer of this model: {}; its layers are: {}",
            unknown.join(", "),
            leaf_names(&model).join(", ")
        ));
    }
    Ok(model)
}

/// The names of a list that match no layer; as in PEFT, the others are taken all the same.
fn unmatched_targets<'a>(targets: &'a TargetModules, modules: &[String]) -> Vec<&'a str> {
    let TargetModules::List(names) = targets else {
        return Vec::new();
    };
    let matches = |name: &str| {
        let one = TargetModules::List(vec![name.to_owned()]);
        modules.iter().any(|module| one.matches(module, false).unwrap_or(false))
    };
    names.iter().map(String::as_str).filter(|name| !matches(name)).collect()
}

/// The last parts of the names of the layers that can have an adapter.
fn leaf_names(model: &Decoder) -> Vec<String> {
    let modules = model.linear_modules();
    let leaves = modules.iter().filter_map(|module| module.rsplit('.').next());
    leaves.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

fn device_name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cpu => "cpu".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("metal:{gpu_id}"),
    }
}

fn run_files(
    settings: &Settings,
    folder: &ModelDir,
    tokenizer: &PromptTokenizer,
) -> Result<RunFiles, CliError> {
    Ok(RunFiles {
        output_dir: settings.output_dir.clone(),
        tokenizer_json: folder.tokenizer_json()?,
        tokenizer_config: folder.tokenizer_config(),
        base_model_name: settings.model_name.clone(),
        base_model_revision: settings.revision.clone(),
        sft_config: SftConfig {
            prompt_template: tokenizer.template().text().to_owned(),
            summary_lead: tokenizer.template().lead().to_owned(),
            max_length: settings.max_length,
            eos_token_id: tokenizer.eos_id(),
            base_model: settings.model_name.clone(),
            sft_version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        run_config_toml: settings.to_toml(),
    })
}

/// Says how the run ended.
fn finish(outcome: &Outcome, output_dir: &Path) -> u8 {
    match outcome {
        Outcome::Completed { final_model, .. } => {
            console::result("Training completed!");
            console::result(format_args!("Saved to {}", final_model.display()));
            0
        }
        Outcome::AlreadyFinished => {
            already_finished(output_dir);
            0
        }
        Outcome::Stopped { checkpoint } => {
            console::note(format_args!("stopped; the checkpoint is {}", checkpoint.display()));
            INTERRUPTED
        }
    }
}

pub(crate) fn already_finished(output_dir: &Path) {
    console::note(format_args!(
        "the run in {} is already finished; nothing was changed. To train anew, leave out --resume",
        output_dir.display()
    ));
}

/// A word as a POSIX shell takes it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for (word, quoted) in
            [("./out/a-1", "./out/a-1"), ("my run", "'my run'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(shell_word(word), quoted);
        }
    }
}
