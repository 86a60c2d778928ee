//! Names of models become local folders.

use std::path::{Path, PathBuf};

use sft_lora::peft::PeftConfig;
use sft_model::ModelError;
use sft_model::source::{Event, OnEvent, Place, SourceOptions, Wanted, locate};

use crate::{InferenceError, OpenOptions};

impl OpenOptions {
    /// The same with a local folder for each name, fetched where it has to be: first the model or the adapter, then the
    /// adapter's base. [`crate::Generator::open`] does so by itself; doing it before shows the progress of downloads.
    ///
    /// The revision is that of the model path if this is a hub id, else of the base; else it is the one that the
    /// adapter names.
    ///
    /// # Errors
    /// A name leads nowhere, or its files cannot be had.
    pub fn fetched(&self, on_event: OnEvent<'_>) -> Result<Self, InferenceError> {
        let mut options = self.clone();
        let source = &mut options.source;
        let fetched = is_on_hub(&self.model_path);
        options.model_path = folder(&self.model_path, Wanted::AdapterOrModel, source, on_event)?;
        let adapter = &options.model_path;
        if adapter.join("adapter_config.json").is_file() {
            let base = match &self.base_model {
                Some(base) => folder(base, Wanted::Model, source, on_event)?,
                None => named_base(adapter, fetched, source, on_event)?,
            };
            options.base_model = Some(base);
        }
        if let (Some(revision), Some(_)) = (&self.source.revision, options.source.revision.take()) {
            on_event(Event::Notice(&format!(
                "the revision {revision} is not used: no model of the hub is"
            )));
        }
        Ok(options)
    }
}

fn is_on_hub(name: &Path) -> bool {
    name.to_str().is_some_and(|name| matches!(Place::of(name, &mut |_| {}), Ok(Place::Hub(_))))
}

/// The folder of a name. A revision that it took is used up.
fn folder(
    given: &Path,
    wanted: Wanted,
    options: &mut SourceOptions,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, InferenceError> {
    let Some(name) = given.to_str() else { return Ok(given.to_owned()) };
    let revision = if is_on_hub(given) { options.revision.take() } else { None };
    let options = SourceOptions { revision, ..options.clone() };
    Ok(locate(name, wanted, &options, on_event).map_err(ModelError::from)?)
}

/// The base model that an adapter names. One that was `fetched` has no say over which files of this machine are read.
fn named_base(
    adapter: &Path,
    fetched: bool,
    options: &mut SourceOptions,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, InferenceError> {
    let config = PeftConfig::read(adapter)?;
    let base = config.base_model_name_or_path.unwrap_or_else(|| "(none named)".to_owned());
    if fetched && matches!(Place::of(&base, &mut |_| {}), Ok(Place::Folder(_))) {
        return Err(InferenceError::LocalBase { adapter: adapter.to_owned(), base });
    }
    if options.revision.is_none() {
        options.revision = config.revision;
    }
    let located = folder(Path::new(&base), Wanted::Model, options, on_event);
    located.map_err(|error| match error {
        InferenceError::Model(ModelError::Source(source)) => {
            InferenceError::Base { adapter: adapter.to_owned(), base, source: Box::new(source) }
        }
        other => other,
    })
}
