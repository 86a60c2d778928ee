//! The operations on f32 slices of the CPU: fused, threaded, with the same bytes for any number of
//! threads (a row, or a head of a sequence, is one task's, in one order).

pub(crate) mod attention;
pub(crate) mod cross_entropy;
mod gemm;
pub(crate) mod host;
pub(crate) mod norm;
pub(crate) mod rope;
pub(crate) mod swiglu;
pub(crate) mod vector;

/// Numbers below which a task is not worth a thread of its own.
const GRAIN: usize = 1 << 14;

/// Rows of `width` numbers that make a task.
fn rows_a_task(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}
