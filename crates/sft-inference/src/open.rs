//! A generator from the folders on disk.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use sft_dataset::{PromptTemplate, PromptTokenizer, SftConfig};
use sft_lora::peft::{PeftAdapter, load_adapter};
use sft_model::names;
use sft_model::runtime::{DTypeChoice, DeviceChoice};
use sft_model::{Decoder, ModelDir};

use crate::{Generator, InferenceError};

/// Where a model comes from and how it runs.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// An adapter's folder (it holds `adapter_config.json`) or a Hugging Face model folder.
    pub model_path: PathBuf,
    /// The folder of the base model, instead of the one the adapter names.
    pub base_model: Option<PathBuf>,
    /// Instead of the template saved beside the adapter.
    pub prompt_template: Option<PromptTemplate>,
    /// The device to run on.
    pub device: DeviceChoice,
    /// The data type of the base model's weights.
    pub dtype: DTypeChoice,
}

impl OpenOptions {
    /// What is in `model_path`, on the automatic device and data type.
    pub fn new(model_path: impl Into<PathBuf>) -> Self {
        Self {
            model_path: model_path.into(),
            base_model: None,
            prompt_template: None,
            device: DeviceChoice::Auto,
            dtype: DTypeChoice::Auto,
        }
    }
}

impl Generator {
    /// Reads the model, its adapter if there is one, its tokenizer and its template.
    ///
    /// The tokenizer is the one saved with the adapter, else the base's; the template is the one
    /// in `options`, else the one in `sft_config.json`, else the default.
    ///
    /// # Errors
    /// A folder or file that is missing or damaged, a device or data type that is not available,
    /// a template that does not suit the tokenizer.
    pub fn open(options: &OpenOptions) -> Result<Self, InferenceError> {
        let device = options.device.open()?;
        let dtype = options.dtype.resolve(&device)?;
        let sources = Sources::find(&options.model_path, options.base_model.as_deref(), &device)?;
        let saved = sources.sft_config()?;

        let mut stop_ids = sources.base.stop_ids()?;
        stop_ids.extend(saved.as_ref().map(|config| config.eos_token_id));
        let eos_id = match &saved {
            Some(config) => config.eos_token_id,
            None => sources.base.target_eos()?,
        };
        let max_length = saved.as_ref().map_or(usize::MAX, |config| config.max_length);
        let template = match (&options.prompt_template, saved) {
            (Some(template), _) => template.clone(),
            (None, Some(config)) => PromptTemplate::new(config.prompt_template)?,
            (None, None) => PromptTemplate::default(),
        };
        let prompts = PromptTokenizer::from_file(&sources.tokenizer_json()?, template, eos_id)?;
        let decoder = sources.load(dtype, &device)?;
        Ok(Self::new(decoder, prompts, stop_ids).limited_to(max_length))
    }
}

/// What a model is made of.
pub(crate) struct Sources {
    /// What the user named: the adapter's folder, or the model's.
    pub(crate) folder: PathBuf,
    /// The adapter, if `folder` holds one.
    pub(crate) adapter: Option<PeftAdapter>,
    /// The base model, or the model itself.
    pub(crate) base: ModelDir,
}

impl Sources {
    /// Reads everything but the base's weights.
    pub(crate) fn find(
        folder: &Path,
        base: Option<&Path>,
        device: &Device,
    ) -> Result<Self, InferenceError> {
        let folder = existing_folder(folder)?;
        if !folder.join("adapter_config.json").is_file() {
            let final_model = folder.join("final_model");
            let is_run = !folder.join("config.json").is_file()
                && final_model.join("adapter_config.json").is_file();
            return match base {
                _ if is_run => Err(InferenceError::RunFolder { folder, adapter: final_model }),
                Some(base) => {
                    Err(InferenceError::BaseWithoutAdapter { folder, base: base.to_owned() })
                }
                None => Ok(Self { adapter: None, base: ModelDir::open(&folder)?, folder }),
            };
        }
        let adapter = load_adapter(&folder, device)?;
        let base = match base {
            Some(base) => existing_folder(base)?,
            None => named_base(&adapter)?,
        };
        Ok(Self { folder, adapter: Some(adapter), base: ModelDir::open(&base)? })
    }

    /// The model with its adapter.
    pub(crate) fn load(&self, dtype: DType, device: &Device) -> Result<Decoder, InferenceError> {
        let mut decoder = Decoder::load(&self.base, dtype, device)?;
        if let Some(adapter) = &self.adapter {
            decoder.load_lora(adapter)?;
        }
        Ok(decoder)
    }

    fn sft_config(&self) -> Result<Option<SftConfig>, InferenceError> {
        let saved = self.folder.join(SftConfig::FILE_NAME).is_file();
        Ok(if saved { Some(SftConfig::load(&self.folder)?) } else { None })
    }

    fn tokenizer_json(&self) -> Result<PathBuf, InferenceError> {
        let saved = self.folder.join("tokenizer.json");
        Ok(if saved.is_file() { saved } else { self.base.tokenizer_json()? })
    }
}

/// The base model that an adapter names.
fn named_base(adapter: &PeftAdapter) -> Result<PathBuf, InferenceError> {
    let named = adapter.config.base_model_name_or_path.as_deref();
    let base = canonical(Path::new(named.unwrap_or("(none named)")));
    if base.is_dir() {
        Ok(base)
    } else if named == Some(EMBEDDED) {
        Err(InferenceError::EmbeddedBase)
    } else {
        let (adapter, base) = (adapter.dir.clone(), base.display().to_string());
        Err(InferenceError::BaseNotAFolder { adapter, base })
    }
}

/// The name of the model that a later build carries in itself.
const EMBEDDED: &str = "embedded";

/// The folder that a user means with a path or a name.
fn existing_folder(given: &Path) -> Result<PathBuf, InferenceError> {
    let path = canonical(given);
    if path.is_dir() {
        Ok(path)
    } else if path == Path::new(EMBEDDED) {
        Err(InferenceError::EmbeddedBase)
    } else if path.to_str().is_some_and(names::is_hub_id) {
        Err(InferenceError::HubId { id: path })
    } else {
        Err(InferenceError::NotAFolder { given: path })
    }
}

/// The path with a wrong but common hub id corrected.
fn canonical(given: &Path) -> PathBuf {
    match given.to_str().and_then(|name| Some((name, names::renamed(name)?))) {
        Some((name, meant)) => {
            tracing::warn!("{name} has no usable repository on the hub; taking {meant}");
            PathBuf::from(meant)
        }
        None => given.to_owned(),
    }
}
