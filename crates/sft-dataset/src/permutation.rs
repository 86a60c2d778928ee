//! The order in which an epoch visits the examples.

use crate::random::SplitMix64;

/// The visiting order of every epoch, as a pure function of `(seed, epoch, n)`.
///
/// A run can therefore be resumed in mid-epoch from the epoch's number and a position alone. The
/// order comes from an own SplitMix64 and an unbiased Fisher-Yates shuffle, so that it is the same
/// on every platform and in every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    n: usize,
    seed: Option<u64>,
}

impl Permutation {
    /// Orders of `n` examples. Without a seed every epoch keeps the order of the file.
    pub fn new(n: usize, seed: Option<u64>) -> Self {
        Self { n, seed }
    }

    /// The indices `0..n` in the order of this epoch (counted from 0).
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.n).collect();
        if let Some(seed) = self.seed {
            SplitMix64::new(seed, epoch).shuffle(&mut order);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_never_changes_between_versions() {
        // Computed by an independent implementation in Python. A change here breaks every run
        // that is resumed across versions.
        let permutation = Permutation::new(10, Some(42));
        assert_eq!(permutation.epoch(0), [8, 1, 9, 2, 6, 0, 4, 5, 3, 7]);
        assert_eq!(permutation.epoch(1), [6, 9, 3, 4, 8, 7, 2, 0, 1, 5]);
        assert_eq!(Permutation::new(10, Some(43)).epoch(0), [5, 6, 1, 8, 9, 7, 3, 4, 2, 0]);
    }

    #[test]
    fn without_a_seed_the_file_order_stays() {
        assert_eq!(Permutation::new(4, None).epoch(3), [0, 1, 2, 3]);
        assert!(Permutation::new(0, Some(1)).epoch(0).is_empty());
    }

    proptest! {
        #[test]
        fn every_epoch_is_a_permutation(n in 0_usize..300, seed: u64, epoch: u64) {
            let mut order = Permutation::new(n, Some(seed)).epoch(epoch);
            prop_assert_eq!(&order, &Permutation::new(n, Some(seed)).epoch(epoch));
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..n));
        }

        #[test]
        fn epochs_and_seeds_differ(seed: u64, epoch in 0_u64..1000) {
            // 100! orders: an equal pair would be a bug.
            let order = Permutation::new(100, Some(seed)).epoch(epoch);
            prop_assert_ne!(&order, &Permutation::new(100, Some(seed)).epoch(epoch + 1));
            prop_assert_ne!(&order, &Permutation::new(100, Some(seed.wrapping_add(1))).epoch(epoch));
        }
    }
}
