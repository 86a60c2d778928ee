//! From f32 to bf16 and back.

use half::{bf16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::{GRAIN, vector::vectorised};

/// `y = x`, rounded to nearest even; what is not a number stays so.
pub fn round(x: &[f32], y: &mut [bf16]) {
    let y = y.reinterpret_cast_mut().par_chunks_mut(GRAIN);
    y.zip(x.par_chunks(GRAIN)).for_each(|(y, x)| round_part(x, y));
}

/// `y = x`.
pub fn widen(x: &[bf16], y: &mut [f32]) {
    let x = x.reinterpret_cast().par_chunks(GRAIN);
    y.par_chunks_mut(GRAIN).zip(x).for_each(|(y, x)| widen_part(x, y));
}

vectorised! {
    pub(super) fn round_part(x: &[f32], y: &mut [u16]) {
        for (y, x) in y.iter_mut().zip(x) {
            let bits = x.to_bits();
            let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
            let quiet = bits >> 16 | 0x40;
            *y = (if bits & 0x7FFF_FFFF > 0x7F80_0000 { quiet } else { nearest }) as u16;
        }
    }
}

vectorised! {
    pub(super) fn widen_part(x: &[u16], y: &mut [f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f32::from_bits(u32::from(x) << 16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_number_is_rounded_as_half_rounds_it() {
        let mut x: Vec<f32> = (0..1 << 20).map(|i| f32::from_bits(i * 4093)).collect();
        x.extend([
            0.0,
            -0.0,
            f32::MAX,
            f32::MIN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            -f32::NAN,
        ]);
        x.extend([1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::MIN_POSITIVE / 3.0]);
        let mut rounded = vec![bf16::ZERO; x.len()];
        round(&x, &mut rounded);
        let expected: Vec<u16> = x.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
        assert_eq!(rounded.reinterpret_cast(), expected);
        let mut back = vec![0.0; x.len()];
        widen(&rounded, &mut back);
        assert!(back.iter().zip(&rounded).all(|(x, y)| x.to_bits() == y.to_f32().to_bits()));
    }
}
