//! Where a panel's numbers come from.

use super::{lanes::Lanes, quantised::Quantised, rect::Rect, tile, weight::Element};

/// The row and column of a rectangle's corner.
pub(super) type Corner = (usize, usize);
/// Its rows and columns.
pub(super) type Size = (usize, usize);

/// A weight, cut into rectangles.
pub(super) trait Source<'a>: Copy + 'a {
    /// The numbers that the kernels read.
    type Element: Element + 'a;
    /// What lies in memory.
    type Stored: Copy;
    /// Room for a rectangle of numbers that are stored otherwise.
    type Scratch;
    const SCRATCH: Self::Scratch;

    /// A rectangle of numbers, at most as many as a panel takes.
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn numbers<'s, L: Lanes>(
        self,
        corner: Corner,
        size: Size,
        scratch: &'s mut Self::Scratch,
    ) -> Rect<'s, Self::Element>
    where
        'a: 's;

    /// The same as it is stored, for prefetching.
    fn stored(self, corner: Corner, size: Size) -> Option<Rect<'a, Self::Stored>>;
}

/// Numbers that are stored as they are read, in rows of a length.
#[derive(Clone, Copy)]
pub(super) struct Dense<'a, E>(pub(super) &'a [E], pub(super) usize);

impl<'a, E: Element + 'a> Source<'a> for Dense<'a, E> {
    type Element = E;
    type Stored = E;
    type Scratch = ();
    const SCRATCH: () = ();

    #[inline(always)]
    unsafe fn numbers<'s, L: Lanes>(self, corner: Corner, size: Size, (): &'s mut ()) -> Rect<'s, E>
    where
        'a: 's,
    {
        Rect::new(self.0, self.1, corner, size)
    }

    #[inline(always)]
    fn stored(self, corner: Corner, size: Size) -> Option<Rect<'a, E>> {
        Some(Rect::new(self.0, self.1, corner, size))
    }
}

impl<'a> Source<'a> for &'a Quantised {
    type Element = u16;
    type Stored = u8;
    type Scratch = [u16; tile::MOST];
    #[allow(clippy::large_stack_arrays)] // as large as a panel
    const SCRATCH: Self::Scratch = [0; tile::MOST];

    #[inline(always)]
    unsafe fn numbers<'s, L: Lanes>(
        self,
        (row, col): Corner,
        (rows, cols): Size,
        scratch: &'s mut Self::Scratch,
    ) -> Rect<'s, u16>
    where
        'a: 's,
    {
        for (i, out) in scratch.chunks_exact_mut(cols).take(rows).enumerate() {
            // SAFETY: the caller's promise is passed on.
            unsafe { self.unpack::<L>(row + i, col, out) };
        }
        Rect::new(scratch, cols, (0, 0), (rows, cols))
    }

    #[inline(always)]
    fn stored(self, corner: Corner, size: Size) -> Option<Rect<'a, u8>> {
        Quantised::stored(self, corner, size)
    }
}
