//! Checkpoints: a loadable adapter, the optimizer's moments and the loop's counters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use sft_kernels::random::Fnv;
use sft_lora::peft::{PeftConfig, load_adapter, save_safetensors_adapter};
use sft_lora::serialize_to_file;

use crate::adamw::{AdamW, Moments};
use crate::files::{self, Context};
use crate::fingerprint::Fingerprint;
use crate::progress::Progress;
use crate::{RunFiles, TrainError};

/// The file that makes a directory a checkpoint of ours.
pub(crate) const STATE: &str = "trainer_state.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Version of trainer_state.json.
const FORMAT: u32 = 1;

/// The name of a checkpoint's directory. Ordered by when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `checkpoint_step_N`
    Step(usize),
    /// `checkpoint_epoch_N`
    Epoch(usize),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(n) => write!(f, "checkpoint_step_{n}"),
            Self::Epoch(n) => write!(f, "checkpoint_epoch_{n}"),
        }
    }
}

/// trainer_state.json.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    format: u32,
    /// Steps of AdamW: skipped steps do not count.
    adamw_step: u64,
    pub(crate) progress: Progress,
    /// Resolved settings and data.
    pub(crate) run: Fingerprint,
    /// Size and FNV-1a of every other file.
    files: BTreeMap<String, FileRecord>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FileRecord {
    bytes: u64,
    fnv1a: String,
}

impl FileRecord {
    fn of(path: &Path) -> io::Result<Self> {
        let mut hash = Fnv::default();
        let bytes = io::copy(&mut File::open(path)?, &mut hash)?;
        Ok(Self { bytes, fnv1a: hash.hex() })
    }
}

/// What a checkpoint is made of.
pub(crate) struct Contents<'a> {
    pub(crate) files: &'a RunFiles,
    pub(crate) peft: &'a PeftConfig,
    pub(crate) parameters: &'a BTreeMap<String, Var>,
    pub(crate) adamw: &'a AdamW,
    pub(crate) progress: &'a Progress,
    pub(crate) run: &'a Fingerprint,
}

/// A checkpoint on disk whose files are all there and undamaged.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(crate) dir: PathBuf,
    pub(crate) state: State,
}

impl Contents<'_> {
    /// Writes the checkpoint: it appears complete or not at all.
    pub(crate) fn save(&self, run_dir: &Path, name: Name) -> Result<PathBuf, TrainError> {
        let path = run_dir.join(name.to_string());
        files::publish_dir(&path, |dir| {
            save_safetensors_adapter(dir, self.peft, &tensors(self.parameters))?;
            self.files.write(dir)?;
            save_moments(&dir.join(OPTIMIZER), self.adamw, self.parameters)?;
            let state = State {
                format: FORMAT,
                adamw_step: self.adamw.step,
                progress: self.progress.clone(),
                run: self.run.clone(),
                files: records(dir)?,
            };
            let path = dir.join(STATE);
            let json = serde_json::to_vec_pretty(&state);
            let json = json.map_err(|source| TrainError::Json { path: path.clone(), source })?;
            fs::write(&path, json).context("write", &path)
        })?;
        Ok(path)
    }
}

impl Checkpoint {
    /// Reads a checkpoint's state and checks every file of it.
    ///
    /// # Errors
    /// [`TrainError::BadCheckpoint`] with the reason.
    pub(crate) fn read(dir: &Path) -> Result<Self, TrainError> {
        let bad = |reason: String| TrainError::BadCheckpoint { path: dir.into(), reason };
        let state = read_state(dir)?;
        let found = records(dir).map_err(|error| bad(error.to_string()))?;
        for (name, record) in &state.files {
            match found.get(name) {
                Some(file) if file == record => {}
                Some(file) if file.bytes != record.bytes => {
                    return Err(bad(format!(
                        "{name} has {} bytes instead of {}",
                        file.bytes, record.bytes
                    )));
                }
                Some(_) => return Err(bad(format!("{name} has changed since it was written"))),
                None => return Err(bad(format!("{name} is missing"))),
            }
        }
        Ok(Self { dir: dir.into(), state })
    }
}

/// Puts the saved values back into the parameters, and returns the optimizer as it was.
pub(crate) fn restore(
    dir: &Path,
    state: &State,
    parameters: &BTreeMap<String, Var>,
    weight_decay: f64,
) -> Result<AdamW, TrainError> {
    let bad = |reason: String| TrainError::BadCheckpoint { path: dir.into(), reason };
    let path = dir.join(OPTIMIZER);
    let bytes = fs::read(&path).context("read", &path)?;
    let saved =
        SafeTensors::deserialize(&bytes).map_err(|error| bad(format!("{OPTIMIZER}: {error}")))?;
    let mut moments = BTreeMap::new();
    for (name, var) in parameters {
        let load = |moment: &str| {
            let key = format!("{name}.{moment}");
            let view =
                saved.tensor(&key).map_err(|error| bad(format!("{OPTIMIZER}: {key}: {error}")))?;
            if view.dtype() != Dtype::F32 || view.shape() != var.dims() {
                return Err(bad(format!("{OPTIMIZER}: {key} is not of the parameter's shape")));
            }
            Ok(view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        };
        moments.insert(
            name.clone(),
            Moments { exp_avg: load("exp_avg")?, exp_avg_sq: load("exp_avg_sq")? },
        );
    }
    restore_adapter(dir, parameters)?;
    Ok(AdamW { step: state.adamw_step, moments, weight_decay })
}

/// Gives the parameters the values saved in `dir`, which must be exactly theirs, by name and shape.
pub(crate) fn restore_adapter(
    dir: &Path,
    parameters: &BTreeMap<String, Var>,
) -> Result<(), TrainError> {
    let device = parameters.values().next().map_or(&Device::Cpu, |var| var.device());
    let tensors = load_adapter(dir, device)?.tensors;
    for name in parameters.keys().chain(tensors.keys()) {
        let saved = tensors.get(name).map(Tensor::dims);
        let current = parameters.get(name).map(|var| var.dims());
        if saved != current {
            let reason = format!("{name} has shape {saved:?} there and {current:?} in the model");
            return Err(TrainError::BadCheckpoint { path: dir.into(), reason });
        }
    }
    for (name, tensor) in &tensors {
        if let Some(var) = parameters.get(name) {
            var.set(tensor)?;
        }
    }
    Ok(())
}

/// The values of the parameters.
pub(crate) fn tensors(parameters: &BTreeMap<String, Var>) -> BTreeMap<String, Tensor> {
    parameters.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect()
}

/// Whether a checkpoint can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let number =
        name.strip_prefix("checkpoint_step_").or_else(|| name.strip_prefix("checkpoint_epoch_"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The directories in `run_dir` that are named like checkpoints, each with its state if that can be read
/// (other files are not checked), oldest first and unreadable ones last.
pub(crate) fn list(run_dir: &Path) -> Result<Vec<(PathBuf, Option<State>)>, TrainError> {
    let mut checkpoints: Vec<_> = files::entries(run_dir)?
        .into_iter()
        .filter(|path| path.is_dir() && is_name(&files::name(path)))
        .map(|path| {
            let state = read_state(&path).ok();
            (path, state)
        })
        .collect();
    // At one step, the step's checkpoint is written before the epoch's. Unreadable ones might be the newest.
    checkpoints.sort_by_key(|(path, state)| {
        (
            state.as_ref().map_or(usize::MAX, |s| s.progress.step),
            files::name(path).starts_with("checkpoint_epoch"),
        )
    });
    Ok(checkpoints)
}

fn read_state(dir: &Path) -> Result<State, TrainError> {
    let bad = |reason: String| TrainError::BadCheckpoint { path: dir.into(), reason };
    let text =
        fs::read_to_string(dir.join(STATE)).map_err(|error| bad(format!("{STATE}: {error}")))?;
    let state: State =
        serde_json::from_str(&text).map_err(|error| bad(format!("{STATE}: {error}")))?;
    if state.format != FORMAT {
        return Err(bad(format!(
            "{STATE} has format {}, this version reads {FORMAT}",
            state.format
        )));
    }
    Ok(state)
}

/// Size and hash of every file of a checkpoint but its state.
fn records(dir: &Path) -> Result<BTreeMap<String, FileRecord>, TrainError> {
    let mut records = BTreeMap::new();
    for path in files::entries(dir)? {
        let name = files::name(&path);
        if name != STATE && path.is_file() {
            let record = FileRecord::of(&path).context("read", &path)?;
            records.insert(name.into_owned(), record);
        }
    }
    Ok(records)
}

fn save_moments(
    path: &Path,
    adamw: &AdamW,
    parameters: &BTreeMap<String, Var>,
) -> Result<(), TrainError> {
    let mut tensors = Vec::with_capacity(2 * parameters.len());
    for (name, var) in parameters {
        if let Some(Moments { exp_avg, exp_avg_sq }) = adamw.moments.get(name) {
            for (moment, values) in [("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)] {
                tensors.push((format!("{name}.{moment}"), Saved { shape: var.dims(), values }));
            }
        }
    }
    let fail = |source| TrainError::OptimizerState { path: path.into(), source };
    serialize_to_file(tensors, None, path).map_err(fail)
}

/// A moment as it is saved.
struct Saved<'a> {
    shape: &'a [usize],
    values: &'a [f32],
}

impl safetensors::View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}
