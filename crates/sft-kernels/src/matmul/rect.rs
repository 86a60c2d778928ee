//! A rectangle of a weight.

use std::marker::PhantomData;

/// A rectangle of a row-major matrix, where it lies.
pub(super) struct Rect<'a, E> {
    /// From the rectangle's first element to the end of the matrix.
    data: &'a [E],
    /// Elements from one row to the next.
    stride: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl<'a, E> Rect<'a, E> {
    /// The rectangle of `rows` by `cols` whose corner is (`row`, `col`) in a matrix with rows of
    /// `stride` elements; it lies inside the matrix and is not empty.
    pub(super) fn new(
        matrix: &'a [E],
        stride: usize,
        (row, col): (usize, usize),
        (rows, cols): (usize, usize),
    ) -> Self {
        debug_assert!(rows > 0 && cols > 0 && col + cols <= stride);
        let data = &matrix[row * stride + col..];
        assert!((rows - 1) * stride + cols <= data.len(), "the rectangle leaves the matrix");
        Self { data, stride, rows, cols }
    }

    /// A row of the rectangle.
    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [E] {
        &self.data[row * self.stride..][..self.cols]
    }

    /// The address of each of the rectangle's cache lines, about; for prefetching alone.
    pub(super) fn lines(&self) -> Lines<E> {
        let per_row = self.cols.div_ceil(64 / size_of::<E>());
        let row = self.data.as_ptr().cast();
        let stride = self.stride * size_of::<E>();
        Lines { row, stride, per_row, line: 0, left: self.rows * per_row, _of: PhantomData }
    }
}

/// The addresses of a rectangle's cache lines.
pub(super) struct Lines<E> {
    row: *const u8,
    /// Bytes from row to row.
    stride: usize,
    per_row: usize,
    /// The next line of the row.
    line: usize,
    left: usize,
    _of: PhantomData<E>,
}

impl<E> Iterator for Lines<E> {
    type Item = *const u8;

    #[inline(always)]
    fn next(&mut self) -> Option<*const u8> {
        self.left = self.left.checked_sub(1)?;
        let address = self.row.wrapping_add(self.line * 64);
        self.line += 1;
        if self.line == self.per_row {
            (self.line, self.row) = (0, self.row.wrapping_add(self.stride));
        }
        Some(address)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<E> ExactSizeIterator for Lines<E> {}
