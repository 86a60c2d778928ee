//! Seeded randomness that never changes between versions, platforms or thread counts.

/// The odd increment of SplitMix64: the golden ratio times 2^64.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The stream of the train/validation split; epochs use streams 0, 1, 2, ...
pub(crate) const SPLIT_STREAM: u64 = u64::MAX;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator for one `(seed, stream)`. For a given seed every stream starts at another state,
    /// scattered by the mixer so that neighbouring streams are not shifts of each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add(GAMMA)).wrapping_add(stream)) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// An unbiased draw from `0..bound` (Lemire, "Fast random integer generation in an interval",
    /// 2019): draws in the short, incomplete interval are rejected. `bound` must not be 0.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Fisher-Yates from the last place down: every order is equally likely.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// SplitMix64's output function (Stafford's "Mix13").
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The reference's first outputs for state 1234567.
        let mut random = SplitMix64 { state: 1_234_567 };
        let first: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn bounded_draws_are_uniform_and_in_range() {
        let mut random = SplitMix64::new(42, 0);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        // Five standard deviations of a binomial with n = 60,000 and p = 1/6.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 457), "{counts:?}");
        // With a bound of 3/4 * 2^64 a draw without rejection hits multiples of 3 twice as often.
        let bound = 3 << 62;
        let mut residues = [0_u32; 3];
        for _ in 0..3000 {
            let draw = random.below(bound);
            assert!(draw < bound);
            residues[(draw % 3) as usize] += 1;
        }
        assert!(residues.iter().all(|&count| count.abs_diff(1000) < 130), "{residues:?}");
    }

    #[test]
    fn every_order_of_four_is_equally_likely() {
        let mut random = SplitMix64::new(7, 3);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            random.shuffle(&mut items);
            *counts.entry(items).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|&count| count.abs_diff(1000) < 160), "{counts:?}");
    }
}
