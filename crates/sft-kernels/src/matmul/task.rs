//! What a kernel is asked to do.

use std::ops::Range;

use super::{Form, weight::Values};

/// Some columns of some rows of a product, the work of one thread.
pub(super) struct Task<'a> {
    pub(super) form: Form,
    /// The whole weight, and the distance of its rows.
    pub(super) w: Values<'a>,
    pub(super) w_cols: usize,
    /// Weights in one reduction.
    pub(super) depth: usize,
    /// Columns of the result to compute.
    pub(super) columns: Range<usize>,
    /// Rows of activations as cells, `x_stride` apart ([`Form::Tn`]: from one of their cells to the
    /// next), and of the result, `y_stride` apart.
    pub(super) rows: usize,
    pub(super) x: *const u32,
    pub(super) x_stride: usize,
    pub(super) y: *mut f32,
    pub(super) y_stride: usize,
    /// Whether to add to the result or to overwrite it.
    pub(super) add: bool,
}
