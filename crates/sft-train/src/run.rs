//! From flags to a trained adapter, each input checked before the work it would spoil.

use std::path::Path;

use candle_core::{DType, Device, DeviceLocation};
use sft_dataset::{EncodedSet, PromptTokenizer, SftConfig, encode};
use sft_lora::peft::load_adapter;
use sft_model::{Decoder, ModelDir};
use sft_trainer::{
    Outcome, Plan, ResumeFrom, RunFiles, StopFlag, TrainError, Trainer, unfinished_run,
};

use crate::console;
use crate::data::Rows;
use crate::error::CliError;
use crate::file;
use crate::flags::{Flags, Options};
use crate::layers::{self, Origin};
use crate::progress::Progress;
use crate::report;
use crate::resolve::{Settings, resume_from};
use crate::signals;

/// Stopped by a signal, as shells count it: 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Everything `sft-train` does between its flags and its exit status.
pub(crate) fn run(flags: Flags) -> Result<u8, CliError> {
    let mut settings = settings(flags)?;
    let rows = Rows::read(&settings)?;
    let folder = ModelDir::open(Path::new(&settings.model_name))?;
    let tokenizer = PromptTokenizer::from_file(
        &folder.tokenizer_json()?,
        settings.template.clone(),
        folder.target_eos()?,
    )?;
    let train = encode(&rows.train, &tokenizer, settings.max_length)?;
    let val = encode(&rows.val, &tokenizer, settings.max_length)?;
    check_ids(&[&train, &val], folder.config().vocab_size)?;
    let device = settings.device.open()?;
    let dtype = settings.dtype.resolve(&device)?;
    settings.settle("dtype", dtype.as_str());
    check_output(&settings)?;

    // What a dry run prints is its result; otherwise standard output belongs to the run.
    let say =
        |text: String| if settings.dry_run { console::result(text) } else { console::status(text) };
    say(report::settings(&settings.entries));
    say(report::data(&rows, &train, &val));
    rows.notes.iter().for_each(console::note);
    let model = adapted_model(&settings, &folder, dtype, &device)?;
    say(report::model(&model));
    say(report::plan(&Plan::new(&settings.train, train.examples.len()), &train));
    if settings.dry_run {
        say(report::examples(&train, &tokenizer)?);
        return Ok(0);
    }
    let files = run_files(&settings, &folder, &tokenizer)?;
    let mut trainer =
        Trainer::new(settings.train.clone(), model, train.examples, val.examples, files)?;
    let mut progress = Progress::new();
    let stop = StopFlag::new();
    signals::listen(&stop, &progress)?;
    let outcome = trainer.run(settings.resume.clone(), &mut progress, &stop);
    progress.clear();
    Ok(finish(&outcome?, &settings.output_dir))
}

/// A tokenizer may know ids beyond the model's embeddings, as long as no example has one.
fn check_ids(sets: &[&EncodedSet], vocab_size: usize) -> Result<(), CliError> {
    for example in sets.iter().flat_map(|set| &set.examples) {
        if let Some(&id) = example.ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(CliError::Vocabulary { line: example.line, id, vocab_size });
        }
    }
    Ok(())
}

/// Collects what the flags, the configuration file and the run to resume say, and resolves it.
fn settings(flags: Flags) -> Result<Settings, CliError> {
    let mut layers = vec![(Origin::Flag, flags.options)];
    if let Some(path) = &flags.config {
        layers.push((Origin::ConfigFile, file::read(path)?));
    }
    layers.extend(resumed_run(&layers)?);
    let adapter = layers.iter().find_map(|(_, options)| options.init_adapter.clone());
    let adapter = adapter.map(|dir| load_adapter(&dir, &Device::Cpu)).transpose()?;
    let mut notes = Vec::new();
    let settings = Settings::resolve(layers, adapter, &mut notes);
    notes.iter().for_each(console::note);
    settings
}

/// The settings of the run that is to be resumed: what is not typed again stays as it was.
fn resumed_run(layers: &[(Origin, Options)]) -> Result<Option<(Origin, Options)>, CliError> {
    let typed = layers::merge(layers).0;
    let run = match typed.resume.as_deref().map(resume_from) {
        None | Some(ResumeFrom::Fresh) => None,
        Some(ResumeFrom::Auto) => {
            unfinished_run(&typed.output_dir.unwrap_or_else(|| layers::OUTPUT_DIR.into()))
        }
        Some(ResumeFrom::Dir(checkpoint)) => checkpoint.parent().map(Path::to_owned),
    };
    let saved = run.map(|dir| dir.join("run_config.toml")).filter(|path| path.is_file());
    saved.map(|path| Ok((Origin::ResumedRun, file::read(&path)?))).transpose()
}

/// The rules of the output folder that can be known before the model is loaded. The trainer has the last word.
fn check_output(settings: &Settings) -> Result<(), TrainError> {
    if let (ResumeFrom::Fresh, Some(path), false) =
        (&settings.resume, unfinished_run(&settings.output_dir), settings.dry_run)
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
        dtype.as_str(),
        device_name(device)
    ));
    let mut model = Decoder::load(folder, dtype, device)?;
    match &settings.init_adapter {
        Some(adapter) => model.load_lora(adapter)?,
        None => model.add_lora(&settings.lora, settings.train.seed)?,
    }
    Ok(model)
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
        sft_config: SftConfig {
            prompt_template: tokenizer.template().text().to_owned(),
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
            console::note(format_args!(
                "the run in {} is already finished; nothing was changed. To train anew, leave out --resume",
                output_dir.display()
            ));
            0
        }
        Outcome::Stopped { checkpoint } => {
            console::note(format_args!("stopped; the checkpoint is {}", checkpoint.display()));
            console::note(format_args!(
                "to go on: sft-train --output_dir {} --resume auto",
                shell_word(&output_dir.to_string_lossy())
            ));
            INTERRUPTED
        }
    }
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
