//! Long curves with fewer points.

/// A point of a curve: step, value.
pub(crate) type Point = (f64, f64);

/// Thins a curve to at most `points`: each is the mean of as many neighbours.
pub(crate) fn thin(curve: &[Point], points: usize) -> Vec<Point> {
    let size = curve.len().div_ceil(points.max(1)).max(1);
    let mean = |chunk: &[Point]| {
        let count = chunk.len() as f64;
        let sum = chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    curve.chunks(size).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_curve_stays_and_a_long_one_keeps_its_mean() {
        let curve: Vec<Point> = (0..10).map(|i| (f64::from(i), f64::from(2 * i))).collect();
        assert_eq!(thin(&curve, 10), curve);
        assert_eq!(thin(&curve, 5), [(0.5, 1.0), (2.5, 5.0), (4.5, 9.0), (6.5, 13.0), (8.5, 17.0)]);
        assert_eq!(thin(&curve, 4).len(), 4);
        assert_eq!(thin(&[], 4), []);
    }
}
