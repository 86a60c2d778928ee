//! From a clinical note to a summary: generation with a base model and an adapter.
//!
//! [`Generator::open`] reads an adapter's folder, as training writes it, or a model folder;
//! [`Generator::generate`] summarises any number of notes, several at a time and without padding,
//! and [`Generator::stream`] does so step by step. The prompt is the one of training, made by the
//! same code.
//!
//! ```no_run
//! use sft_inference::{GenerationParams, Generator, OpenOptions};
//!
//! let generator = Generator::open(&OpenOptions::new("models/sft_specialist/final_model"))?;
//! let notes = ["Fever of 38.5 C and a dry cough for three days.".to_owned()];
//! let summaries = generator.generate(&notes, &GenerationParams::default(), &mut |_, _| {})?;
//! assert_eq!(summaries.len(), 1);
//! # Ok::<(), sft_inference::InferenceError>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod export;
mod fetch;
mod generation;
mod generator;
mod merge;
mod open;
mod params;
mod quantize;
mod sampling;
mod stream;
mod text;

pub use error::InferenceError;
pub use export::export_gguf_lora;
pub use generation::{Event, FinishReason, Generation};
pub use generator::Generator;
pub use merge::merge_adapter;
pub use open::OpenOptions;
pub use params::GenerationParams;
pub use quantize::quantize_base;
pub use stream::GenerationStream;
pub use text::TextStream;
