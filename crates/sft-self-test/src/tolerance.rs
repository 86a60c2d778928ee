//! How far a computation in the decoder's type may be from one in f64.

use candle_core::DType;

use crate::reference::Rows;

/// Limits for one type.
///
/// In f32, a random block of hidden size 4096 is off by 2e-6 of a row's norm, and its gradients by as much. Trained
/// models have outliers that random ones lack, and a gradient has passed through more sums: fifty and five hundred times
/// that are allowed. A wrong formula is off by far more. In f16 and bf16 every intermediate is rounded to 11 and 8 bits,
/// and the limits grow with that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    /// What a block adds to its input, and a loss: relative, by the norm of a row.
    pub(crate) forward: f64,
    /// An entry of a gradient, relative to the root mean square of its matrix and to itself.
    pub(crate) gradient: f64,
    /// The unit of rounding.
    pub(crate) epsilon: f64,
}

impl Tolerance {
    pub(crate) fn of(dtype: DType) -> Self {
        match dtype {
            DType::BF16 => Self { forward: 5e-2, gradient: 2e-1, epsilon: 2f64.powi(-8) },
            DType::F16 => Self { forward: 1e-2, gradient: 5e-2, epsilon: 2f64.powi(-11) },
            _ => Self { forward: 1e-4, gradient: 1e-3, epsilon: 2f64.powi(-24) },
        }
    }
}

impl Tolerance {
    /// The row of `actual` that is furthest off, beyond the limit, and by how much, relative to what the block adds to
    /// its input `x`. The residual stream may be far larger than that: its rounding is allowed for.
    pub(crate) fn worst_row(
        &self,
        actual: &Rows,
        expected: &Rows,
        x: &Rows,
    ) -> Option<(usize, f64)> {
        let distance = |x: &[f64], y: &[f64]| norm(x.iter().zip(y).map(|(x, y)| x - y));
        let rows = actual.iter().zip(expected.iter()).zip(x.iter()).enumerate();
        let off = rows.filter_map(|(index, ((actual, expected), x))| {
            let (gap, added) = (distance(actual, expected), distance(expected, x));
            let limit = self.forward * added + 4.0 * self.epsilon * norm(x.iter().copied());
            (gap.is_nan() || gap > limit).then(|| (index, gap / added))
        });
        off.max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// Whether a number is further than `limit` from another, or not a number.
    pub(crate) fn is_off(actual: f64, expected: f64, limit: f64) -> bool {
        let gap = (actual - expected).abs();
        gap.is_nan() || gap > limit
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}
