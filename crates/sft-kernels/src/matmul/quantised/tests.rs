//! What is kept, against bitsandbytes and against the values.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::bf16;

use super::{Codes, Quantised, WeightBytes, largest, nf4::Nf4, size_map::SIZES};
use crate::{
    matmul::{Form, Product, Start, path::Path as Kernels, product::compute},
    random::uniform,
};

fn golden(name: &str) -> Tensor {
    let file = "../../fixtures/golden/nf4/nf4.safetensors";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors[name].clone()
}

fn floats(name: &str) -> Vec<f32> {
    golden(name).to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn near(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert!((ours - theirs).abs() <= 2e-6 * theirs.abs().max(1e-3), "{ours} {theirs}");
    }
}

// scripts/make_nf4_golden.py
#[test]
fn nf4_is_that_of_bitsandbytes() {
    let values = golden("values");
    let (rows, cols) = values.dims2().unwrap();
    let values: Vec<bf16> = values.flatten_all().unwrap().to_vec1().unwrap();
    let matrix = Quantised::nf4(&values, rows, cols).unwrap();
    let Codes::Nf4(ours) = &matrix.codes else { panic!("another storage") };
    let bytes = |name| golden(name).to_vec1::<u8>().unwrap();
    let (sizes, scales, offset) = (bytes("sizes"), floats("scales"), floats("offset")[0]);
    assert_eq!(*ours.codes, bytes("codes"));
    near(&ours.scales, &scales);
    near(&[ours.offset], &[offset]);
    near(&*SIZES, &floats("map"));

    // Its search for the code of a size is quick rather than exact: ours is never farther off.
    let theirs =
        Nf4 { codes: ours.codes.clone(), sizes: WeightBytes::Owned(sizes), scales, offset };
    for (block, values) in values.chunks(64).enumerate() {
        let exact = largest(values).unwrap();
        let off = |nf4: &Nf4| (nf4.size(&SIZES, block) - exact).abs();
        assert!(off(ours) <= off(&theirs) + 1e-6, "block {block}");
    }
    let same = ours.sizes.iter().zip(&*theirs.sizes).filter(|(ours, theirs)| ours == theirs);
    assert!(same.count() >= ours.sizes.len() * 9 / 10);

    let dequantised = floats("dequantised");
    let mut read = vec![0.0; values.len()];
    theirs.dequantise(0, &mut read);
    near(&read[..4096], &dequantised[..4096]);
    near(&read[values.len() - 8..], &dequantised[4096..]);

    let all = matrix.dequantise();
    let wide: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
    let same = Quantised::nf4(&wide, rows, cols).unwrap();
    assert_eq!(same.dequantise(), all, "the values' type must not matter");
}

#[test]
fn int8_is_within_half_a_step_of_the_values() {
    let (rows, cols) = (70, 150);
    let values: Vec<f32> =
        uniform(3, 1, rows * cols).into_iter().map(|x| x.powi(5) - 0.1).collect();
    let matrix = Quantised::int8(&values, rows, cols).unwrap();
    let back = matrix.dequantise();
    for (values, back) in values.chunks(cols).zip(back.chunks(cols)) {
        for (values, back) in values.chunks(64).zip(back.chunks(64)) {
            let step = largest(values).unwrap() / 127.0;
            let (mut most, mut worst) = (0f32, 0f32);
            for (value, back) in values.iter().zip(back) {
                worst = worst.max((value - back).abs());
                most = most.max(back.abs());
            }
            assert!(worst <= 0.5001 * step, "{worst} {step}");
            assert!((most - 127.0 * step).abs() <= 1e-6 * most, "the largest is kept");
        }
    }
    assert_eq!(matrix.bytes(), rows * cols + rows * 3 * 4);
}

#[test]
fn a_product_with_one_is_the_matrix_rounded_to_bf16() {
    for (rows, cols) in [(3, 1), (5, 7), (9, 150), (40, 130), (33, 256), (2, 2100)] {
        let values: Vec<f32> =
            uniform(4, 1, rows * cols).into_iter().map(|x| 2.0 * x - 1.0).collect();
        for matrix in [Quantised::nf4(&values, rows, cols), Quantised::int8(&values, rows, cols)] {
            let matrix = matrix.unwrap();
            let rounded: Vec<f32> =
                matrix.dequantise().into_iter().map(|x| bf16::from_f32(x).to_f32()).collect();
            for path in Kernels::available() {
                let times_one = |form, n: usize, first: usize, t: usize| {
                    let mut x = vec![0.0; t * n];
                    (0..t).for_each(|i| x[i * n + first + i] = 1.0);
                    let mut y = vec![f32::NAN; t * if n == rows { cols } else { rows }];
                    let product = Product::new(form, &x, t, matrix.matrix(), Start::Zero, &mut y);
                    compute(path, vec![product]).unwrap();
                    y
                };
                assert_eq!(times_one(Form::Nn, rows, 0, rows), rounded, "{path:?} {rows} {cols}");
                for t in [1, 6, 32, cols] {
                    // Few rows, and many, which take another way.
                    let t = t.min(cols);
                    let first = cols - t;
                    let y = times_one(Form::Nt, cols, first, t);
                    for (i, y) in y.into_iter().enumerate() {
                        let (column, row) = (first + i / rows, i % rows);
                        assert_eq!(y, rounded[row * cols + column], "{path:?} {row} {column}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    assert!(Quantised::nf4(&[0f32; 6], 2, 2).is_err());
    assert!(Quantised::int8(&[0f32; 6], 2, 2).is_err());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = [0.5; 128];
        values[100] = bad;
        assert!(Quantised::nf4(&values, 2, 64).is_err());
        assert!(Quantised::int8(&values, 2, 64).is_err());
    }
    for (rows, cols) in [(0, 5), (5, 0)] {
        assert!(Quantised::nf4::<f32>(&[], rows, cols).unwrap().dequantise().is_empty());
        assert!(Quantised::int8::<f32>(&[], rows, cols).unwrap().dequantise().is_empty());
    }
    let zeros = Quantised::nf4(&[0f32; 100], 10, 10).unwrap();
    assert!(zeros.dequantise().iter().all(|&x| x == 0.0));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let values = uniform(5, 1, 300_000);
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Quantised::nf4(&values, 300, 1000).unwrap().dequantise())
    });
    assert_eq!(one, three);
}
