//! Loops that the compiler turns into vector instructions.
#![allow(unsafe_code, clippy::cast_possible_wrap)]

/// Compiles a function for each instruction set and calls the widest that the machine has.
///
/// Rust contracts no multiplication with an addition and reorders no sum, so that all of them give
/// the same bytes.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::inline_always, clippy::too_many_arguments)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
                #[allow(clippy::too_many_arguments)]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn middle($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                match $crate::cpu::vector::width() {
                    // SAFETY: the machine has these instructions.
                    16 => return unsafe { wide($($arg),*) },
                    // SAFETY: the machine has these instructions.
                    8 => return unsafe { middle($($arg),*) },
                    _ => {}
                }
            }
            body($($arg),*)
        }
    };
}
pub(crate) use vectorised;

/// Numbers in a vector of this machine's widest instructions that [`vectorised`] compiles for.
#[cfg(target_arch = "x86_64")]
pub(crate) fn width() -> usize {
    use std::arch::is_x86_feature_detected as has;
    if has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq") {
        16
    } else if has!("avx2") {
        8
    } else {
        4
    }
}

/// Partial sums of a vectorised reduction.
pub(crate) const LANES: usize = 16;

/// The sum of partial sums, in one order.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(crate) fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// `sum(f(x, y))` over two slices of one length.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(crate) fn sum_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let (x_rest, y_rest) = (xs.remainder(), ys.remainder());
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    for (i, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
        lanes[i] += f(*x, *y);
    }
    total(lanes)
}

/// The largest number of a slice; negative infinity of none.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(crate) fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    let max = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    for x in chunks {
        for i in 0..LANES {
            lanes[i] = max(lanes[i], x[i]);
        }
    }
    rest.iter().chain(&lanes).fold(f32::NEG_INFINITY, |a, &b| max(a, b))
}

/// `e^x`, within two units in the last place; 0 far below, infinite above 88.72, NaN of NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; the polynomial in `r` is that of Cephes' `expf`
/// (Moshier, 1992), and `2^n` goes into the exponent in two halves, so that both ends of the range
/// are reached.
#[inline(always)]
#[allow(clippy::inline_always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Rounds to the nearest integer, which stands in the low bits of the sum's mantissa.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -104.0 { -104.0 } else { x };
    let clamped = if clamped > 89.0 { 89.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * r + c;
    }
    let p = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = exponent >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    p * power(half) * power(exponent.wrapping_sub(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_f64() {
        let mut worst = 0f64;
        for i in -870_000..=887_000 {
            let x = i as f32 * 1e-4;
            let (found, exact) = (f64::from(exp(x)), f64::from(x).exp());
            worst = worst.max((found - exact).abs() / exact);
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_are_those_of_f64() {
        let x: Vec<f32> = (0..1003).map(|i| (i as f32 * 0.37).sin()).collect();
        let exact: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((f64::from(sum_of(&x, &x, |x, y| x * y)) - exact).abs() < 1e-3);
        assert_eq!(largest(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
        assert!(largest(&[1.0, f32::NAN, 2.0]).is_nan());
    }
}
