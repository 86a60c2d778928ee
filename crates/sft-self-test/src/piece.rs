//! A few tokens of the training rows, for checks whose cost is by the token.

use sft_dataset::Example;
use sft_model::Packed;

use crate::reference::Sequence;
use crate::{Result, SelfTestError};

/// Tokens of a sequence at most. Two sequences make 24: a block of a 7 B model then takes f64 a second.
const TOKENS: usize = 12;

/// Two sequences of uneven length: the beginning of the longest row, and tokens spread over all of it. The second keeps
/// its tokens' positions, so that the rotary embedding is tested over the whole length.
pub(crate) struct Piece {
    ids: Vec<u32>,
    positions: Vec<u32>,
    cu_seqlens: Vec<u32>,
}

impl Piece {
    pub(crate) fn of(examples: &[Example]) -> Result<Self> {
        // The last token of a row is never an input.
        let longest = examples.iter().max_by_key(|example| example.ids.len());
        let row =
            longest.and_then(|example| example.ids.split_last()).map_or(&[][..], |(_, row)| row);
        if row.is_empty() {
            return Err(SelfTestError::NoExample);
        }
        let begin = 0..row.len().min(TOKENS);
        let count = row.len().min(TOKENS - 1);
        let spread = (0..count).map(|i| i * (row.len() - 1) / (count - 1).max(1));
        let taken: Vec<usize> = begin.clone().chain(spread).collect();
        Ok(Self {
            ids: taken.iter().map(|&at| row[at]).collect(),
            positions: taken.iter().map(|&at| at as u32).collect(),
            cu_seqlens: vec![0, begin.end as u32, taken.len() as u32],
        })
    }

    pub(crate) fn packed(&self) -> Packed<'_> {
        Packed {
            ids: &self.ids,
            positions: &self.positions,
            cu_seqlens: &self.cu_seqlens,
            example: &[0, 1],
        }
    }

    pub(crate) fn tokens(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn sequences(&self) -> Vec<Sequence> {
        let borders = self.cu_seqlens.windows(2).map(|pair| pair[0] as usize..pair[1] as usize);
        borders
            .map(|rows| Sequence { positions: self.positions[rows.clone()].to_vec(), rows })
            .collect()
    }

    /// Some rows, each with the token of another row as its label.
    pub(crate) fn targets(&self) -> Vec<(u32, u32)> {
        let tokens = self.tokens();
        (0..tokens).step_by(5).map(|row| (row as u32, self.ids[(row + 1) % tokens])).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn piece(tokens: u32) -> Piece {
        let example =
            |n: u32| Example { ids: (0..n).collect(), first_target: 1, index: 0, line: 2 };
        Piece::of(&[example(2), example(tokens), example(3)]).unwrap()
    }

    #[test]
    fn two_sequences_of_the_longest_row() {
        let piece = piece(102);
        assert_eq!(piece.cu_seqlens, [0, 12, 23]);
        assert_eq!(piece.positions[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(piece.positions[12..], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        assert_eq!(piece.ids, piece.positions);
        assert_eq!(piece.targets(), [(0, 1), (5, 6), (10, 11), (15, 40), (20, 90)]);
    }

    #[test]
    fn short_rows_make_short_pieces() {
        assert_eq!(piece(4).positions, [0, 1, 2, 0, 1, 2]);
        let one = Example { ids: vec![3, 4], first_target: 1, index: 0, line: 2 };
        assert_eq!(Piece::of(&[one]).unwrap().positions, [0, 0]);
        assert!(matches!(Piece::of(&[]), Err(SelfTestError::NoExample)));
    }
}
