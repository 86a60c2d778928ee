//! Activations packed once for all products that read them.

use rayon::prelude::*;

use super::path::PackRow;

/// Cells at the end of a row that its last vector may read without a number there.
const LAST: usize = 32;
/// Activations below which packing is not worth a second thread.
const PACKED_ALONE: usize = 1 << 14;

/// Activations that the kernels do not read as they are.
#[derive(Default)]
pub(super) struct Packing<'a> {
    inputs: Vec<Input<'a>>,
    /// Cells of all.
    len: usize,
}

/// Rows of activations, and how they are packed.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) x: &'a [f32],
    pub(super) depth: usize,
    /// Cells from row to row.
    pub(super) stride: usize,
    /// The first cell.
    pub(super) at: usize,
    /// None: numbers become cells as they are.
    pub(super) pack_row: Option<PackRow>,
}

impl<'a> Packing<'a> {
    /// The first cell of these rows.
    pub(super) fn of(&mut self, input: Input<'a>) -> usize {
        let same = |other: &&Input<'_>| {
            std::ptr::eq(input.x, other.x)
                && (input.depth, input.stride) == (other.depth, other.stride)
                && input.pack_row.is_some() == other.pack_row.is_some()
        };
        if let Some(known) = self.inputs.iter().find(same) {
            return known.at;
        }
        let at = self.len;
        self.inputs.push(Input { at, ..input });
        self.len += input.x.len() / input.depth * input.stride;
        at
    }

    pub(super) fn pack(&self, cells: &mut Vec<u32>) {
        if cells.len() < self.len {
            // New memory is zero without being touched; what it held is of no use.
            *cells = vec![0; self.len];
        }
        let mut rest = &mut cells[..];
        for input in &self.inputs {
            let (here, behind) = rest.split_at_mut(input.x.len() / input.depth * input.stride);
            rest = behind;
            let rows = input.x.par_chunks_exact(input.depth);
            let alone = PACKED_ALONE.div_ceil(input.depth);
            rows.zip(here.par_chunks_exact_mut(input.stride)).with_min_len(alone).for_each(
                |(row, cells)| {
                    let last = cells.len().saturating_sub(LAST);
                    cells[last..].fill(0);
                    input.pack_row(row, cells);
                },
            );
        }
    }
}

impl Input<'_> {
    fn pack_row(&self, row: &[f32], cells: &mut [u32]) {
        match self.pack_row {
            None => cells.iter_mut().zip(row).for_each(|(cell, x)| *cell = x.to_bits()),
            // SAFETY: the path is available, and `cells` has room for the row.
            Some(pack_row) => unsafe { pack_row(row, cells) },
        }
    }
}
