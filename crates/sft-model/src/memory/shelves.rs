//! What [`sft_kernels::cpu::Buffers`] come to hold, without the memory.

use std::collections::BTreeMap;

/// Matrices by type and width, as `Buffers` hands them out: the last that came back goes first,
/// nothing is ever given up, and rows that nobody touches take no memory.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    /// Rows touched of each free matrix.
    free: BTreeMap<(usize, Number), Vec<usize>>,
    /// Bytes touched, free and in use.
    held: u64,
    in_use: u64,
}

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Number {
    F32,
    Bf16,
}

/// A matrix in use.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) width: usize,
    /// Rows asked for, and touched at some time.
    pub(super) rows: usize,
    touched: usize,
    number: Number,
}

impl Held {
    fn bytes(&self) -> u64 {
        self.number.bytes(self.touched, self.width)
    }
}

impl Number {
    fn bytes(self, rows: usize, width: usize) -> u64 {
        match self {
            Self::F32 => bytes(rows, width),
            Self::Bf16 => bytes(rows, width) / 2,
        }
    }
}

impl Shelves {
    pub(super) fn take(&mut self, rows: usize, width: usize) -> Held {
        self.take_of(Number::F32, rows, width)
    }

    pub(super) fn take_of(&mut self, number: Number, rows: usize, width: usize) -> Held {
        let before = self.free.entry((width, number)).or_default().pop().unwrap_or(0);
        self.held += number.bytes(rows.saturating_sub(before), width);
        let held = Held { width, rows, touched: rows.max(before), number };
        self.in_use += held.bytes();
        held
    }

    pub(super) fn put(&mut self, held: impl IntoIterator<Item = Held>) {
        for held in held {
            self.in_use -= held.bytes();
            self.free.entry((held.width, held.number)).or_default().push(held.touched);
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
