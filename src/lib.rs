//! Stage A of a clinical summariser: LoRA supervised fine-tuning of Llama- and Mistral-class
//! language models, and generation with the result.
//!
//! This crate re-exports the libraries of the workspace under one name.
#![forbid(unsafe_code)]

pub use sft_dataset as dataset;
pub use sft_eval as eval;
pub use sft_inference as inference;
pub use sft_kernels as kernels;
pub use sft_lora as lora;
pub use sft_model as model;
pub use sft_report as report;
pub use sft_self_test as self_test;
pub use sft_trainer as trainer;
