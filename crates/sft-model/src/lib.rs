//! Llama- and Mistral-class decoders with a frozen base and trainable adapters.
//!
//! [`ModelDir`] is a Hugging Face folder on disk; [`Decoder`] is what it holds: a chain of blocks,
//! each with a forward and an explicit backward, so that a gradient cannot be lost between blocks
//! and what is kept or recomputed is decided in one place. A batch is padding-free ([`Packed`]).
#![forbid(unsafe_code)]

mod block;
mod cache;
mod chain;
mod config;
mod decoder;
mod device;
mod dir;
mod error;
#[cfg(feature = "planted-faults")]
mod fault;
mod gguf;
mod gradients;
mod host;
pub mod memory;
mod modules;
pub mod names;
mod packed;
mod probe;
mod projection;
mod quantised;
mod rotary;
pub mod runtime;
mod save;
mod save_config;
mod shards;
pub mod source;
mod stored;
mod tokens;
mod weights;

pub use cache::{CachedInput, KvCache};
pub use config::{ModelConfig, RopeConfig, RopeScaling};
pub use decoder::{Decoder, Passes};
pub use dir::ModelDir;
pub use error::ModelError;
#[cfg(feature = "planted-faults")]
pub use fault::Fault;
pub use gguf::{GgufLora, export_gguf_lora};
pub use gradients::{Gradients, LossSum, Recompute, TrainPass};
pub use packed::Packed;
pub use probe::{BlockPass, Probe};
pub use quantised::save_quantised;
pub use save::save_merged;
pub use stored::StoredTensors;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, ModelError>;
