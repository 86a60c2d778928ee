//! A padding-free batch, as the decoder reads it.

use crate::{ModelError, Result};

/// `T` tokens of `B` sequences, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// Token ids, `[T]`.
    pub ids: &'a [u32],
    /// Position of each token in its sequence, `[T]`.
    pub positions: &'a [u32],
    /// Where each sequence begins, and the end: `[B + 1]`.
    pub cu_seqlens: &'a [u32],
    /// Number of the training example behind each sequence, `[B]`; dropout is keyed by it.
    pub example: &'a [u64],
}

impl Packed<'_> {
    /// Refuses what would be computed wrongly.
    pub(crate) fn check(&self) -> Result<()> {
        let tokens = self.ids.len();
        let borders = self.cu_seqlens;
        let problem = if tokens == 0 {
            "it has no token".into()
        } else if self.positions.len() != tokens {
            format!("{} positions for {tokens} tokens", self.positions.len())
        } else if borders.first() != Some(&0)
            || borders.last().map(|&end| end as usize) != Some(tokens)
            || borders.windows(2).any(|pair| pair[0] >= pair[1])
        {
            format!("cu_seqlens {borders:?} does not rise from 0 to {tokens}")
        } else if self.example.len() + 1 != borders.len() {
            format!("{} examples for {} sequences", self.example.len(), borders.len() - 1)
        } else {
            return Ok(());
        };
        Err(ModelError::Batch(problem))
    }

    /// The example of each token, `[T]`.
    pub(crate) fn example_of_rows(&self) -> Vec<u64> {
        let spans = self.cu_seqlens.windows(2).map(|pair| (pair[1] - pair[0]) as usize);
        self.example.iter().zip(spans).flat_map(|(&e, n)| std::iter::repeat_n(e, n)).collect()
    }
}

/// Refuses rows that a batch of so many tokens does not have.
pub(crate) fn check_rows(rows: &[u32], tokens: usize) -> Result<()> {
    if rows.is_empty() {
        return Err(ModelError::Batch("it has no target".into()));
    }
    match rows.iter().find(|&&row| row as usize >= tokens) {
        Some(row) => Err(ModelError::Batch(format!("target row {row} of {tokens} tokens"))),
        None => Ok(()),
    }
}
