//! The operations on f32 slices of the CPU: fused, threaded, with the same bytes for any number of
//! threads (a row, or a head of a sequence, is one task's, in one order).
//!
//! They write where they are told to, so that a decoder with a backward pass of its own keeps what
//! it needs and nothing else.

mod attention;
mod buffers;
mod cross_entropy;
mod dropout;
pub(crate) mod locked;
mod lora;
mod norm;
mod reduce;
mod rope;
mod round;
mod swiglu;
pub(crate) mod vector;

pub use attention::{AttentionShape, attention, attention_backward};
pub use buffers::{Buffer, Buffers, Number};
pub use cross_entropy::cross_entropy;
pub use dropout::Dropout;
pub use locked::Locked;
pub use lora::{
    Backward, Linear, Lora, LoraGradients, Narrow, linear_backward_input, linear_forward,
    lora_down, lora_gradients,
};
pub use norm::{rms_norm, rms_norm_backward};
pub use reduce::{add_row, copy, gather, scale, scatter_add};
pub use rope::{Turn, rope};
pub use round::{round, widen};
pub use swiglu::{swiglu, swiglu_backward, swiglu_rounding, swiglu_widening};

/// Numbers below which a task is not worth a thread of its own.
const GRAIN: usize = 1 << 14;

/// Rows of `width` numbers that make a task.
fn rows_a_task(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

/// Runs `f` on a thread of the pool. What is inside reaches the other threads without waking this
/// one and waiting for it, which for small operations takes as long as the work.
pub fn on_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}
