//! An adapter folded into its base.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use sft_model::save_merged;

use crate::open::Sources;
use crate::{InferenceError, OpenOptions};

/// Merges the adapter in `adapter` into its base, in f32 on the CPU, and writes a Hugging Face
/// model folder to `out`. The base is the one the adapter names, or `base_model`.
///
/// The tokenizer and the template saved with the adapter go along; the id that its summaries end
/// with joins `eos_token_id` of the model's configuration.
///
/// # Errors
/// `out` exists and is not an empty folder; there is no adapter; a file cannot be read or written.
pub fn merge_adapter(
    adapter: &Path,
    base_model: Option<&Path>,
    out: &Path,
) -> Result<(), InferenceError> {
    let is_empty_folder = || fs::read_dir(out).is_ok_and(|mut files| files.next().is_none());
    if out.symlink_metadata().is_ok() && !is_empty_folder() {
        return Err(InferenceError::MergeTargetInUse { folder: out.to_owned() });
    }
    let base_model = base_model.map(Path::to_owned);
    let options = OpenOptions { base_model, ..OpenOptions::new(adapter) };
    let sources = Sources::find(&options, &Device::Cpu)?;
    if sources.adapter.is_none() {
        return Err(InferenceError::NothingToMerge { folder: sources.folder });
    }
    let mut decoder = sources.load(DType::F32, None, &Device::Cpu)?;
    decoder.merge_lora()?;
    let eos_id = sources.sft_config()?.map(|saved| saved.eos_token_id);
    Ok(save_merged(&decoder, &sources.base, Some(&sources.folder), eos_id, out)?)
}
