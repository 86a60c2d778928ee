//! What dropout masks depend on, and what they do not.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device};
use sft_kernels::{Dropout, DropoutStream, Rows};

fn mask(
    stream: DropoutStream,
    module: &str,
    example: &[u64],
    position: &[u32],
    p: f64,
) -> Vec<Vec<f32>> {
    let rows = Rows { example, position };
    let dropout = Dropout::new(stream, module, rows, p).unwrap();
    dropout.mask(37, DType::F32, &Device::Cpu).unwrap().to_vec2().unwrap()
}

const STREAM: DropoutStream = DropoutStream { seed: 42, step: 7 };

#[test]
fn a_row_does_not_depend_on_its_place_in_the_batch() {
    let together = mask(STREAM, "m", &[3, 3, 8, 8, 8], &[0, 1, 0, 1, 2], 0.4);
    let alone = mask(STREAM, "m", &[8, 8, 8], &[0, 1, 2], 0.4);
    assert_eq!(together[2..], alone[..]);
    assert_eq!(together, mask(STREAM, "m", &[3, 3, 8, 8, 8], &[0, 1, 0, 1, 2], 0.4));
}

#[test]
fn every_coordinate_matters() {
    let one = mask(STREAM, "m", &[3], &[5], 0.5);
    assert_ne!(one, mask(DropoutStream { seed: 43, ..STREAM }, "m", &[3], &[5], 0.5));
    assert_ne!(one, mask(DropoutStream { step: 8, ..STREAM }, "m", &[3], &[5], 0.5));
    assert_ne!(one, mask(STREAM, "n", &[3], &[5], 0.5));
    assert_ne!(one, mask(STREAM, "m", &[4], &[5], 0.5));
    assert_ne!(one, mask(STREAM, "m", &[3], &[6], 0.5));
}

#[test]
fn rate_and_scale_are_exact() {
    let positions: Vec<u32> = (0..4000).collect();
    let rows = mask(STREAM, "m", &vec![1; 4000], &positions, 0.1);
    let values: Vec<f32> = rows.into_iter().flatten().collect();
    let keep = 1.0 / 0.9f64 as f32;
    assert!(values.iter().all(|&x| x == 0.0 || (x - keep).abs() < 1e-6));
    let dropped = values.iter().filter(|&&x| x == 0.0).count() as f64 / values.len() as f64;
    assert!((dropped - 0.1).abs() < 0.002, "{dropped}");
    let none = mask(STREAM, "m", &[1], &[1], 0.0);
    assert!(none.into_iter().flatten().all(|x| x == 1.0));
}

#[test]
fn a_probability_outside_its_range_is_refused() {
    for p in [-0.1, 1.0, f64::NAN] {
        let rows = Rows { example: &[0], position: &[0] };
        assert!(Dropout::new(STREAM, "m", rows, p).is_err());
    }
}
