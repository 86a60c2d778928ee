//! Every path of this processor against f64.
#![allow(clippy::unwrap_used)]

use half::bf16;

use super::{Form, Matrix, Product, Quantised, Start, path::Path, product::compute};
use crate::random::uniform;

/// One product.
fn product(
    path: Path,
    form: Form,
    x: &[f32],
    t: usize,
    w: &Matrix<'_>,
    start: Start<'_>,
    y: &mut [f32],
) {
    compute(path, vec![Product::new(form, x, t, *w, start, y)]).unwrap();
}

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

/// A weight `[rows, cols]` in one of the storages.
struct Weight {
    stored: Stored,
    rows: usize,
    cols: usize,
}

#[derive(Debug)]
enum Stored {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    /// And what it stands for.
    Quantised(Quantised, Vec<f32>),
}

#[derive(Clone, Copy, Debug)]
enum Storage {
    F32,
    Bf16,
    Nf4,
    Int8,
}

const STORAGES: [Storage; 4] = [Storage::F32, Storage::Bf16, Storage::Nf4, Storage::Int8];

impl Stored {
    fn quantised(matrix: Quantised) -> Self {
        let rounded = matrix.dequantise().into_iter().map(|x| bf16::from_f32(x).to_f32()).collect();
        Self::Quantised(matrix, rounded)
    }
}

impl Weight {
    fn of(storage: Storage, values: Vec<f32>, rows: usize, cols: usize) -> Self {
        let stored = match storage {
            Storage::F32 => Stored::F32(values),
            Storage::Bf16 => Stored::Bf16(values.into_iter().map(bf16::from_f32).collect()),
            Storage::Nf4 => Stored::quantised(Quantised::nf4(&values, rows, cols).unwrap()),
            Storage::Int8 => Stored::quantised(Quantised::int8(&values, rows, cols).unwrap()),
        };
        Self { stored, rows, cols }
    }

    fn random(storage: Storage, stream: u64, rows: usize, cols: usize) -> Self {
        Self::of(storage, values(stream, rows * cols), rows, cols)
    }

    fn matrix(&self) -> Matrix<'_> {
        match &self.stored {
            Stored::F32(values) => Matrix::f32(values, self.rows, self.cols).unwrap(),
            Stored::Bf16(values) => Matrix::bf16(values, self.rows, self.cols).unwrap(),
            Stored::Quantised(matrix, _) => matrix.matrix(),
        }
    }

    fn at(&self, i: usize) -> f64 {
        match &self.stored {
            Stored::F32(values) | Stored::Quantised(_, values) => f64::from(values[i]),
            Stored::Bf16(values) => values[i].to_f64(),
        }
    }

    fn set(&mut self, i: usize, value: f32) {
        match &mut self.stored {
            Stored::F32(values) => values[i] = value,
            Stored::Bf16(values) => values[i] = bf16::from_f32(value),
            Stored::Quantised(..) => unreachable!("its numbers are finite"),
        }
    }

    /// What the path makes of an activation that this weight is multiplied with.
    fn sees(&self, path: Path, x: f32) -> f32 {
        let paired = path.kernels(self.matrix().values).paired;
        if paired { bf16::from_f32(x).to_f32() } else { x }
    }
}

fn sides(form: Form, rows: usize, cols: usize) -> (usize, usize) {
    match form {
        Form::Nt => (cols, rows),
        Form::Nn | Form::Tn => (rows, cols),
    }
}

/// Calls `check` with (path, storage, form, t, rows, cols) of every case.
fn cases(mut check: impl FnMut(Path, Storage, Form, usize, usize, usize)) {
    for path in Path::available() {
        for storage in STORAGES {
            for form in [Form::Nt, Form::Nn] {
                for (t, rows, cols) in SIZES {
                    check(path, storage, form, t, rows, cols);
                }
            }
        }
    }
}

#[test]
fn products_are_those_of_f64() {
    cases(|path, storage, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (x, w, bias) =
            (values(1, t * depth), Weight::random(storage, 2, rows, cols), values(3, width));
        let before = values(4, t * width);
        let matrix = w.matrix();
        for start in [Start::Zero, Start::Bias(&bias), Start::Existing] {
            let mut y = match start {
                Start::Existing => before.clone(),
                _ => vec![f32::NAN; t * width], // must be overwritten
            };
            product(path, form, &x, t, &matrix, start, &mut y);
            for (i, &y) in y.iter().enumerate() {
                let (row, column) = (i / width, i % width);
                let first = match start {
                    Start::Zero => 0.0,
                    Start::Bias(bias) => f64::from(bias[column]),
                    Start::Existing => f64::from(before[i]),
                };
                let (mut sum, mut size) = (first, first.abs());
                for d in 0..depth {
                    let at = match form {
                        Form::Nt => column * cols + d,
                        Form::Nn | Form::Tn => d * cols + column,
                    };
                    let term = f64::from(w.sees(path, x[row * depth + d])) * w.at(at);
                    sum += term;
                    size += term.abs();
                }
                // Rounding errors of f32 sums of n terms grow as the root of n (Higham and Mary,
                // 2019); bf16 truncated or taken from a neighbour would be far outside.
                let bound = size * f64::from(f32::EPSILON) * (4.0 + 2.0 * (depth as f64).sqrt());
                assert!(
                    (f64::from(y) - sum).abs() <= bound,
                    "{path:?} {storage:?} {form:?} {start:?} t {t}, [{rows}, {cols}]: entry {row}, {column} \
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
    cases(|path, storage, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (x, w) = (values(1, t * depth), Weight::random(storage, 2, rows, cols));
        let matrix = w.matrix();
        let results = pools.each_ref().map(|pool| {
            let mut y = vec![0f32; t * width];
            pool.install(|| product(path, form, &x, t, &matrix, Start::Zero, &mut y));
            y.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        });
        for result in &results[1..] {
            assert!(*result == results[0], "{path:?} {form:?} t {t}, [{rows}, {cols}]");
        }
    });
}

#[test]
fn what_is_not_finite_stays_in_its_row_or_column() {
    cases(|path, storage, form, t, rows, cols| {
        if matches!(storage, Storage::Nf4 | Storage::Int8) {
            return; // its numbers are finite
        }
        let (depth, width) = sides(form, rows, cols);
        let (mut x, mut w) = (values(1, t * depth), Weight::random(storage, 2, rows, cols));
        let (bad_row, bad_column) = (t - 1, width - 1);
        x[bad_row * depth + depth - 1] = f32::NAN;
        let at = match form {
            Form::Nt => bad_column * cols,
            Form::Nn | Form::Tn => bad_column,
        };
        w.set(at, f32::INFINITY);
        let matrix = w.matrix();
        let mut y = vec![0f32; t * width];
        product(path, form, &x, t, &matrix, Start::Zero, &mut y);
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
    for (path, storage) in Path::available().flat_map(|p| STORAGES.map(|storage| (p, storage))) {
        for (&x, rounded) in ties.iter().zip(rounded) {
            for (form, t, depth) in [
                (Form::Nt, 1, 1),
                (Form::Nt, 1, 64),
                (Form::Nt, 40, 64),
                (Form::Nt, 40, 3),
                (Form::Nn, 20, 40),
            ] {
                // One activation that is not zero, and a weight of one column of ones.
                let (rows, cols) = match form {
                    Form::Nt => (1, depth),
                    Form::Nn | Form::Tn => (depth, 1),
                };
                let w = Weight::of(storage, vec![1.0; depth], rows, cols);
                let paired = path.kernels(w.matrix().values).paired;
                let expected = if paired { rounded } else { x };
                let mut row = vec![0f32; depth];
                row[depth - 1] = x;
                let x = row.repeat(t);
                let mut y = vec![0f32; t];
                product(path, form, &x, t, &w.matrix(), Start::Zero, &mut y);
                assert!(y.iter().all(|&y| y == expected), "{path:?} {form:?} {y:?} {expected}");
            }
        }
    }
}

#[test]
fn nothing_times_something() {
    for (path, storage) in Path::available().flat_map(|p| STORAGES.map(|storage| (p, storage))) {
        for form in [Form::Nt, Form::Nn] {
            for (t, rows, cols) in [(0, 5, 3), (4, 0, 3), (4, 5, 0), (40, 5, 0), (40, 0, 3)] {
                let (depth, width) = sides(form, rows, cols);
                let (x, w) = (values(1, t * depth), Weight::random(storage, 2, rows, cols));
                let bias = vec![2.0; width];
                for (start, expected) in
                    [(Start::Zero, 0.0), (Start::Existing, 7.0), (Start::Bias(&bias), 2.0)]
                {
                    let mut y = vec![7f32; t * width];
                    product(path, form, &x, t, &w.matrix(), start, &mut y);
                    assert!(t == 0 || depth > 0 || y.iter().all(|&y| y == expected), "{start:?}");
                }
            }
        }
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    assert!(Matrix::f32(&[0.0; 6], 2, 2).is_err());
    assert!(Matrix::bf16(&[bf16::ONE; 6], 2, 2).is_err());
    let matrix = Matrix::f32(&[0.0; 6], 3, 2).unwrap();
    let refused = |x: usize, y: usize, start: Start<'_>| {
        super::matmul_nt(&vec![0.0; x], 4, &matrix, start, &mut vec![0.0; y]).is_err()
    };
    assert!(!refused(8, 12, Start::Zero));
    assert!(refused(7, 12, Start::Zero) && refused(8, 11, Start::Zero));
    assert!(refused(8, 12, Start::Bias(&[0.0; 2])));
    // Sizes whose product is 0 after an overflow.
    let nothing = Matrix::f32(&[], 1 << 44, 0).unwrap();
    assert!(super::matmul_nt(&[], 1 << 20, &nothing, Start::Zero, &mut []).is_err());
}

#[test]
fn a_second_term_is_added_as_a_product_of_its_own() {
    cases(|path, storage, form, t, rows, cols| {
        let (depth, width) = sides(form, rows, cols);
        let (x, w) = (values(1, t * depth), Weight::random(storage, 2, rows, cols));
        for rank in [0, 1, 5, 16, 40] {
            let (narrow, wide) = (values(5, t * rank), values(6, rank * width));
            let (wide_rows, wide_cols) = match form {
                Form::Nt => (width, rank),
                Form::Nn | Form::Tn => (rank, width),
            };
            let update = Matrix::f32(&wide, wide_rows, wide_cols).unwrap();
            let (mut together, mut apart) = (vec![3f32; t * width], vec![3f32; t * width]);
            let start = Start::Existing;
            let sum = Product::new(form, &x, t, w.matrix(), start, &mut together);
            compute(path, vec![sum.plus(&narrow, update)]).unwrap();
            product(path, form, &x, t, &w.matrix(), start, &mut apart);
            product(path, form, &narrow, t, &update, start, &mut apart);
            for (a, b) in together.iter().zip(&apart) {
                let bound = 1e-6 * (3.0 + (depth + rank) as f32);
                assert!((a - b).abs() <= bound, "{path:?} {form:?} rank {rank}: {a} {b}");
            }
        }
    });
}

#[test]
fn the_product_of_a_transpose_is_that_of_its_copy() {
    for path in Path::available() {
        for (t, columns, n) in
            [(1, 1, 1), (5, 3, 7), (70, 16, 96), (300, 17, 577), (40, 40, 512), (0, 3, 4)]
        {
            let (x, w) = (values(1, t * columns), values(2, t * n));
            let copy: Vec<f32> = (0..columns * t).map(|i| x[i % t * columns + i / t]).collect();
            let matrix = Matrix::f32(&w, t, n).unwrap();
            let (mut y, mut expected) = (vec![7.0; columns * n], vec![7.0; columns * n]);
            product(path, Form::Tn, &x, columns, &matrix, Start::Zero, &mut y);
            product(path, Form::Nn, &copy, columns, &matrix, Start::Zero, &mut expected);
            assert_eq!(y, expected, "{path:?} {t} {columns} {n}");
        }
    }
    let w = Matrix::bf16(&[bf16::ONE; 6], 2, 3).unwrap();
    let mut y = [0.0; 3];
    let product = Product::tn(&[0.0; 2], 1, w, Start::Zero, &mut y);
    assert!(super::matmul(vec![product]).is_err());
}

#[test]
fn products_side_by_side_are_those_alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for (path, storage) in Path::available().flat_map(|p| STORAGES.map(|storage| (p, storage))) {
        for t in [1, 7, 40, 75] {
            let (x, short) = (values(1, t * 70), &values(2, 5 * 70)[..]);
            let weights = [(2, 96), (3, 17), (4, 130)]
                .map(|(stream, rows)| Weight::random(storage, stream, rows, 70));
            let narrow = Weight::random(Storage::F32, 5, 16, 70);
            let (bias, back) = (values(6, 17), values(7, t * 96));
            // Shared activations, two storages, few rows beside many, and another form.
            let clear = |outputs: &mut [Vec<f32>]| {
                let [a, b, c, d, e, f] = outputs else { unreachable!() };
                *a = vec![0.5; t * 96];
                *b = vec![f32::NAN; t * 17];
                *c = vec![f32::NAN; 5 * 130];
                *d = vec![f32::NAN; t * 16];
                *e = vec![f32::NAN; t * 70];
                *f = vec![f32::NAN; 70 * 96];
            };
            let make = |outputs: &'_ mut [Vec<f32>], only: Option<usize>| {
                clear(outputs);
                let [a, b, c, d, e, f] = outputs else { unreachable!() };
                let all = vec![
                    Product::nt(&x, t, weights[0].matrix(), Start::Existing, a),
                    Product::nt(&x, t, weights[1].matrix(), Start::Bias(&bias), b),
                    Product::nt(short, 5, weights[2].matrix(), Start::Zero, c),
                    Product::nt(&x, t, narrow.matrix(), Start::Zero, d),
                    Product::nn(&back, t, weights[0].matrix(), Start::Zero, e),
                    Product::tn(&x, 70, Matrix::f32(&back, t, 96).unwrap(), Start::Zero, f),
                ];
                let chosen =
                    all.into_iter().enumerate().filter(|(i, _)| only.is_none_or(|o| o == *i));
                compute(path, chosen.map(|(_, product)| product).collect()).unwrap();
            };
            let mut together = vec![Vec::new(); 6];
            pool.install(|| make(&mut together, None));
            for i in 0..6 {
                let mut alone = vec![Vec::new(); 6];
                make(&mut alone, Some(i));
                assert_eq!(alone[i], together[i], "{path:?} {storage:?} t {t}, product {i}");
            }
        }
    }
}
