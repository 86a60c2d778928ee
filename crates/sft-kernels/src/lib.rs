//! The operations a frozen-base decoder needs, each with its backward.
//!
//! A batch is padding-free: `[T, ...]` tensors hold the tokens of all sequences one after another,
//! and `cu_seqlens` marks the borders. Every operation here is a composition of differentiable
//! candle operations (it runs on every device) or carries an explicit backward; none of them cuts
//! the gradient silently, and none computes a gradient for a frozen weight.
//!
//! This is the one crate of the workspace in which `unsafe` may appear.
#![deny(unsafe_code)]

mod allocator;
mod attention;
mod base_product;
pub mod cpu;
mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
mod dropout;
mod frozen;
mod frozen_linear;
mod fused;
pub mod launch;
mod lora_linear;
mod mapped;
mod mapped_matrix;
pub mod matmul;
mod norm;
pub mod random;
mod recompute;
mod rope;
mod seed;
mod swiglu;
mod threads;

pub use allocator::Allocator;
pub use attention::{Attended, AttentionSpec, causal_attention};
pub use cpu::Dropout;
pub use cross_entropy::{CrossEntropy, LOGIT_ROWS_ON_DEVICE, linear_cross_entropy};
#[cfg(feature = "cuda")]
pub use cuda::{adamw, free_memory, open_cuda, optimizer_takes, sums_of_squares};
pub use dropout::{DropoutStream, Rows};
pub use frozen::{FrozenWeight, LockedWeight};
pub use frozen_linear::frozen_linear;
pub use fused::has_backward;
pub use lora_linear::{LoraLinearGradients, LoraOperands, lora_linear, lora_linear_backward};
pub use mapped::MappedFile;
pub use norm::{rms_norm, rms_norm_backward};
pub use rope::{rope, rope_backward};
pub use seed::seed;
pub use swiglu::{swiglu, swiglu_backward};
pub use threads::start_threads;
