//! A run under way: where it begins, what it saves, how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use sft_lora::peft::save_adapter;

use crate::adamw::AdamW;
use crate::checkpoint::{self, Checkpoint, Contents, Name, State};
use crate::files::{self, Context};
use crate::metrics::Metrics;
use crate::progress::Progress;
use crate::run_dir::{FINAL_MODEL, RUN_CONFIG, RunDir, STATS};
use crate::stats::{Facts, TrainingStats};
use crate::{Event, Observer, Outcome, ResumeFrom, TrainError, Trainer};

/// So many steps in a row without a finite loss and norm end the run.
const MAX_SKIPPED_IN_A_ROW: usize = 5;

/// The state of a run, but for the parameters, which live in the model.
pub(crate) struct Run<'a> {
    dir: RunDir,
    observer: &'a mut dyn Observer,
    pub(crate) progress: Progress,
    pub(crate) adamw: AdamW,
    pub(crate) metrics: Metrics,
}

impl<'a> Run<'a> {
    /// Begins anew, or where the checkpoint to resume was saved.
    pub(crate) fn begin(
        trainer: &Trainer,
        dir: RunDir,
        resume: &ResumeFrom,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let checkpoint = match resume {
            ResumeFrom::Fresh => None,
            ResumeFrom::Auto => newest_valid(dir.work(), observer)?,
            ResumeFrom::Dir(path) => Some(chosen(path, dir.work())?),
        };
        let weight_decay = trainer.config.weight_decay;
        let (progress, adamw, resumed_from) = match checkpoint {
            None => (Progress::default(), AdamW::new(&trainer.parameters, weight_decay), None),
            Some(Checkpoint { dir: path, state }) => {
                let differences = state.run.differences(&trainer.fingerprint);
                if !differences.is_empty() {
                    return Err(TrainError::ResumeMismatch { checkpoint: path, differences });
                }
                let adamw = checkpoint::restore(&path, &state, &trainer.parameters, weight_decay)?;
                (state.progress, adamw, Some(path))
            }
        };
        let metrics = Metrics::open(dir.work(), progress.step)?;
        if resumed_from.is_none() {
            // Last: metrics and settings together mark the directory as a run's.
            let config = dir.work().join(RUN_CONFIG);
            files::write_file(&config, trainer.files.run_config_toml.as_bytes())?;
        }
        let mut run = Self { dir, observer, progress, adamw, metrics };
        run.remove_later_checkpoints()?;
        let directory = run.dir.work().to_owned();
        run.emit(&Event::RunStarted {
            total_steps: trainer.plan.total_steps,
            epochs: trainer.plan.epochs,
            steps_per_epoch: trainer.plan.steps_per_epoch,
            steps_done: run.progress.step,
            resumed_from: resumed_from.as_deref(),
            directory: &directory,
        });
        if trainer.config.eval_steps.is_some() && trainer.val.is_empty() {
            run.warn("eval_steps has no effect: there is no validation data");
        }
        Ok(run)
    }

    /// Tells the observer.
    pub(crate) fn emit(&mut self, event: &Event<'_>) {
        self.observer.event(event);
    }

    /// Tells the observer what may spoil the result.
    pub(crate) fn warn(&mut self, message: &str) {
        self.emit(&Event::Warning { message });
    }

    /// Warns of a skipped step, and gives up after several in a row.
    pub(crate) fn skipped(&mut self) -> Result<(), TrainError> {
        let (step, in_a_row) = (self.progress.step, self.progress.skipped_in_a_row);
        if in_a_row >= MAX_SKIPPED_IN_A_ROW {
            let checkpoint = usable(self.dir.work())?.pop().map(|(path, _)| path);
            return Err(TrainError::NonFinite { step, in_a_row, checkpoint });
        }
        self.warn(&format!("step {step} was skipped: its loss or gradient norm is not finite"));
        Ok(())
    }

    /// Saves a checkpoint and removes those that are too many.
    pub(crate) fn save(&mut self, trainer: &Trainer, name: Name) -> Result<PathBuf, TrainError> {
        // The lines up to here must outlive a power cut that the checkpoint outlives.
        self.metrics.sync()?;
        let contents = Contents {
            artifacts: &trainer.artifacts,
            peft: &trainer.peft,
            parameters: &trainer.parameters,
            adamw: &self.adamw,
            progress: &self.progress,
            run: &trainer.fingerprint,
        };
        let path = contents.save(self.dir.work(), name)?;
        tracing::debug!(path = %path.display(), "checkpoint saved");
        self.emit(&Event::CheckpointSaved { path: &path });
        if let Some(limit) = trainer.config.save_total_limit {
            self.prune(limit)?;
        }
        Ok(path)
    }

    /// Removes the oldest checkpoints beyond `limit`, but neither the newest nor the best.
    fn prune(&mut self, limit: usize) -> Result<(), TrainError> {
        let checkpoints = usable(self.dir.work())?;
        let best = best(&checkpoints).map(|(path, _)| path);
        let surplus = checkpoints.len().saturating_sub(limit);
        let (_newest, older) = checkpoints.split_last().unzip();
        let removable = older
            .unwrap_or_default()
            .iter()
            .map(|(path, _)| path)
            .filter(|path| Some(*path) != best);
        for path in removable.take(surplus) {
            self.remove(path)?;
        }
        Ok(())
    }

    /// After going back to an earlier checkpoint, those after it are no longer part of the run.
    fn remove_later_checkpoints(&mut self) -> Result<(), TrainError> {
        for (path, state) in usable(self.dir.work())? {
            if state.progress.step > self.progress.step {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), TrainError> {
        files::remove_dir(path)?;
        self.emit(&Event::CheckpointRemoved { path });
        Ok(())
    }

    /// Writes the final model and the statistics, and gives the run its place in the output directory.
    ///
    /// With early stopping the final model has the weights of the best evaluation, otherwise those of the last step.
    pub(crate) fn complete(mut self, trainer: &Trainer) -> Result<Outcome, TrainError> {
        let checkpoints = usable(self.dir.work())?;
        let best = best(&checkpoints);
        let (mut final_model, mut final_model_step) = ("last step", self.progress.step);
        if let Some(evaluation) = self
            .progress
            .best_evaluation
            .filter(|_| trainer.config.early_stopping_patience.is_some())
        {
            match best.filter(|(_, state)| state.progress.step == evaluation.step) {
                Some((path, _)) => {
                    let checkpoint = Checkpoint::read(path)?;
                    checkpoint::restore_adapter(&checkpoint.dir, &trainer.parameters)?;
                    (final_model, final_model_step) = ("best evaluation", evaluation.step);
                }
                None => self.warn("the checkpoint of the best evaluation is gone: the final model is the last step's"),
            }
        }
        let work = self.dir.work().to_owned();
        let tensors = checkpoint::tensors(&trainer.parameters);
        if let Some(reason) = divergence(&self.progress, final_model_step, &tensors)? {
            return Err(TrainError::Diverged { path: work, reason });
        }
        files::publish_dir(&work.join(FINAL_MODEL), |dir| {
            save_adapter(dir, &trainer.peft, &tensors)?;
            trainer.artifacts.write(dir)
        })?;
        let stats = TrainingStats::new(
            &self.progress,
            Facts {
                total_steps: trainer.plan.total_steps,
                trainable_parameters: trainer.model.trainable_parameters(),
                total_parameters: trainer.model.total_parameters(),
                best_checkpoint: best.map(|(path, _)| files::name(path).into_owned()),
                final_model,
                final_model_step,
                memory: trainer.memory,
            },
        );
        self.metrics.sync()?;
        let path = work.join(STATS);
        let json = serde_json::to_string_pretty(&stats);
        let json = json.map_err(|source| TrainError::Json { path: path.clone(), source })? + "\n";
        files::write_file(&path, json.as_bytes())?;
        let final_model = self.dir.finish()?;
        self.observer.event(&Event::FinalModel { path: &final_model, step: final_model_step });
        Ok(Outcome::Completed { final_model, stats })
    }
}

/// The newest checkpoint that is whole; damaged ones are skipped with a warning, but not if there is no other.
fn newest_valid(
    work: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<Checkpoint>, TrainError> {
    let mut problems = Vec::new();
    for (path, _) in checkpoint::list(work)?.into_iter().rev() {
        match Checkpoint::read(&path) {
            Ok(checkpoint) => {
                for problem in problems {
                    let message = format!("skipped a damaged checkpoint: {problem}");
                    observer.event(&Event::Warning { message: &message });
                }
                return Ok(Some(checkpoint));
            }
            Err(TrainError::BadCheckpoint { path, reason }) => {
                problems.push(format!("{}: {reason}", path.display()));
            }
            Err(error) => return Err(error),
        }
    }
    if problems.is_empty() {
        Ok(None)
    } else {
        Err(TrainError::AllDamaged { path: work.into(), problems })
    }
}

/// The checkpoint that the user named, which must be one of this run.
fn chosen(path: &Path, work: &Path) -> Result<Checkpoint, TrainError> {
    let checkpoint = Checkpoint::read(path)?;
    let real = |path: &Path| fs::canonicalize(path).context("find", path);
    if real(path)?.parent() != Some(real(work)?.as_path()) {
        return Err(TrainError::ForeignCheckpoint { checkpoint: path.into(), run: work.into() });
    }
    Ok(checkpoint)
}

/// The checkpoints with a readable state, oldest first.
fn usable(work: &Path) -> Result<Vec<(PathBuf, State)>, TrainError> {
    let checkpoints = checkpoint::list(work)?;
    Ok(checkpoints.into_iter().filter_map(|(path, state)| Some((path, state?))).collect())
}

/// The checkpoint saved at the evaluation with the lowest loss; the earlier of equals.
fn best(checkpoints: &[(PathBuf, State)]) -> Option<&(PathBuf, State)> {
    let loss = |(_, state): &(PathBuf, State)| {
        state
            .progress
            .current_evaluation()
            .map(|evaluation| evaluation.loss)
            .filter(|loss| loss.is_finite())
    };
    let evaluated =
        checkpoints.iter().filter_map(|checkpoint| Some((loss(checkpoint)?, checkpoint)));
    evaluated.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, checkpoint)| checkpoint)
}

/// Why the weights of step `final_step` are not worth keeping. Losses after it say nothing about them.
fn divergence(
    progress: &Progress,
    final_step: usize,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<Option<&'static str>, TrainError> {
    if final_step == progress.step {
        if progress.epochs.last().is_some_and(|epoch| !epoch.train_loss().is_finite()) {
            return Ok(Some("the training loss of the last epoch is not finite"));
        }
        if progress.current_evaluation().is_some_and(|evaluation| !evaluation.loss.is_finite()) {
            return Ok(Some("the final validation loss is not finite"));
        }
    }
    for tensor in tensors.values() {
        let sum = tensor.abs()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !sum.is_finite() {
            return Ok(Some("the adapter has values that are not finite"));
        }
    }
    Ok(None)
}
