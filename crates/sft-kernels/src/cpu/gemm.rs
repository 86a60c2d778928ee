//! Matrix products of views, on one thread.
#![allow(unsafe_code, clippy::cast_possible_wrap)]

/// A matrix inside a slice: element `(i, j)` lies at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `columns` numbers, `stride` apart.
    pub(crate) fn rows(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let last = if rows * columns == 0 { 0 } else { (rows - 1) * stride + columns };
        assert!(last <= data.len(), "a matrix outside its slice");
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `c = scale a b`, or `c += scale a b` with `add`; `c` has rows of `b`'s columns, `stride` apart.
pub(crate) fn product(
    c: &mut [f32],
    stride: usize,
    a: View<'_>,
    b: View<'_>,
    scale: f32,
    add: bool,
) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "matrices that do not fit");
    if m * n == 0 {
        return;
    }
    assert!(n <= stride && (m - 1) * stride + n <= c.len(), "a result outside its slice");
    // SAFETY: `View::rows` and the assertion above keep every element inside its slice, and `c` is
    // borrowed mutably, so that nothing overlaps.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride as isize,
            add,
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
