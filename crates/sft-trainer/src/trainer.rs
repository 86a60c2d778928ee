//! The loop.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Var;
use sft_dataset::{Batch, Example, Permutation};
use sft_kernels::DropoutStream;
use sft_lora::peft::PeftConfig;
use sft_model::memory::{BatchShape, MemoryPlan};
use sft_model::{Decoder, Gradients, LossSum, Packed, Recompute, TrainPass};

use crate::artifacts::Artifacts;
use crate::checkpoint::Name;
use crate::fingerprint::{self, Fingerprint};
use crate::gradients::require_all;
use crate::memory::largest_batch;
use crate::metrics::EvalRecord;
use crate::optimizer::Step;
use crate::progress::{Evaluation, Progress};
use crate::run::Run;
use crate::run_dir::RunDir;
use crate::{
    DataFile, Event, Observer, Outcome, Plan, ResumeFrom, RunFiles, Schedule, StepRecord, StopFlag,
    TrainConfig, TrainError, memory,
};

/// Trains the adapters of a model.
///
/// The result is a function of the settings, the model's adapters at the start, and the data: two runs give the same
/// bytes, and so does one that was killed anywhere and resumed, with any number of threads, and with or without
/// recomputed activations.
pub struct Trainer {
    pub(crate) config: TrainConfig,
    pub(crate) model: Decoder,
    pub(crate) parameters: BTreeMap<String, Var>,
    pub(crate) peft: PeftConfig,
    pub(crate) train: Vec<Example>,
    pub(crate) val: Vec<Example>,
    pub(crate) files: RunFiles,
    pub(crate) artifacts: Artifacts,
    pub(crate) plan: Plan,
    pub(crate) fingerprint: Fingerprint,
    recompute: Recompute,
    pub(crate) allow_changes: bool,
    pub(crate) data_files: Vec<DataFile>,
    /// What the run was planned to take.
    pub(crate) memory: Option<MemoryPlan>,
    order: Permutation,
    schedule: Schedule,
}

impl Trainer {
    /// Checks everything that can be checked before training. A new run starts from the values that the model's
    /// adapters have.
    ///
    /// # Errors
    /// When settings are out of range, there is nothing to train or to train on, or the tokenizer file is missing.
    pub fn new(
        config: TrainConfig,
        model: Decoder,
        train: Vec<Example>,
        val: Vec<Example>,
        files: RunFiles,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let parameters = model.lora_parameters();
        let lora = model
            .lora_config()
            .filter(|_| !parameters.is_empty())
            .ok_or(TrainError::NothingToTrain)?;
        if train.is_empty() {
            return Err(TrainError::NoTrainingData);
        }
        if config.early_stopping_patience.is_some() && val.is_empty() {
            return Err(TrainError::NoValidationData);
        }
        let has_target = |example: &Example| (1..example.ids.len()).contains(&example.first_target);
        if let Some(example) = train.iter().chain(&val).find(|example| !has_target(example)) {
            return Err(TrainError::ExampleWithoutTarget {
                line: example.line,
                tokens: example.ids.len(),
                first_target: example.first_target,
            });
        }
        let artifacts = files.read()?;

        let mut fingerprint = Fingerprint::default();
        let json = |source| TrainError::Json { path: files.output_dir.clone(), source };
        fingerprint.add_fields(&config).map_err(json)?;
        fingerprint.add_fields(lora).map_err(json)?;
        fingerprint.add_fields(&files.sft_config).map_err(json)?;
        fingerprint.add("base_model", files.base_model_name.as_str());
        fingerprint.add("base_parameters", model.total_parameters() - model.trainable_parameters());
        fingerprint.add("base_weights", model.base_fingerprint()?);
        fingerprint.add("dtype", model.dtype().as_str());
        if let Some(quantize) = model.quantize() {
            fingerprint.add("quantize", quantize.to_string());
        }
        fingerprint.add("training_data", fingerprint::examples(&train));
        fingerprint.add("validation_data", fingerprint::examples(&val));

        let revision = files.base_model_revision.as_deref();
        let targets = model.adapted_leaf_names();
        let peft = PeftConfig::from_lora(lora, &files.base_model_name, revision, &targets);
        let plan = Plan::new(&config, train.len());
        let schedule = Schedule::new(&config, &plan);
        let order = Permutation::new(train.len(), config.shuffle.then_some(config.seed));
        let [of_train, of_val] = [&train, &val].map(|set| largest_batch(set, plan.batch_size));
        model.expect(&BatchShape {
            tokens: of_train.tokens.max(of_val.tokens),
            targets: of_train.targets.max(of_val.targets),
            longest: of_train.longest.max(of_val.longest),
        });
        let again = config.gradient_checkpointing;
        Ok(Self {
            recompute: if again { Recompute::All } else { Recompute::None },
            allow_changes: false,
            data_files: Vec::new(),
            memory: None,
            config,
            model,
            parameters,
            peft,
            train,
            val,
            files,
            artifacts,
            plan,
            fingerprint,
            order,
            schedule,
        })
    }

    /// Computes again in the backward pass what the plan says, in place of what the settings say. It
    /// never changes a byte of the result, so a resumed run may follow another plan.
    pub fn follow(&mut self, plan: MemoryPlan) {
        self.recompute = plan.recompute();
        self.memory = Some(plan);
    }

    /// Lets a resumed run go on with other settings and data than its checkpoint was written with, but for what its adapter is
    /// made for. Each difference is told as a warning.
    pub fn allow_changes(&mut self) {
        self.allow_changes = true;
    }

    /// Looks after the files that the examples came from: when a checkpoint is saved, a change of theirs is told as a
    /// warning.
    pub fn watch(&mut self, files: Vec<DataFile>) {
        self.data_files = files;
    }

    /// Steps and epochs of the run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The model; after a run its adapters hold the final values.
    pub fn model(&self) -> &Decoder {
        &self.model
    }

    /// The model for itself, to be used after a run.
    pub fn into_model(self) -> Decoder {
        self.model
    }

    /// Trains until the last step, early stopping, or the stop flag.
    ///
    /// # Errors
    /// When the output directory cannot take the run, a checkpoint cannot be resumed, a parameter has no gradient,
    /// losses are not finite, or a file cannot be written. A run that failed can be resumed from its last checkpoint.
    pub fn run(
        &mut self,
        resume: ResumeFrom,
        observer: &mut dyn Observer,
        stop: &StopFlag,
    ) -> Result<Outcome, TrainError> {
        if let ResumeFrom::Dir(path) = &resume
            && !path.is_dir()
        {
            let reason = "there is no such directory".into();
            return Err(TrainError::BadCheckpoint { path: path.clone(), reason });
        }
        let Some(dir) = RunDir::open(&self.files.output_dir, &resume)? else {
            return Ok(Outcome::AlreadyFinished);
        };
        let mut run = Run::begin(self, dir, &resume, observer)?;
        while !self.is_over(&run.progress) {
            self.step(&mut run)?;
            let best = self.evaluate_if_due(&mut run)?;
            let epoch = self.close_epoch_if_over(&mut run);
            let mut saved = self.save_if_due(&mut run, best, epoch)?;
            if stop.takes_save() && saved.is_none() {
                saved = Some(run.save(self, Name::Step(run.progress.step))?);
            }
            if stop.is_set() && !self.is_over(&run.progress) {
                let checkpoint = match saved {
                    Some(path) => path,
                    None => run.save(self, Name::Step(run.progress.step))?,
                };
                return Ok(Outcome::Stopped { checkpoint });
            }
        }
        run.complete(self)
    }

    /// One optimizer step: the mean loss over the target tokens of a window of micro-batches.
    fn step(&self, run: &mut Run<'_>) -> Result<(), TrainError> {
        let started = Instant::now();
        self.model.check_unchanged()?;
        let steps_done = run.progress.step;
        let window = self.accumulate(steps_done)?;
        let learning_rate = self.schedule.learning_rate(steps_done);

        require_all(&window.gradients, &self.parameters)?;
        let loss = window.loss;
        let step = Step { loss, max_norm: self.config.max_grad_norm, learning_rate };
        let grad_norm = run.optimizer.advance(step, &self.parameters, window.gradients)?;
        let skipped = !step.counts(grad_norm);

        let seconds = started.elapsed().as_secs_f64();
        let record = StepRecord {
            step: steps_done + 1,
            epoch: self.plan.epoch(steps_done) + 1,
            loss: loss.nll / loss.targets as f64,
            grad_norm,
            learning_rate,
            tokens: window.tokens,
            target_tokens: loss.targets,
            seconds,
            tokens_per_s: window.tokens as f64 / seconds,
            peak_memory_mb: memory::peak_memory_mb(),
            skipped,
        };
        run.progress.stepped(&record, loss.nll);
        run.metrics.append(&record)?;
        run.emit(&Event::Step(record));
        if skipped {
            run.skipped()?;
        } else if let Some(warning) = run.progress.trend.follow(record.loss) {
            run.warn(&warning);
        }
        Ok(())
    }

    /// Loss sum and gradients of the window after `steps_done`.
    fn accumulate(&self, steps_done: usize) -> Result<Window, TrainError> {
        let dropout = DropoutStream { seed: self.config.seed, step: steps_done as u64 };
        let pass = TrainPass { dropout: Some(dropout), recompute: self.recompute };
        let order = self.order.epoch(self.plan.epoch(steps_done) as u64);
        let mut window = Window::default();
        for micro_batch in order[self.plan.window(steps_done)].chunks(self.plan.batch_size) {
            // The order in which rows are packed decides the order of sums: it is always the data's.
            let mut rows = micro_batch.to_vec();
            rows.sort_unstable();
            let batch = Batch::pack(rows.iter().map(|&index| &self.train[index]));
            let targets = pairs(&batch);
            let loss = self.model.forward_backward(
                &packed(&batch),
                &targets,
                &pass,
                &mut window.gradients,
            )?;
            window.loss.nll += loss.nll;
            window.loss.targets += loss.targets;
            window.tokens += batch.tokens();
        }
        Ok(window)
    }

    /// Evaluates at the end of an epoch and every `eval_steps`. Whether the loss is the lowest so far.
    fn evaluate_if_due(&self, run: &mut Run<'_>) -> Result<bool, TrainError> {
        let step = run.progress.step;
        let due = self.plan.ends_epoch(step)
            || self.config.eval_steps.is_some_and(|n| step.is_multiple_of(n));
        if !due || self.val.is_empty() {
            return Ok(false);
        }
        let (eval_loss, epoch) = (self.evaluate()?, self.plan.epoch(step - 1) + 1);
        let best = run.progress.evaluated(Evaluation { step, epoch, loss: eval_loss });
        run.metrics.append(&EvalRecord { step, epoch, eval_loss })?;
        run.emit(&Event::Evaluated { step, epoch, eval_loss, best });
        if !eval_loss.is_finite() {
            run.warn(&format!("the validation loss after step {step} is not finite"));
        }
        let waited = run.progress.evaluations_without_improvement;
        if let Some(warning) = run.progress.overfitting() {
            run.warn(&warning);
        }
        if self.config.early_stopping_patience.is_some_and(|patience| waited >= patience)
            && step < self.plan.total_steps
        {
            run.progress.stopped_early = true;
            if let Some(best) = run.progress.best_evaluation {
                run.emit(&Event::EarlyStopped { step, best_step: best.step, best_loss: best.loss });
            }
        }
        Ok(best)
    }

    /// Token-weighted mean loss over the validation set, in file order, with the micro-batch size of training.
    fn evaluate(&self) -> Result<f64, TrainError> {
        let (mut nll, mut targets) = (0.0, 0);
        for micro_batch in self.val.chunks(self.plan.batch_size) {
            let batch = Batch::pack(micro_batch);
            let loss = self.model.loss(&packed(&batch), &pairs(&batch))?;
            nll += loss.nll;
            targets += loss.targets;
        }
        Ok(nll / targets as f64)
    }

    /// Whether an epoch is closed: at its end, or with the run's.
    fn close_epoch_if_over(&self, run: &mut Run<'_>) -> bool {
        let over = self.plan.ends_epoch(run.progress.step) || run.progress.stopped_early;
        if over {
            let totals = run.progress.finish_epoch();
            let event = Event::EpochFinished {
                epoch: run.progress.epochs.len(),
                epochs: self.plan.epochs.max(run.progress.epochs.len()),
                train_loss: totals.train_loss(),
                val_loss: totals.evaluation.map(|evaluation| evaluation.loss),
                seconds: totals.seconds,
            };
            run.emit(&event);
        }
        over
    }

    /// Saves every `save_steps`, at the end of an epoch, and where early stopping may want to come back to.
    fn save_if_due(
        &self,
        run: &mut Run<'_>,
        best: bool,
        epoch: bool,
    ) -> Result<Option<PathBuf>, TrainError> {
        let step = run.progress.step;
        let due = self.config.save_steps.is_some_and(|n| step.is_multiple_of(n));
        let keep_best = best && self.config.early_stopping_patience.is_some() && !epoch;
        let mut saved = None;
        if due || keep_best {
            saved = Some(run.save(self, Name::Step(step))?);
        }
        if epoch {
            saved = Some(run.save(self, Name::Epoch(run.progress.epochs.len()))?);
        }
        Ok(saved)
    }

    pub(crate) fn is_over(&self, progress: &Progress) -> bool {
        progress.step >= self.plan.total_steps || progress.stopped_early
    }
}

/// Sums over the micro-batches of a window.
#[derive(Default)]
struct Window {
    loss: LossSum,
    tokens: usize,
    gradients: Gradients,
}

fn packed(batch: &Batch) -> Packed<'_> {
    Packed {
        ids: &batch.ids,
        positions: &batch.positions,
        cu_seqlens: &batch.cu_seqlens,
        example: &batch.example,
    }
}

fn pairs(batch: &Batch) -> Vec<(u32, u32)> {
    batch.targets.iter().map(|target| (target.row, target.label)).collect()
}
