//! What [`sft_kernels::cpu::Buffers`] come to hold, without the memory.

use std::collections::BTreeMap;

/// Matrices by width, as `Buffers` hands them out: the last that came back goes first, nothing is
/// ever given up, and rows that nobody touches take no memory.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    /// Rows touched of each free matrix.
    free: BTreeMap<usize, Vec<usize>>,
    /// Bytes touched, free and in use.
    held: u64,
    in_use: u64,
}

/// A matrix in use.
#[derive(Debug)]
pub(super) struct Held {
    width: usize,
    rows: usize,
}

impl Shelves {
    pub(super) fn take(&mut self, rows: usize, width: usize) -> Held {
        let before = self.free.entry(width).or_default().pop().unwrap_or(0);
        self.held += bytes(rows.saturating_sub(before), width);
        let held = Held { width, rows: rows.max(before) };
        self.in_use += bytes(held.rows, width);
        held
    }

    pub(super) fn put(&mut self, held: impl IntoIterator<Item = Held>) {
        for Held { width, rows } in held {
            self.in_use -= bytes(rows, width);
            self.free.entry(width).or_default().push(rows);
        }
    }

    /// Bytes of everything that was ever taken.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Bytes of what is in use now.
    pub(super) fn in_use(&self) -> u64 {
        self.in_use
    }
}

/// Of f32 numbers.
pub(super) fn bytes(rows: usize, width: usize) -> u64 {
    4 * rows as u64 * width as u64
}
