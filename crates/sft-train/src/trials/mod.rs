//! Short runs that leave nothing: cross validation, and the search for a rate and a rank. The base is
//! loaded once, adapters take turns.

mod cross_validate;
mod suggest;

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use sft_dataset::{Example, PromptTokenizer, Record};
use sft_lora::LoraConfig;
use sft_model::Decoder;
use sft_model::memory::MemoryPlan;
use sft_trainer::{
    Event, Observer, Outcome, Plan, ResumeFrom, RunFiles, StopFlag, TrainConfig, TrainError,
    Trainer,
};

use crate::console;
use crate::error::CliError;
use crate::resolve::Settings;

pub(crate) use cross_validate::cross_validate;
pub(crate) use suggest::{Budget, suggest};

/// What trials are made of.
pub(crate) struct Subject<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) tokenizer: &'a PromptTokenizer,
    /// The training rows.
    pub(crate) records: &'a [Record],
    /// Their examples.
    pub(crate) train: Vec<Example>,
    pub(crate) val: Vec<Example>,
    pub(crate) files: RunFiles,
    pub(crate) stop_ids: Vec<u32>,
    pub(crate) plan: Option<MemoryPlan>,
    pub(crate) stop: StopFlag,
}

/// Settings of one trial.
struct Trial {
    config: TrainConfig,
    lora: LoraConfig,
    train: Vec<Example>,
    val: Vec<Example>,
}

/// Losses by epoch.
#[derive(Debug, Clone, Default)]
struct Losses {
    train: Vec<f64>,
    val: Vec<f64>,
}

impl Losses {
    fn last_train(&self) -> f64 {
        self.train.last().copied().unwrap_or(f64::NAN)
    }

    fn last_val(&self) -> f64 {
        self.val.last().copied().unwrap_or(f64::NAN)
    }

    /// The lowest validation loss, and after how many epochs it was.
    fn best(&self) -> (f64, usize) {
        let epochs = self.val.iter().copied().zip(1..);
        epochs.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::NAN, 0))
    }
}

/// Collects the losses of a trial and shows how far it is.
struct Watch<'a> {
    losses: Losses,
    bar: &'a ProgressBar,
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Step(_) => self.bar.inc(1),
            Event::EpochFinished { train_loss, val_loss, .. } => {
                self.losses.train.push(*train_loss);
                self.losses.val.extend(*val_loss);
            }
            Event::Warning { message } => self.bar.suspend(|| console::warning(message)),
            _ => {}
        }
    }
}

impl Subject<'_> {
    fn trial(&self, train: Vec<Example>, val: Vec<Example>) -> Trial {
        let config = TrainConfig {
            save_steps: None,
            save_total_limit: Some(1),
            eval_steps: None,
            early_stopping_patience: None,
            ..self.settings.train.clone()
        };
        Trial { config, lora: self.settings.lora.clone(), train, val }
    }

    /// A bar over all steps of so many trials; hidden where standard error is no terminal.
    fn bar(&self, trials: usize, examples: usize, what: &str) -> ProgressBar {
        let steps = Plan::new(&self.settings.train, examples).total_steps;
        let bar = ProgressBar::new((trials * steps) as u64);
        let template =
            format!("{{bar:30}} {{pos}}/{{len}} steps of {trials} {what} [{{elapsed}} < {{eta}}]");
        bar.set_style(
            ProgressStyle::with_template(&template)
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar
    }

    /// Trains fresh adapters on the model, in a folder that is removed. The model comes back with
    /// them; without losses where the trial was stopped.
    fn run(
        &self,
        mut model: Decoder,
        trial: Trial,
        bar: &ProgressBar,
    ) -> Result<(Decoder, Option<Losses>), CliError> {
        model.remove_lora()?;
        match &self.settings.init_adapter {
            Some(adapter) => model.load_lora(adapter)?,
            None => model.add_lora(&trial.lora, trial.config.seed)?,
        }
        let scratch =
            tempfile::Builder::new().prefix("sft-trial-").tempdir().map_err(|source| {
                let path = std::env::temp_dir();
                TrainError::Io { action: "create a folder in", path, source }
            })?;
        let files = RunFiles { output_dir: scratch.path().join("run"), ..self.files.clone() };
        let mut trainer = Trainer::new(trial.config, model, trial.train, trial.val, files)?;
        if let Some(plan) = self.plan {
            trainer.follow(plan);
        }
        let mut watch = Watch { losses: Losses::default(), bar };
        let losses = match trainer.run(ResumeFrom::Fresh, &mut watch, &self.stop) {
            Ok(Outcome::Completed { .. }) => Some(watch.losses),
            Ok(_) => None,
            // One setting is not all of them.
            Err(TrainError::NonFinite { .. } | TrainError::Diverged { .. }) => {
                Some(Losses { train: vec![f64::NAN], val: vec![f64::NAN] })
            }
            Err(error) => return Err(error.into()),
        };
        Ok((trainer.into_model(), losses))
    }
}

/// What to say of trials that a signal ended.
fn stopped() -> u8 {
    console::note("stopped; trials leave nothing to go on from");
    crate::run::INTERRUPTED
}

/// Seconds since then, for a reader.
fn seconds(since: Instant) -> String {
    format!("{:.0} s", since.elapsed().as_secs_f64())
}
