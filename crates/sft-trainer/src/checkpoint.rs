//! Checkpoints: a loadable adapter, the optimizer's moments and the loop's counters.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use safetensors::{SafeTensorError, tensor::Dtype};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sft_dataset::SftConfig;
use sft_kernels::random::Fnv;
use sft_lora::peft::{PeftConfig, load_adapter, save_safetensors_adapter};
use sft_lora::{open_safetensors, serialize_to_file};

use crate::TrainError;
use crate::adamw::{AdamW, Moments};
use crate::artifacts::Artifacts;
use crate::files::{self, Context};
use crate::fingerprint::Fingerprint;
use crate::progress::Progress;

/// The file that makes a directory a checkpoint of ours.
pub(crate) const STATE: &str = "trainer_state.json";
/// Size and hash of every other file; written last.
pub(crate) const MANIFEST: &str = "manifest.json";
const OPTIMIZER: &str = "optimizer.safetensors";
/// Version of trainer_state.json.
const FORMAT: u32 = 2;

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
}

/// manifest.json: size and FNV-1a of every other file, by name.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Manifest(BTreeMap<String, FileRecord>);

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
    pub(crate) artifacts: &'a Artifacts,
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
            self.artifacts.write(dir)?;
            save_moments(&dir.join(OPTIMIZER), self.adamw, self.parameters)?;
            let state = State {
                format: FORMAT,
                adamw_step: self.adamw.step,
                progress: self.progress.clone(),
                run: self.run.clone(),
            };
            write_json(&dir.join(STATE), &state)?;
            write_json(&dir.join(MANIFEST), &records(dir)?)
        })?;
        Ok(path)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let json = serde_json::to_vec_pretty(value)
        .map_err(|source| TrainError::Json { path: path.into(), source })?;
    fs::write(path, json).context("write", path)
}

impl Checkpoint {
    /// Reads a checkpoint's state and checks every file of it.
    ///
    /// # Errors
    /// [`TrainError::BadCheckpoint`] with the reason.
    pub(crate) fn read(dir: &Path) -> Result<Self, TrainError> {
        let bad = |reason: String| TrainError::BadCheckpoint { path: dir.into(), reason };
        let state = read_state(dir)?;
        let manifest: Manifest = read_json(dir, MANIFEST)?;
        let Manifest(found) = records(dir).map_err(|error| bad(error.to_string()))?;
        // What restoring reads must be among what was checked.
        for name in [STATE, OPTIMIZER] {
            if !manifest.0.contains_key(name) {
                return Err(bad(format!("{MANIFEST} does not name {name}")));
            }
        }
        for (name, record) in &manifest.0 {
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
    let saved = open_safetensors(&bytes).map_err(|error| bad(format!("{OPTIMIZER}: {error}")))?;
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

/// Whether a directory has nothing but files of a checkpoint: what is left of one whose writing a power cut has stopped.
pub(crate) fn is_fragment(dir: &Path) -> bool {
    const FILES: [&str; 9] = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        SftConfig::FILE_NAME,
        OPTIMIZER,
        STATE,
        MANIFEST,
    ];
    let ours = |path: &PathBuf| path.is_file() && FILES.contains(&&*files::name(path));
    dir.is_dir() && files::entries(dir).is_ok_and(|entries| entries.iter().all(ours))
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
    let state: State = read_json(dir, STATE)?;
    if state.format != FORMAT {
        let reason = format!("{STATE} has format {}, this version reads {FORMAT}", state.format);
        return Err(TrainError::BadCheckpoint { path: dir.into(), reason });
    }
    Ok(state)
}

fn read_json<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<T, TrainError> {
    let bad = |error: &dyn fmt::Display| {
        let reason = format!("{name}: {error}");
        TrainError::BadCheckpoint { path: dir.into(), reason }
    };
    let text = fs::read_to_string(dir.join(name)).map_err(|error| bad(&error))?;
    serde_json::from_str(&text).map_err(|error| bad(&error))
}

/// Size and hash of every file of a checkpoint but the manifest itself.
fn records(dir: &Path) -> Result<Manifest, TrainError> {
    let mut records = BTreeMap::new();
    for path in files::entries(dir)? {
        let name = files::name(&path);
        if name != MANIFEST && path.is_file() {
            let record = FileRecord::of(&path).context("read", &path)?;
            records.insert(name.into_owned(), record);
        }
    }
    Ok(Manifest(records))
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
    let fail = |source| match source {
        SafeTensorError::IoError(source) => {
            TrainError::Io { action: "write", path: path.into(), source }
        }
        source => TrainError::OptimizerState { path: path.into(), source },
    };
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
