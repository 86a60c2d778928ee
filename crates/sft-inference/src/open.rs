//! A generator from the folders on disk.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use sft_dataset::{DatasetError, PromptTemplate, PromptTokenizer, SftConfig, TemplateChoice};
use sft_lora::peft::{PeftAdapter, load_adapter};
use sft_model::runtime::{DTypeChoice, DeviceChoice, Quantize, base_types};
use sft_model::source::{Event, SourceOptions};
use sft_model::{Decoder, ModelDir};

use crate::{Generator, InferenceError};

/// Where a model comes from and how it runs.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// An adapter (its folder holds `adapter_config.json`) or a Hugging Face model: a folder, a hub id or `embedded`.
    pub model_path: PathBuf,
    /// The base model, instead of the one the adapter names.
    pub base_model: Option<PathBuf>,
    /// How a name that is no folder becomes one.
    pub source: SourceOptions,
    /// Instead of the template saved beside the adapter.
    pub prompt_template: Option<TemplateChoice>,
    /// The device to run on.
    pub device: DeviceChoice,
    /// The data type of the base model's weights.
    pub dtype: DTypeChoice,
    /// Whether the matrices of its blocks are kept in few bits.
    pub quantize: Option<Quantize>,
}

impl OpenOptions {
    /// What is in `model_path`, on the automatic device and data type.
    pub fn new(model_path: impl Into<PathBuf>) -> Self {
        Self {
            model_path: model_path.into(),
            base_model: None,
            source: SourceOptions::from_env(),
            prompt_template: None,
            device: DeviceChoice::Auto,
            dtype: DTypeChoice::Auto,
            quantize: None,
        }
    }
}

impl Generator {
    /// Reads the model, its adapter if there is one, its tokenizer and its template.
    ///
    /// The tokenizer is the one saved with the adapter, else the base's; the template is the one
    /// in `options`, else the one in `sft_config.json`, else the default. A chat template is looked for
    /// beside that tokenizer, then in the base's folder.
    ///
    /// # Errors
    /// A model that cannot be found or fetched, a file that is missing or damaged, a device or data type that is not available,
    /// a template that does not suit the tokenizer.
    pub fn open(options: &OpenOptions) -> Result<Self, InferenceError> {
        let device = options.device.open()?;
        base_types(options.quantize, None, options.dtype, &device)?; // before anything is fetched
        let sources = Sources::find(options, &device)?;
        let stored = sources.base.config().quantization;
        let (quantize, dtype) = base_types(options.quantize, stored, options.dtype, &device)?;
        let saved = sources.sft_config()?;

        let tokenizer_json = sources.tokenizer_json()?;
        let (template, turn_end) = match (&options.prompt_template, &saved) {
            (Some(choice), _) => sources.template(choice, &tokenizer_json)?,
            (None, Some(config)) => (config.template()?, None),
            (None, None) => (PromptTemplate::default(), None),
        };
        let saved_eos = saved.as_ref().map(|config| config.eos_token_id);
        let eos_id = turn_end.or(saved_eos).map_or_else(|| sources.base.target_eos(), Ok)?;
        let mut stop_ids = sources.base.stop_ids();
        stop_ids.extend(saved_eos.into_iter().chain([eos_id]));
        let max_length = saved.as_ref().map_or(usize::MAX, |config| config.max_length);
        let prompts = PromptTokenizer::from_file(&tokenizer_json, template, eos_id)?;
        let decoder = sources.load(dtype, quantize, &device)?;
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
    pub(crate) fn find(options: &OpenOptions, device: &Device) -> Result<Self, InferenceError> {
        let found = options.fetched(&mut |event| {
            if let Event::Notice(text) = event {
                tracing::warn!("{text}");
            }
        })?;
        let folder = found.model_path;
        if !folder.join("adapter_config.json").is_file() {
            let final_model = folder.join("final_model");
            let is_run = !folder.join("config.json").is_file()
                && final_model.join("adapter_config.json").is_file();
            return match found.base_model {
                _ if is_run => Err(InferenceError::RunFolder { folder, adapter: final_model }),
                Some(base) => Err(InferenceError::BaseWithoutAdapter { folder, base }),
                None => Ok(Self { adapter: None, base: ModelDir::open(&folder)?, folder }),
            };
        }
        let adapter = load_adapter(&folder, device)?;
        let base = ModelDir::open(found.base_model.as_deref().unwrap_or(&folder))?;
        Ok(Self { folder, adapter: Some(adapter), base })
    }

    /// The model with its adapter.
    pub(crate) fn load(
        &self,
        dtype: DType,
        quantize: Option<Quantize>,
        device: &Device,
    ) -> Result<Decoder, InferenceError> {
        let mut decoder = Decoder::load_as(&self.base, dtype, quantize, device)?;
        if let Some(adapter) = &self.adapter {
            decoder.load_lora(adapter)?;
        }
        Ok(decoder)
    }

    /// The chosen template; a chat template that is not beside the adapter's tokenizer is the base's.
    fn template(
        &self,
        choice: &TemplateChoice,
        tokenizer_json: &Path,
    ) -> Result<(PromptTemplate, Option<u32>), DatasetError> {
        match (choice.resolve(tokenizer_json), self.base.tokenizer_json()) {
            (Err(DatasetError::NoChatTemplate { .. }), Ok(base)) => choice.resolve(&base),
            (resolved, _) => resolved,
        }
    }

    pub(crate) fn sft_config(&self) -> Result<Option<SftConfig>, InferenceError> {
        let saved = self.folder.join(SftConfig::FILE_NAME).is_file();
        Ok(if saved { Some(SftConfig::load(&self.folder)?) } else { None })
    }

    fn tokenizer_json(&self) -> Result<PathBuf, InferenceError> {
        let saved = self.folder.join("tokenizer.json");
        Ok(if saved.is_file() { saved } else { self.base.tokenizer_json()? })
    }
}
