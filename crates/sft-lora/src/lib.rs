#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod atomic;
mod config;
mod error;
pub mod limited;
mod linear;
pub mod peft;
mod safetensors_file;
mod targets;
pub mod torch_file;

pub use config::LoraConfig;
pub use error::LoraError;
pub use linear::LoraLinear;
pub use safetensors_file::{open_safetensors, serialize_to_file};
pub use targets::TargetModules;
