//! bitsandbytes' dynamic map of eight bits, in which the sizes of NF4 blocks are stored.

use std::sync::LazyLock;

/// What each code stands for, rising (Dettmers, "8-Bit Approximations for Parallelism in Deep
/// Learning", 2015).
pub(super) static SIZES: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut values = vec![0.0, 1.0];
    for exponent in 0..7 {
        // Between 0.1 and 1 times a power of ten lie ever more values, in the middle of equal parts.
        let (parts, power) = (1u32 << exponent, 10f64.powi(exponent - 6));
        for part in 0..parts {
            let middle = 0.1 + 0.9 * (f64::from(part) + 0.5) / f64::from(parts);
            values.extend([power * middle, -power * middle]);
        }
    }
    values.sort_by(f64::total_cmp);
    let mut sizes = [0.0; 256];
    sizes.iter_mut().zip(values).for_each(|(size, value)| *size = value as f32);
    sizes
});

/// The code of the nearest value.
pub(super) fn nearest(sizes: &[f32; 256], value: f32) -> u8 {
    let above = sizes.partition_point(|&size| size < value).min(255);
    let below = above.saturating_sub(1);
    let nearest = if value - sizes[below] <= sizes[above] - value { below } else { above };
    nearest as u8
}
