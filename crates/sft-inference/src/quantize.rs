//! A base in few bits, for later runs.

use std::path::Path;

use candle_core::Device;
use sft_model::{runtime::Quantize, save_quantised};

use crate::open::Sources;
use crate::{InferenceError, OpenOptions};

/// Writes the model in `model` to the folder `out`, the matrices of its blocks in few bits; see
/// [`save_quantised`].
///
/// # Errors
/// `model` is an adapter, or quantised already; `out` exists and is not an empty folder; a file cannot
/// be read or written.
pub fn quantize_base(model: &Path, quantize: Quantize, out: &Path) -> Result<(), InferenceError> {
    let sources = Sources::find(&OpenOptions::new(model), &Device::Cpu)?;
    if sources.adapter.is_some() {
        return Err(InferenceError::AdapterToQuantize { folder: sources.folder });
    }
    Ok(save_quantised(&sources.base, quantize, out)?)
}
