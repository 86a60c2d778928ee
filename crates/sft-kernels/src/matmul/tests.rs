//! Every path of this processor against f64.
#![allow(clippy::unwrap_used)]

use half::bf16;

use super::{Bf16Matrix, Form, Start, path::Path, product::product};
use crate::random::uniform;

/// Rows of activations, rows and columns of the weight: no multiple of anything, one and few rows,
/// more rows than a block, and reductions longer than a panel.
const SIZES: [(usize, usize, usize); 14] = [
    (1, 1, 1),
    (1, 5, 3),
    (3, 7, 33),
    (8, 49, 65),
    (15, 47, 31),
    (17, 50, 129),
    (13, 97, 577),
    (7, 577, 97),
    (33, 50, 129),
    (36, 47, 31),
    (39, 97, 577),
    (70, 270, 300),
    (40, 96, 64),
    (1030, 20, 41),
];

fn values(stream: u64, len: usize) -> Vec<f32> {
    uniform(11, stream, len).into_iter().map(|x| 2.0 * x - 1.0).collect()
}

fn weight(stream: u64, rows: usize, cols: usize) -> Vec<bf16> {
    values(stream, rows * cols).into_iter().map(bf16::from_f32).collect()
}

/// What the path makes of an activation.
fn seen(path: Path, x: f32) -> f32 {
    if path.kernels().paired { bf16::from_f32(x).to_f32() } else { x }
}

fn sides(form: Form, rows: usize, cols: usize) -> (usize, usize) {
    match form {
        Form::Nt => (cols, rows),
        Form::Nn => (rows, cols),
    }
}

/// Calls `check` with (path, form, t, rows, cols) of every case.
fn cases(mut check: impl FnMut(Path, Form, usize, usize, usize)) {
    for path in Path::available() {
        for form in [Form::Nt, Form::Nn] {
            for (t, rows, cols) in SIZES {
                check(path, form, t, rows, cols);
            }
        }
    }
}

#[test]
fn products_are_those_of_f64() {
    cases(|path, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (x, w, bias) = (values(1, t * depth), weight(2, rows, cols), values(3, width));
        let before = values(4, t * width);
        let matrix = Bf16Matrix::new(&w, rows, cols).unwrap();
        for start in [Start::Zero, Start::Bias(&bias), Start::Existing] {
            let mut y = match start {
                Start::Existing => before.clone(),
                _ => vec![f32::NAN; t * width], // must be overwritten
            };
            product(path, form, &x, t, &matrix, start, &mut y).unwrap();
            for (i, &y) in y.iter().enumerate() {
                let (row, column) = (i / width, i % width);
                let first = match start {
                    Start::Zero => 0.0,
                    Start::Bias(bias) => f64::from(bias[column]),
                    Start::Existing => f64::from(before[i]),
                };
                let (mut sum, mut size) = (first, first.abs());
                for d in 0..depth {
                    let w = match form {
                        Form::Nt => w[column * cols + d],
                        Form::Nn => w[d * cols + column],
                    };
                    let term = f64::from(seen(path, x[row * depth + d])) * w.to_f64();
                    sum += term;
                    size += term.abs();
                }
                // Rounding errors of f32 sums of n terms grow as the root of n (Higham and Mary,
                // 2019); bf16 truncated or taken from a neighbour would be far outside.
                let bound = size * f64::from(f32::EPSILON) * (4.0 + 2.0 * (depth as f64).sqrt());
                assert!(
                    (f64::from(y) - sum).abs() <= bound,
                    "{path:?} {form:?} {start:?} t {t}, [{rows}, {cols}]: entry {row}, {column} \
                     is {y}, not {sum}"
                );
            }
        }
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let pools = [1, 2, 3]
        .map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    cases(|path, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (x, w) = (values(1, t * depth), weight(2, rows, cols));
        let matrix = Bf16Matrix::new(&w, rows, cols).unwrap();
        let results = pools.each_ref().map(|pool| {
            let mut y = vec![0f32; t * width];
            pool.install(|| product(path, form, &x, t, &matrix, Start::Zero, &mut y)).unwrap();
            y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        });
        for result in &results[1..] {
            assert!(*result == results[0], "{path:?} {form:?} t {t}, [{rows}, {cols}]");
        }
    });
}

#[test]
fn what_is_not_finite_stays_in_its_row_or_column() {
    cases(|path, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (mut x, mut w) = (values(1, t * depth), weight(2, rows, cols));
        let (bad_row, bad_column) = (t - 1, width - 1);
        x[bad_row * depth + depth - 1] = f32::NAN;
        let at = match form {
            Form::Nt => bad_column * cols,
            Form::Nn => bad_column,
        };
        w[at] = bf16::INFINITY;
        let matrix = Bf16Matrix::new(&w, rows, cols).unwrap();
        let mut y = vec![0f32; t * width];
        product(path, form, &x, t, &matrix, Start::Zero, &mut y).unwrap();
        for (i, y) in y.iter().enumerate() {
            let (row, column) = (i / width, i % width);
            assert_eq!(y.is_nan(), row == bad_row, "{path:?} {form:?} {row} {column}");
            assert_eq!(y.is_finite(), row != bad_row && column != bad_column);
        }
    });
}

#[test]
fn activations_round_to_the_nearest_even_bf16_or_not_at_all() {
    let ties = [1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, -1.0 - 1.0 / 256.0, 1.0 + 1.25 / 256.0];
    let rounded = [1.0, 1.0 + 4.0 / 256.0, -1.0, 1.0 + 2.0 / 256.0];
    for path in Path::available() {
        for (&x, rounded) in ties.iter().zip(rounded) {
            let expected = if path.kernels().paired { rounded } else { x };
            for (form, t, depth) in [
                (Form::Nt, 1, 1),
                (Form::Nt, 1, 64),
                (Form::Nt, 40, 64),
                (Form::Nt, 40, 3),
                (Form::Nn, 20, 40),
            ] {
                // One activation that is not zero, and a weight of one column of ones.
                let mut row = vec![0f32; depth];
                row[depth - 1] = x;
                let x = row.repeat(t);
                let w = vec![bf16::ONE; depth];
                let (rows, cols) = match form {
                    Form::Nt => (1, depth),
                    Form::Nn => (depth, 1),
                };
                let matrix = Bf16Matrix::new(&w, rows, cols).unwrap();
                let mut y = vec![0f32; t];
                product(path, form, &x, t, &matrix, Start::Zero, &mut y).unwrap();
                assert!(y.iter().all(|&y| y == expected), "{path:?} {form:?} {y:?} {expected}");
            }
        }
    }
}

#[test]
fn nothing_times_something() {
    for path in Path::available() {
        for form in [Form::Nt, Form::Nn] {
            for (t, rows, cols) in [(0, 5, 3), (4, 0, 3), (4, 5, 0), (40, 5, 0), (40, 0, 3)] {
                let (depth, width) = sides(form, rows, cols);
                let (x, w) = (values(1, t * depth), weight(2, rows, cols));
                let matrix = Bf16Matrix::new(&w, rows, cols).unwrap();
                let bias = vec![2.0; width];
                for (start, expected) in
                    [(Start::Zero, 0.0), (Start::Existing, 7.0), (Start::Bias(&bias), 2.0)]
                {
                    let mut y = vec![7f32; t * width];
                    product(path, form, &x, t, &matrix, start, &mut y).unwrap();
                    assert!(t == 0 || depth > 0 || y.iter().all(|&y| y == expected), "{start:?}");
                }
            }
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let w = weight(1, 3, 2);
    assert!(Bf16Matrix::new(&w, 2, 2).is_err());
    let matrix = Bf16Matrix::new(&w, 3, 2).unwrap();
    let refused = |x: usize, y: usize, start: Start<'_>| {
        super::matmul_nt(&vec![0.0; x], 4, &matrix, start, &mut vec![0.0; y]).is_err()
    };
    assert!(!refused(8, 12, Start::Zero));
    assert!(refused(7, 12, Start::Zero) && refused(8, 11, Start::Zero));
    assert!(refused(8, 12, Start::Bias(&[0.0; 2])));
}
