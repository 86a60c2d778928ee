//! The mean of a few independent figures: Student's interval.

use crate::Interval;

/// 97.5 % quantiles of Student's t distribution for 1, 2, ... degrees of freedom.
const QUANTILES: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// For more degrees of freedom than the table has.
const NORMAL: f64 = 1.96;

/// The mean of `values` with its 95 % interval, as if they were independent and normally distributed; `None`
/// of fewer than two, or where one is not finite.
///
/// Folds of a cross validation share training rows, so that their interval is somewhat too narrow
/// (Bengio and Grandvalet, 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation").
pub fn student_mean(values: &[f64]) -> Option<Interval> {
    if values.len() < 2 || !values.iter().all(|value| value.is_finite()) {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let quantile = QUANTILES.get(values.len() - 2).copied().unwrap_or(NORMAL);
    let half = quantile * (variance / n).sqrt();
    Some(Interval { estimate: mean, low: mean - half, high: mean + half })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // standard deviation 1, so that half the width is 4.303 / sqrt(3)
        let interval = student_mean(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(interval.estimate, 2.0);
        assert!((interval.high - 2.0 - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert!((interval.low + interval.high - 4.0).abs() < 1e-12);
        assert_eq!(student_mean(&[1.0]), None);
        assert_eq!(student_mean(&[1.0, f64::NAN]), None);
        let many: Vec<f64> = (0..200).map(|i| f64::from(i % 2)).collect();
        let interval = student_mean(&many).unwrap();
        assert!(
            (interval.high - 0.5 - 1.96 * (0.25 * 200.0 / 199.0 / 200f64).sqrt()).abs() < 1e-12
        );
    }
}
