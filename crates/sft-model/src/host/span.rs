//! Rows of a batch.

use sft_kernels::{Rows, cpu::Buffers};

use crate::{Packed, projection::Mode, rotary::Rotary};

/// Rows of a batch and what is known of them: all tokens, or some.
pub(super) struct Span {
    /// Borders of the sequences, `[B + 1]`.
    pub(super) cu_seqlens: Vec<u32>,
    /// Cosines and sines of each row's position, `[rows, head_dim / 2]`.
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
    example: Vec<u64>,
    position: Vec<u32>,
}

impl Span {
    /// Every token of a batch.
    pub(super) fn all(input: &Packed<'_>, rotary: &Rotary) -> Self {
        Self::of(input.example_of_rows(), input.positions.to_vec(), input.cu_seqlens, rotary)
    }

    pub(super) fn of(
        example: Vec<u64>,
        position: Vec<u32>,
        cu_seqlens: &[u32],
        rotary: &Rotary,
    ) -> Self {
        let (cos, sin) = rotary.tables(&position);
        Self { cu_seqlens: cu_seqlens.to_vec(), cos, sin, example, position }
    }

    /// The rows that `picked` names.
    fn picked(&self, picked: &[u32], cu_seqlens: &[u32], rotary: &Rotary) -> Self {
        let of = |row: &u32| *row as usize;
        let example = picked.iter().map(|row| self.example[of(row)]).collect();
        let position = picked.iter().map(|row| self.position[of(row)]).collect();
        Self::of(example, position, cu_seqlens, rotary)
    }

    pub(super) fn len(&self) -> usize {
        self.position.len()
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows { example: &self.example, position: &self.position }
    }
}

/// Rows at the ends of their sequences: those of which the last block need not compute the others.
pub(super) struct Tail {
    /// Their numbers, rising.
    pub(super) rows: Vec<u32>,
    pub(super) span: Span,
}

impl Tail {
    /// `rows`, when they are the last of each sequence, in order.
    pub(super) fn of(rows: &[u32], all: &Span, rotary: &Rotary) -> Option<Self> {
        let mut borders = vec![0];
        let mut left = rows;
        for ends in all.cu_seqlens.windows(2) {
            let count = left.iter().take_while(|&&row| row < ends[1]).count();
            let (here, rest) = left.split_at(count);
            let first = ends[1] - count as u32;
            if first < ends[0] || here.iter().zip(first..).any(|(&row, wanted)| row != wanted) {
                return None;
            }
            borders.push(borders.last()? + count as u32);
            left = rest;
        }
        let span = all.picked(rows, &borders, rotary);
        left.is_empty().then(|| Self { rows: rows.to_vec(), span })
    }
}

/// What all blocks of one pass share.
pub(super) struct Pass<'a> {
    pub(super) all: &'a Span,
    pub(super) mode: Mode<'a>,
    pub(super) buffers: &'a Buffers,
}

/// The rows whose queries a block answers, and all rows.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) span: &'a Span,
    /// Their numbers among all rows; none: they are all rows.
    pub(super) picked: Option<&'a [u32]>,
}

impl<'a> Pass<'a> {
    /// The queries of a block that computes all rows, or the tail.
    pub(super) fn queries(&self, tail: Option<&'a Tail>) -> Queries<'a> {
        match tail {
            Some(tail) => Queries { span: &tail.span, picked: Some(&tail.rows) },
            None => Queries { span: self.all, picked: None },
        }
    }

    /// The mode, for other rows than all.
    pub(super) fn mode_of<'b>(&self, span: &'b Span) -> Mode<'b> {
        match self.mode {
            Mode::Train(dropout) => Mode::Train(dropout.map(|(stream, _)| (stream, span.rows()))),
            Mode::Eval => Mode::Eval,
            Mode::Base => Mode::Base,
        }
    }
}
