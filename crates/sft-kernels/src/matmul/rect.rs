//! A rectangle of a weight.

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
    /// Numbers in a cache line.
    const LINE: usize = 64 / size_of::<E>();

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

    /// The address of each cache line of the rectangle, about; for prefetching alone.
    #[inline(always)]
    pub(super) fn line(&self, line: usize) -> *const E {
        let per_row = self.lines_per_row();
        let (row, line) = (line / per_row, line % per_row);
        self.data.as_ptr().wrapping_add(row * self.stride + line * Self::LINE)
    }

    /// Number of cache lines, about.
    pub(super) fn lines(&self) -> usize {
        self.rows * self.lines_per_row()
    }

    fn lines_per_row(&self) -> usize {
        self.cols.div_ceil(Self::LINE)
    }
}
