//! An adapter in the file form of llama.cpp.
//!
//! llama.cpp adds `alpha / r * B A x` to the product of a base tensor, with `A` from `<tensor>.lora_a`
//! `[r, in]`, `B` from `<tensor>.lora_b` `[out, r]`, r from their shape and one alpha for the file
//! (its `src/llama-adapter.cpp`). Two things differ from PEFT's files:
//!
//! * **Rows of q and k.** llama.cpp rotates neighbouring rows of a Llama's head where Hugging Face's
//!   models rotate rows that are half a head apart, so the rows of its q and k are in another order
//!   (`permute` of its `convert_hf_to_gguf.py`), and `B`'s rows have to follow. A Qwen keeps its order.
//! * **Scale.** With rsLoRA or an `alpha_pattern` the scale is not alpha / r. A factor that all
//!   modules share becomes part of alpha; one that they do not is multiplied into their `B`.

mod file;
mod matrix;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use candle_core::quantized::gguf_file::Value;
use sft_lora::peft::PeftAdapter;

use crate::{ModelConfig, ModelError, Result};
use matrix::{common_alpha, matrices};

/// What [`export_gguf_lora`] wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct GgufLora {
    /// llama.cpp's name of the base's architecture; that of the base's own file must be the same.
    pub architecture: &'static str,
    /// Alpha of every module.
    pub alpha: f32,
    /// Number of matrices, two a module.
    pub matrices: usize,
}

/// Writes an adapter to `out` as a GGUF file (version 3, f32) that llama.cpp applies to a GGUF file of
/// `base`, reads it back and compares every key and number.
///
/// `out` must not exist; it appears only when it is complete and has been read back.
///
/// # Errors
/// When `out` exists or cannot be written, the adapter does not fit `base`, or what is read back is
/// not what was written.
pub fn export_gguf_lora(adapter: &PeftAdapter, base: &ModelConfig, out: &Path) -> Result<GgufLora> {
    let refuse = |problem: String| ModelError::Gguf { path: out.into(), problem };
    if out.symlink_metadata().is_ok() {
        return Err(refuse("it exists already; give a file that does not exist yet".into()));
    }
    let architecture = architecture(base)
        .ok_or_else(|| refuse(format!("llama.cpp's name of {} is not known", base.model_type)))?;
    let alpha = common_alpha(adapter);
    if !alpha.is_finite() {
        return Err(ModelError::Adapter("its lora_alpha is beyond f32; lower it".into()));
    }
    let matrices = matrices(adapter, base, architecture == "llama", alpha)?;
    let name = adapter.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = |text: &str| Value::String(text.to_owned());
    let metadata = [
        ("general.architecture", text(architecture)),
        ("general.type", text("adapter")),
        ("general.name", text(&name)),
        ("general.file_type", Value::U32(0)), // f32 throughout
        ("adapter.type", text("lora")),
        ("adapter.lora.alpha", Value::F32(alpha)),
    ];

    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let partial = out.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let io = |action| move |source| ModelError::io(out, action, source);
    let bytes = file::encode(&metadata, &matrices)?;
    let written = File::create(&partial)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        })
        .map_err(io("write this file"))
        .and_then(|()| fs::read(&partial).map_err(io("read this file back")))
        .and_then(|bytes| {
            file::compare(&bytes, &metadata, &matrices).map_err(|problem| {
                refuse(format!(
                    "what is read back is not what was written ({problem}); check the disk, and \
                     export again"
                ))
            })
        })
        .and_then(|()| fs::rename(&partial, out).map_err(io("create this file")));
    if written.is_err() {
        // The error that led here is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written?;
    Ok(GgufLora { architecture, alpha, matrices: matrices.len() })
}

/// llama.cpp's name of a base's architecture; a Mistral is one of its Llamas.
fn architecture(base: &ModelConfig) -> Option<&'static str> {
    Some(match base.model_type.as_str() {
        "llama" | "mistral" => "llama",
        "qwen2" => "qwen2",
        "qwen3" => "qwen3",
        _ => return None,
    })
}
