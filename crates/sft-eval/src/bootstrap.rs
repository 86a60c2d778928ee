//! How sure is a figure? Percentile bootstrap intervals of 95 %.
//!
//! Rows of one note are alike, so whole notes are drawn, with replacement: every row has the number
//! of its cluster, and rows of one number stay together. One seed gives the same intervals. Source:
//! Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13; for clusters,
//! Davison and Hinkley (1997), section 3.8.

use std::collections::BTreeMap;

use serde::Serialize;

/// How the resamples are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// How many; 1 000 to 2 000 give ends that are steady to about a tenth of the width.
    pub resamples: usize,
    /// One seed, one result.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, seed: 42 }
    }
}

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Of the rows as they are.
    pub estimate: f64,
    /// The 2.5 % quantile of the resamples.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

impl Bootstrap {
    /// The mean of `values`, of which value i belongs to cluster `clusters[i]`.
    ///
    /// `None` where there is no value, one is not finite, the lengths differ, or no resample is to
    /// be drawn.
    pub fn mean(&self, values: &[f64], clusters: &[usize]) -> Option<Interval> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let clusters = rows_of(clusters, values.len())?;
        // of each cluster the sum and the number of rows
        let sums: Vec<(f64, usize)> = clusters
            .iter()
            .map(|rows| (rows.iter().map(|&row| values[row]).sum(), rows.len()))
            .collect();
        let mean = |weights: &[u32]| {
            let (mut sum, mut rows) = (0.0, 0);
            for ((of, n), &weight) in sums.iter().zip(weights) {
                sum += of * f64::from(weight);
                rows += n * weight as usize;
            }
            Some(sum / rows as f64)
        };
        self.interval(sums.len(), mean)
    }

    /// The mean of `after[i] - before[i]`: two models on the same rows.
    ///
    /// `None` as for [`mean`](Self::mean), and where the lengths differ.
    pub fn paired_difference(
        &self,
        before: &[f64],
        after: &[f64],
        clusters: &[usize],
    ) -> Option<Interval> {
        if before.len() != after.len() {
            return None;
        }
        let differences: Vec<f64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
        self.mean(&differences, clusters)
    }

    /// The share of the pairs of a positive and a negative row in which the positive one has the
    /// higher score, a tie counting half, as [`auroc`](crate::auroc()) counts them. A resample that has rows of
    /// one sort alone is left out.
    ///
    /// `None` where a score is NaN, one sort is missing, or the lengths differ.
    pub fn auroc(&self, scores: &[f64], positive: &[bool], clusters: &[usize]) -> Option<Interval> {
        if scores.len() != positive.len() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let rows = rows_of(clusters, scores.len())?;
        let mut cluster_of = vec![0; scores.len()];
        for (cluster, rows) in rows.iter().enumerate() {
            for &row in rows {
                cluster_of[row] = cluster;
            }
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| {
            scores[a].partial_cmp(&scores[b]).unwrap_or(std::cmp::Ordering::Equal)
        });
        let share = |weights: &[u32]| {
            // from the lowest score up: half wins of the positives against the negatives below
            let (mut halves, mut below, mut positives) = (0_u64, 0_u64, 0_u64);
            for equal in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
                let (mut up, mut down) = (0_u64, 0_u64);
                for &row in equal {
                    let count = if positive[row] { &mut up } else { &mut down };
                    *count += u64::from(weights[cluster_of[row]]);
                }
                halves += up * (2 * below + down);
                below += down;
                positives += up;
            }
            let pairs = below * positives;
            (pairs > 0).then(|| halves as f64 / (2 * pairs) as f64)
        };
        self.interval(rows.len(), share)
    }

    /// `figure` gets how often each cluster was drawn.
    fn interval(
        &self,
        clusters: usize,
        figure: impl Fn(&[u32]) -> Option<f64>,
    ) -> Option<Interval> {
        let estimate = figure(&vec![1; clusters])?;
        let mut random = SplitMix64(self.seed);
        let mut weights = vec![0; clusters];
        let mut figures = Vec::with_capacity(self.resamples);
        for _ in 0..self.resamples {
            weights.fill(0);
            for _ in 0..clusters {
                weights[random.below(clusters as u64) as usize] += 1;
            }
            figures.extend(figure(&weights));
        }
        figures.sort_by(f64::total_cmp);
        let (low, high) = (quantile(&figures, 0.025)?, quantile(&figures, 0.975)?);
        Some(Interval { estimate, low, high })
    }
}

/// The rows of each cluster, in the order of their numbers.
fn rows_of(clusters: &[usize], rows: usize) -> Option<Vec<Vec<usize>>> {
    if clusters.len() != rows {
        return None;
    }
    let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (row, cluster) in clusters.iter().enumerate() {
        found.entry(*cluster).or_default().push(row);
    }
    Some(found.into_values().collect())
}

/// Of sorted values, linear between neighbours (type 7 of Hyndman and Fan, 1996).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// SplitMix64: Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", in
/// the constants of Vigna's reference program.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform below `n` to within n / 2^64.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// One row a cluster.
    fn each(rows: usize) -> Vec<usize> {
        (0..rows).collect()
    }

    /// Roughly normal: a sum of twelve uniform numbers, variance 1.
    fn normal(random: &mut SplitMix64) -> f64 {
        (0..12).map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn the_generator_is_that_of_the_reference_program() {
        let mut random = SplitMix64(1_234_567);
        let first =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], first);
    }

    #[test]
    fn one_seed_gives_the_same_bytes_and_another_gives_others() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        let of =
            |seed| Bootstrap { seed, ..Bootstrap::default() }.mean(&values, &each(40)).unwrap();
        assert_eq!(of(7).low.to_bits(), of(7).low.to_bits());
        assert_eq!(of(7).high.to_bits(), of(7).high.to_bits());
        assert_ne!((of(7).low, of(7).high), (of(8).low, of(8).high));
    }

    #[test]
    fn small_cases_that_are_known() {
        let of = Bootstrap::default();
        let flat = of.mean(&[3.0; 9], &each(9)).unwrap();
        assert_eq!((flat.estimate, flat.low, flat.high), (3.0, 3.0, 3.0));
        // one cluster is always drawn whole
        let one = of.mean(&[1.0, 2.0, 6.0], &[4, 4, 4]).unwrap();
        assert_eq!((one.estimate, one.low, one.high), (3.0, 3.0, 3.0));
        // of two values a quarter of the resamples has twice the lower one
        let two = of.mean(&[0.0, 1.0], &each(2)).unwrap();
        assert_eq!((two.estimate, two.low, two.high), (0.5, 0.0, 1.0));
        let pair = of.paired_difference(&[1.0, 5.0], &[2.0, 6.0], &each(2)).unwrap();
        assert_eq!((pair.estimate, pair.low, pair.high), (1.0, 1.0, 1.0));
        let sorted =
            of.auroc(&[4.0, 3.0, 2.0, 1.0], &[true, true, false, false], &each(4)).unwrap();
        assert_eq!((sorted.estimate, sorted.low, sorted.high), (1.0, 1.0, 1.0));
    }

    #[test]
    fn what_has_no_figure_has_no_interval() {
        let of = Bootstrap::default();
        assert_eq!(of.mean(&[], &[]), None);
        assert_eq!(of.mean(&[1.0, f64::NAN], &each(2)), None);
        assert_eq!(of.mean(&[1.0, 2.0], &each(3)), None);
        assert_eq!(of.paired_difference(&[1.0], &[1.0, 2.0], &each(2)), None);
        assert_eq!(of.auroc(&[1.0, 2.0], &[true, true], &each(2)), None);
        assert_eq!(of.auroc(&[1.0, f64::NAN], &[true, false], &each(2)), None);
        assert_eq!(Bootstrap { resamples: 0, seed: 1 }.mean(&[1.0], &each(1)), None);
    }

    #[test]
    fn the_estimate_of_an_auroc_is_that_of_the_pairs() {
        let mut random = SplitMix64(5);
        for _ in 0..50 {
            let n = 4 + random.below(30) as usize;
            let scores: Vec<f64> = (0..n).map(|_| random.below(9) as f64).collect();
            let positive: Vec<bool> = (0..n).map(|i| i % 2 == 0).collect();
            let side = |wanted: bool| -> Vec<f64> {
                let rows = scores.iter().zip(&positive).filter(|(_, is)| **is == wanted);
                rows.map(|(score, _)| *score).collect()
            };
            let of = Bootstrap { resamples: 40, seed: 1 };
            let found = of.auroc(&scores, &positive, &each(n)).unwrap();
            assert_eq!(Some(found.estimate), crate::auroc(&side(true), &side(false)));
            assert!(found.low <= found.estimate && found.estimate <= found.high);
        }
    }

    /// The share of 400 drawn samples whose interval has the true figure.
    fn coverage(mut interval: impl FnMut(&mut SplitMix64) -> (Interval, f64)) -> f64 {
        let mut random = SplitMix64(99);
        let hits = (0..400).filter(|_| {
            let (found, truth) = interval(&mut random);
            found.low <= truth && truth <= found.high
        });
        hits.count() as f64 / 400.0
    }

    #[test]
    fn about_95_percent_of_the_intervals_have_the_truth() {
        let of = Bootstrap { resamples: 400, seed: 3 };
        let mean = coverage(|random| {
            let values: Vec<f64> = (0..60).map(|_| 2.0 + normal(random)).collect();
            (of.mean(&values, &each(60)).unwrap(), 2.0)
        });
        assert!((0.91..=0.98).contains(&mean), "{mean}");
        let difference = coverage(|random| {
            let before: Vec<f64> = (0..60).map(|_| 5.0 * normal(random)).collect();
            let after: Vec<f64> = before.iter().map(|b| b + 1.0 + normal(random)).collect();
            (of.paired_difference(&before, &after, &each(60)).unwrap(), 1.0)
        });
        assert!((0.91..=0.98).contains(&difference), "{difference}");
        // X + 1 against X, both normal: P = Phi(1 / sqrt 2)
        let auroc = coverage(|random| {
            let positive: Vec<bool> = (0..80).map(|i| i % 2 == 0).collect();
            let scores: Vec<f64> =
                positive.iter().map(|&p| f64::from(u8::from(p)) + normal(random)).collect();
            (of.auroc(&scores, &positive, &each(80)).unwrap(), 0.760_250)
        });
        assert!((0.91..=0.98).contains(&auroc), "{auroc}");
    }

    #[test]
    fn rows_of_one_note_are_drawn_together() {
        let of = Bootstrap { resamples: 400, seed: 3 };
        // five rows a note, all but equal: drawn one by one they would seem five times as many
        let sample = |random: &mut SplitMix64, by_note: bool| {
            let mut values = Vec::new();
            for _ in 0..40 {
                let note = normal(random);
                values.extend((0..5).map(|_| note + 0.1 * normal(random)));
            }
            let clusters = (0..200).map(|row| if by_note { row / 5 } else { row });
            (of.mean(&values, &clusters.collect::<Vec<_>>()).unwrap(), 0.0)
        };
        let (by_note, by_row) = (coverage(|r| sample(r, true)), coverage(|r| sample(r, false)));
        assert!((0.9..=0.98).contains(&by_note), "{by_note}");
        assert!(by_row < 0.75, "{by_row}");
    }
}
