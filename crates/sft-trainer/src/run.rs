//! A run under way: where it begins, what it saves, how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{DType, Tensor};
use sft_lora::peft::save_adapter;

use crate::adamw::AdamW;
use crate::checkpoint::{self, Checkpoint, Contents, Name, State};
use crate::error::Difference;
use crate::files::{self, Context};
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;
use crate::optimizer::{Optimizer, place};
use crate::progress::Progress;
use crate::run_dir::{FINAL_MODEL, RUN_CONFIG, RunDir, STATS};
use crate::run_state::check_place;
use crate::stats::{Facts, TrainingStats};
use crate::{DataFile, Event, Observer, Outcome, ResumeFrom, TrainError, Trainer};

/// So many steps in a row without a finite loss and norm end the run.
const MAX_SKIPPED_IN_A_ROW: usize = 5;

/// How often something is written again into a folder that is being removed, and the first pause before that.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(50);

/// The state of a run, but for the parameters, which live in the model.
pub(crate) struct Run<'a> {
    dir: RunDir,
    observer: &'a mut dyn Observer,
    data_files: Vec<DataFile>,
    /// Whether run_config.toml is to be replaced with the next checkpoint.
    config_is_new: bool,
    pub(crate) progress: Progress,
    pub(crate) optimizer: Box<dyn Optimizer>,
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
        let mut changed = false;
        let (progress, adamw, resumed_from) = match checkpoint {
            None => (Progress::default(), AdamW::new(&trainer.parameters, weight_decay), None),
            Some(Checkpoint { dir: path, mut state }) => {
                let differences = state.run.differences(&trainer.fingerprint);
                if !differences.is_empty() {
                    accept(trainer, &path, &mut state, differences, observer)?;
                    changed = true;
                }
                let adamw = checkpoint::restore(&path, &state, &trainer.parameters, weight_decay)?;
                (state.progress, adamw, Some(path))
            }
        };
        let optimizer = place(adamw, &trainer.parameters)?;
        let metrics = Metrics::open(dir.work(), progress.step)?;
        if resumed_from.is_none() {
            // Last: metrics and settings together mark the directory as a run's.
            let config = dir.work().join(RUN_CONFIG);
            files::write_file(&config, trainer.files.run_config_toml.as_bytes())?;
        }
        let data_files = trainer.data_files.clone();
        // What was allowed to change is the run's own from the first checkpoint on that knows of it.
        let config_is_new = changed;
        let mut run =
            Self { dir, observer, data_files, config_is_new, progress, optimizer, metrics };
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
            // Whatever else is wrong, this error is the one to tell.
            let usable = usable(self.dir.work()).unwrap_or_default();
            let checkpoint = usable.into_iter().next_back().map(|(path, _)| path);
            return Err(TrainError::NonFinite { step, in_a_row, checkpoint });
        }
        self.warn(&format!("step {step} was skipped: its loss or gradient norm is not finite"));
        Ok(())
    }

    /// Saves a checkpoint and removes those that are too many.
    pub(crate) fn save(&mut self, trainer: &Trainer, name: Name) -> Result<PathBuf, TrainError> {
        let warnings: Vec<_> = self.data_files.iter_mut().filter_map(DataFile::warning).collect();
        for warning in &warnings {
            self.warn(warning);
        }
        let path = self.in_its_folder(trainer, |run| run.write_checkpoint(trainer, name))?;
        if self.config_is_new {
            let config = self.dir.work().join(RUN_CONFIG);
            files::write_file(&config, trainer.files.run_config_toml.as_bytes())?;
            self.config_is_new = false;
        }
        tracing::debug!(path = %path.display(), "checkpoint saved");
        self.emit(&Event::CheckpointSaved { path: &path });
        if let Some(limit) = trainer.config.save_total_limit {
            match self.prune(trainer, limit) {
                // Somebody else removes them: then they are no longer too many.
                Err(error) if error.is_not_found() => {}
                pruned => pruned?,
            }
        }
        Ok(path)
    }

    fn write_checkpoint(&self, trainer: &Trainer, name: Name) -> Result<PathBuf, TrainError> {
        // The lines up to here must outlive a power cut that the checkpoint outlives.
        self.metrics.sync()?;
        let adamw = self.optimizer.state()?;
        let contents = Contents {
            artifacts: &trainer.artifacts,
            peft: &trainer.peft,
            parameters: &trainer.parameters,
            adamw: &adamw,
            progress: &self.progress,
            run: &trainer.fingerprint,
        };
        contents.save(self.dir.work(), name)
    }

    /// Writes something into the run's folder. Where somebody has removed that, or does so meanwhile, it is made again: what
    /// is in memory is worth more than an error. A removal takes a while, so there are several tries.
    fn in_its_folder<T>(
        &mut self,
        trainer: &Trainer,
        write: impl Fn(&Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let mut tries = 0;
        loop {
            match self.restore_folder(trainer).and_then(|()| write(self)) {
                // What a removal that is under way has not reached yet may look like somebody else's.
                Err(error)
                    if (error.is_not_found()
                        || matches!(error, TrainError::ForeignFiles { .. }))
                        && tries < TRIES =>
                {
                    tries += 1;
                    std::thread::sleep(tries * PAUSE);
                }
                written => return written,
            }
        }
    }

    /// Whether the folder has what a run leaves there before its first step.
    fn is_in_place(&self) -> bool {
        self.metrics.is_there() && self.dir.work().join(RUN_CONFIG).is_file()
    }

    fn restore_folder(&mut self, trainer: &Trainer) -> Result<(), TrainError> {
        self.dir.restore()?;
        if self.is_in_place() {
            return Ok(());
        }
        let work = self.dir.work().to_owned();
        if !self.metrics.is_there() {
            // Whoever took the place may have put something of theirs there.
            if self.metrics.is_taken() || self.dir.is_taken() {
                let names = vec![crate::metrics::FILE.to_owned()];
                return Err(TrainError::ForeignFiles { dir: work, names });
            }
            check_place(&work)?;
            self.metrics.restore()?;
        }
        files::write_file(&work.join(RUN_CONFIG), trainer.files.run_config_toml.as_bytes())?;
        self.warn(&format!(
            "files of this run in {} were removed while it was going on: the folder is made again from what is in memory; \
             earlier checkpoints that were removed are lost",
            work.display()
        ));
        Ok(())
    }

    /// Removes the oldest checkpoints beyond `limit`, but neither the newest nor the best.
    fn prune(&mut self, trainer: &Trainer, limit: usize) -> Result<(), TrainError> {
        let checkpoints = usable(self.dir.work())?;
        let best = best(&checkpoints, &trainer.fingerprint).map(|(path, _)| path);
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
        let checkpoints = self.in_its_folder(trainer, |run| usable(run.dir.work()))?;
        let best = best(&checkpoints, &trainer.fingerprint);
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
        let path = work.join(STATS);
        let json = serde_json::to_string_pretty(&stats);
        let json = json.map_err(|source| TrainError::Json { path: path.clone(), source })? + "\n";
        self.in_its_folder(trainer, |run| {
            files::publish_dir(&work.join(FINAL_MODEL), |dir| {
                save_adapter(dir, &trainer.peft, &tensors)?;
                trainer.artifacts.write(dir)
            })?;
            run.metrics.sync()?;
            files::write_file(&path, json.as_bytes())
        })?;
        let final_model = self.dir.finish()?;
        self.observer.event(&Event::FinalModel { path: &final_model, step: final_model_step });
        Ok(Outcome::Completed { final_model, stats })
    }
}

/// Goes on from a checkpoint that was written with other settings or data, where that is asked for and possible.
fn accept(
    trainer: &Trainer,
    checkpoint: &Path,
    state: &mut State,
    differences: Vec<Difference>,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let checkpoint = checkpoint.to_owned();
    if !trainer.allow_changes || differences.iter().any(|difference| difference.fixed) {
        return Err(TrainError::ResumeMismatch { checkpoint, differences });
    }
    let (step, total_steps) = (state.progress.step, trainer.plan.total_steps);
    // At the very end of a run whose last epoch is closed, its final model may still be missing.
    if step > total_steps || step == total_steps && state.progress.epoch.steps > 0 {
        return Err(TrainError::NothingLeft { checkpoint, step, total_steps });
    }
    for difference in &differences {
        let message = format!("{difference}: from step {step} on, this run takes the new one");
        observer.event(&Event::Warning { message: &message });
    }
    if !state.run.validates_as(&trainer.fingerprint) {
        state.progress.forget_evaluations();
    }
    Ok(())
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

/// The checkpoint saved at the evaluation with the lowest loss; the earlier of equals. Losses that cannot be compared with
/// those of the run as it is now do not count.
fn best<'a>(
    checkpoints: &'a [(PathBuf, State)],
    run: &Fingerprint,
) -> Option<&'a (PathBuf, State)> {
    let loss = |(_, state): &(PathBuf, State)| {
        state
            .progress
            .current_evaluation()
            .map(|evaluation| evaluation.loss)
            .filter(|loss| loss.is_finite() && state.run.validates_as(run))
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
