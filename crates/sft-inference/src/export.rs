//! An adapter in the file form of another program.

use std::path::Path;

use candle_core::Device;
use sft_model::GgufLora;

use crate::open::Sources;
use crate::{InferenceError, OpenOptions};

/// Writes the adapter in `adapter` as the GGUF file `out`, which llama.cpp applies to a GGUF file of
/// its base; see [`sft_model::export_gguf_lora`]. Of the base, the one the adapter names or
/// `base_model`, the configuration alone is read.
///
/// # Errors
/// There is no adapter or it does not fit its base; `out` exists or cannot be written.
pub fn export_gguf_lora(
    adapter: &Path,
    base_model: Option<&Path>,
    out: &Path,
) -> Result<GgufLora, InferenceError> {
    let base_model = base_model.map(Path::to_owned);
    let options = OpenOptions { base_model, ..OpenOptions::new(adapter) };
    let sources = Sources::find(&options, &Device::Cpu)?;
    let Some(adapter) = &sources.adapter else {
        return Err(InferenceError::NothingToExport { folder: sources.folder });
    };
    Ok(sft_model::export_gguf_lora(adapter, sources.base.config(), out)?)
}
