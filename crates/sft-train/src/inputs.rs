//! What decides a run: flags, configuration file, the run to resume, the initial adapter, the model's recommendation.

use std::path::{Path, PathBuf};

use candle_core::Device;
use sft_lora::peft::{PeftAdapter, load_adapter};
use sft_trainer::{ResumeFrom, RunState, run_state};

use crate::console;
use crate::error::CliError;
use crate::file;
use crate::flags::{Flags, Options};
use crate::layers::{self, Origin};
use crate::resolve::{Settings, resume_from};
use crate::run::already_finished;

/// The sources of settings, read.
pub(crate) struct Inputs {
    layers: Vec<(Origin, Options)>,
    adapter: Option<PeftAdapter>,
}

impl Inputs {
    /// Reads them. `None` when the run to resume is finished: then nothing else matters.
    pub(crate) fn read(flags: Flags) -> Result<Option<Self>, CliError> {
        let mut layers = vec![(Origin::Flag, flags.options)];
        if let Some(path) = &flags.config {
            layers.push((Origin::ConfigFile, file::read(path)?));
        }
        // A self test looks at the model and the rows of a run, not at how far one has come.
        let self_test = flags.self_test.unwrap_or_default();
        if let Some(run) = run_to_resume(&layers).filter(|_| !self_test) {
            let run = match run_state(&run)? {
                RunState::Finished => {
                    already_finished(&run);
                    return Ok(None);
                }
                RunState::Unfinished(work) => work,
                RunState::Empty => run,
            };
            // What is not typed again stays as it was.
            let saved = run.join("run_config.toml");
            if saved.is_file() {
                layers.push((Origin::ResumedRun, file::read(&saved)?));
            }
        }
        let adapter = layers.iter().find_map(|(_, options)| options.init_adapter.clone());
        let adapter = adapter.map(|dir| load_adapter(&dir, &Device::Cpu)).transpose()?;
        Ok(Some(Self { layers, adapter }))
    }

    /// The settings as far as they do not depend on the model, which may have to be fetched first. Says what a user
    /// should know.
    pub(crate) fn before_model(&self) -> Result<Settings, CliError> {
        let mut notes = Vec::new();
        let settings = Settings::resolve(self.layers.clone(), self.adapter.clone(), &mut notes);
        notes.iter().for_each(console::note);
        settings
    }

    /// The settings with those that the model in `folder` recommends.
    pub(crate) fn with_model(mut self, folder: &Path) -> Result<Settings, CliError> {
        let Some(recommended) = file::read_recommended(folder)? else {
            return Settings::resolve(self.layers, self.adapter, &mut Vec::new());
        };
        self.layers.push((Origin::Model, recommended));
        let settings = Settings::resolve(self.layers, self.adapter, &mut Vec::new());
        settings.map_err(|error| match error {
            // Without the recommendation there was no problem.
            CliError::Settings { problems } => {
                let path = folder.join(file::RECOMMENDED_FILE);
                CliError::Recommended { path, problems }
            }
            other => other,
        })
    }
}

/// The directory whose run is to be resumed.
fn run_to_resume(layers: &[(Origin, Options)]) -> Option<PathBuf> {
    let typed = layers::merge(layers).0;
    match resume_from(typed.resume.as_deref()?) {
        ResumeFrom::Fresh => None,
        ResumeFrom::Auto => Some(typed.output_dir.unwrap_or_else(|| layers::OUTPUT_DIR.into())),
        ResumeFrom::Dir(checkpoint) => checkpoint.parent().map(Path::to_owned),
    }
}
