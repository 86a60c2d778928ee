//! Products of parts of f32 tensors, on one thread: the pieces that a larger operation is made of.

use candle_core::Result;

use super::{Form, path::Path, task::Task, weight::Values};

/// Up to so many rows the second factor is multiplied where it lies.
const FEW_ROWS: usize = 8;

/// A matrix inside a slice: rows of `cols` numbers, `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    stride: usize,
    turned: bool,
}

impl<'a> Part<'a> {
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(cols <= stride && extent(rows, cols, stride) <= data.len(), "a part outside");
        Self { data, rows, cols, stride, turned: false }
    }

    /// The transpose, as the first factor of a product.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, turned: !self.turned, ..self }
    }
}

/// Numbers from the first to the last of such a matrix.
fn extent(rows: usize, cols: usize, stride: usize) -> usize {
    if rows * cols == 0 { 0 } else { (rows - 1) * stride + cols }
}

/// `y = x w^T`, or `y += x w^T` with `add`; the rows of `y` are `stride` apart.
pub(crate) fn part_nt(
    x: Part<'_>,
    w: Part<'_>,
    y: &mut [f32],
    stride: usize,
    add: bool,
) -> Result<()> {
    assert!(x.cols == w.cols && !x.turned, "parts that do not fit");
    product(Form::Nt, x, w, w.rows, y, stride, add)
}

/// `y = x w`, or `y += x w` with `add`; the rows of `y` are `stride` apart.
pub(crate) fn part_nn(
    x: Part<'_>,
    w: Part<'_>,
    y: &mut [f32],
    stride: usize,
    add: bool,
) -> Result<()> {
    assert_eq!(x.cols, w.rows, "parts that do not fit");
    let form = if x.turned { Form::Tn } else { Form::Nn };
    product(form, x, w, w.cols, y, stride, add)
}

fn product(
    form: Form,
    x: Part<'_>,
    w: Part<'_>,
    width: usize,
    y: &mut [f32],
    stride: usize,
    add: bool,
) -> Result<()> {
    assert!(!w.turned, "the second factor is read in rows");
    assert!(width <= stride && extent(x.rows, width, stride) <= y.len(), "a result outside");
    if x.rows * width == 0 {
        return Ok(());
    }
    assert!(x.cols > 0, "a sum of nothing");
    let values = Values::F32(w.data);
    let kernels = Path::chosen()?.kernels(values);
    let task = Task {
        form,
        w: values,
        w_cols: w.stride,
        depth: x.cols,
        columns: 0..width,
        rows: x.rows,
        x: x.data.as_ptr().cast(), // an f32 is a cell
        x_stride: x.stride,
        y: y.as_mut_ptr(),
        y_stride: stride,
        add,
    };
    // In place, whole vectors are read.
    let in_place =
        form == Form::Nt && x.rows <= FEW_ROWS && x.cols.is_multiple_of(2 * kernels.lanes);
    let kernel = if in_place { kernels.dots } else { kernels.panels };
    // SAFETY: the path is available; `Part::new` and the assertions above keep every operand inside
    // its slice, and `y` is borrowed mutably.
    unsafe { kernel(&task) };
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::uniform;

    fn transposed(x: &[f32], rows: usize, cols: usize, stride: usize) -> Vec<f32> {
        (0..rows * cols).map(|i| x[i % rows * stride + i / rows]).collect()
    }

    #[test]
    fn parts_are_multiplied_where_they_lie() {
        let (m, k, n) = (21, 70, 53);
        let (x, w, u) = (uniform(1, 1, m * 80), uniform(1, 2, n * 75), uniform(1, 3, k * 60));
        let before = uniform(1, 4, m * 64);
        for add in [false, true] {
            let (mut nt, mut nn) = (before.clone(), before.clone());
            let x_part = Part::new(&x[3..], m, k, 80);
            part_nt(x_part, Part::new(&w[1..], n, k, 75), &mut nt[2..], 64, add).unwrap();
            part_nn(x_part, Part::new(&u[5..], k, n, 60), &mut nn[2..], 64, add).unwrap();
            let (mut turned, turned_x) = (before.clone(), transposed(&x[3..], m, k, 80));
            let turned_x = Part::new(&turned_x, k, m, m).t();
            part_nn(turned_x, Part::new(&u[5..], k, n, 60), &mut turned[2..], 64, add).unwrap();
            assert_eq!(turned, nn);
            for i in 0..m * 64 {
                let (row, column) = ((i + 62) / 64, (i + 62) % 64);
                let inside = (1..=m).contains(&row) && column < n;
                let start = if inside && !add { 0.0 } else { f64::from(before[i]) };
                let sum = |of: &dyn Fn(usize) -> f32| -> f64 {
                    let terms =
                        (0..k).map(|d| f64::from(x[3 + (row - 1) * 80 + d]) * f64::from(of(d)));
                    terms.sum()
                };
                let (mut exact_nt, mut exact_nn) = (start, start);
                if inside {
                    exact_nt += sum(&|d| w[1 + column * 75 + d]);
                    exact_nn += sum(&|d| u[5 + d * 60 + column]);
                }
                assert!((f64::from(nt[i]) - exact_nt).abs() < 1e-4, "{row} {column}");
                assert!((f64::from(nn[i]) - exact_nn).abs() < 1e-4, "{row} {column}");
            }
        }
    }
}
