//! The area under the ROC curve.

/// The probability that a random positive scores higher than a random negative, a tie counting one
/// half: the Mann-Whitney statistic over the number of pairs, counted exactly.
///
/// `None` where a side is empty or a score is NaN.
pub fn auroc(positive: &[f64], negative: &[f64]) -> Option<f64> {
    let mut wins = Wins::default();
    wins.count(positive, negative);
    wins.share()
}

/// Pairs of a positive and a negative, and how many of them the positive wins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wins {
    /// Two for a win, one for a tie: whole numbers, so that no order of summing matters.
    halves: u64,
    pairs: u64,
    has_nan: bool,
}

impl Wins {
    /// Adds every pair of the two sides.
    pub(crate) fn count(&mut self, positive: &[f64], negative: &[f64]) {
        self.has_nan |= positive.iter().chain(negative).any(|score| score.is_nan());
        let mut sorted = negative.to_vec();
        sorted.sort_by(f64::total_cmp);
        for score in positive {
            let below = sorted.partition_point(|other| other < score);
            let up_to = sorted.partition_point(|other| other <= score);
            self.halves += (below + up_to) as u64;
        }
        self.pairs += (positive.len() * negative.len()) as u64;
    }

    /// The share of the pairs that the positive wins.
    pub(crate) fn share(self) -> Option<f64> {
        (self.pairs > 0 && !self.has_nan).then(|| self.halves as f64 / (2 * self.pairs) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(auroc(&[3.0, 4.0], &[1.0, 2.0]), Some(1.0));
        assert_eq!(auroc(&[1.0, 2.0], &[3.0, 4.0]), Some(0.0));
        assert_eq!(auroc(&[1.0, 1.0, 1.0], &[1.0]), Some(0.5));
        // 0.8 wins 3 of 3, 0.4 wins 1 and ties 1: 4.5 of 6
        assert_eq!(auroc(&[0.8, 0.4], &[0.4, 0.1, 0.6]), Some(0.75));
        assert_eq!(auroc(&[0.0], &[-0.0]), Some(0.5), "both zeros are one number");
        assert_eq!(auroc(&[f64::INFINITY], &[1.0, f64::NEG_INFINITY]), Some(1.0));
    }

    #[test]
    fn without_pairs_there_is_none() {
        assert_eq!(auroc(&[], &[1.0]), None);
        assert_eq!(auroc(&[1.0], &[]), None);
        assert_eq!(auroc(&[1.0, f64::NAN], &[0.0]), None);
        assert_eq!(auroc(&[1.0], &[f64::NAN]), None);
    }

    #[test]
    fn equal_to_counting_every_pair() {
        let mut state = 11_u64;
        let mut below = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..300 {
            let (m, n, values) = (1 + below(12), 1 + below(12), 1 + below(15));
            let mut side =
                |len: u64| -> Vec<f64> { (0..len).map(|_| below(values) as f64 - 5.0).collect() };
            let (positive, negative) = (side(m), side(n));
            let mut halves = 0;
            for p in &positive {
                for q in &negative {
                    halves += if p > q { 2 } else { i32::from(p == q) };
                }
            }
            let expected = f64::from(halves) / (2 * m * n) as f64;
            assert_eq!(auroc(&positive, &negative), Some(expected), "{positive:?} {negative:?}");
            // exchanged sides add up to one
            assert!((auroc(&negative, &positive).unwrap_or(9.0) + expected - 1.0).abs() < 1e-15);
        }
    }
}
