//! Gradients against central differences of the reference.

use candle_core::Var;
use sft_kernels::random;
use sft_model::BlockPass;

use crate::Result;
use crate::adapters::{SEED, bound};
use crate::reference::{Block, Head, Rows, Sequence};
use crate::tolerance::Tolerance;

/// Entries of each matrix that are compared: the largest of the gradient, and as many random ones as make this number.
const ENTRIES: usize = 2;

/// The width of a difference, relative to the numbers that it is taken of: the error of the formula falls with its
/// square and that of rounding rises with its inverse; in f64 both are far below every limit here.
const WIDTH: f64 = 1e-4;

/// What came out.
#[derive(Default)]
pub(crate) struct Compared {
    pub(crate) entries: usize,
    /// The first problem.
    pub(crate) problem: Option<String>,
}

impl Compared {
    /// Compares one entry of `gradient` with its difference.
    fn entry(
        &mut self,
        what: &str,
        at: usize,
        gradient: &Rows,
        difference: f64,
        tolerance: &Tolerance,
    ) {
        self.entries += 1;
        let (found, scale) = (gradient.values[at], root_mean_square(&gradient.values));
        if Tolerance::is_off(found, difference, tolerance.gradient * (scale + difference.abs())) {
            self.problem.get_or_insert_with(|| {
                let (row, column) = (at / gradient.width, at % gradient.width);
                format!(
                    "the gradient of {what} at [{row}, {column}] is {found:.6e} and should be {difference:.6e} (the root mean \
                     square is {scale:.1e}): a part of the backward pass is missing or wrong; do not train, and report this"
                )
            });
        }
    }
}

/// Of `sum(y . dy)`: some entries of every adapter and of the block's input.
pub(crate) fn of_block(
    block: &mut Block,
    parameters: &[(&str, &Var)],
    x: &Rows,
    dy: &Rows,
    pass: &BlockPass,
    sequences: &[Sequence],
    tolerance: &Tolerance,
) -> Result<Compared> {
    let mut compared = Compared::default();
    for (name, var) in parameters {
        let Some(gradient) = pass.gradients.get(name) else {
            compared.problem.get_or_insert_with(|| {
                format!("{name} has no gradient; do not train, it would never learn")
            });
            continue;
        };
        let gradient = Rows::from_tensor(gradient)?;
        let width = WIDTH * bound(name, var);
        for at in sample(name, &gradient.values) {
            let mut sides = [Vec::new(), Vec::new()];
            for (side, width) in sides.iter_mut().zip([width, -width]) {
                move_by(block, name, at, width);
                *side = block.forward(x, sequences)?.values;
                move_by(block, name, at, -width);
            }
            compared.entry(name, at, &gradient, slope(&sides, dy, width), tolerance);
        }
    }
    let gradient = Rows::from_tensor(&pass.dx)?;
    for at in sample("input", &gradient.values) {
        let width = WIDTH * root_mean_square(x.row(at / x.width)).max(f64::EPSILON);
        let mut sides = [Vec::new(), Vec::new()];
        for (side, width) in sides.iter_mut().zip([width, -width]) {
            let mut moved = x.clone();
            moved.values[at] += width;
            *side = block.forward(&moved, sequences)?.values;
        }
        compared.entry("the block's input", at, &gradient, slope(&sides, dy, width), tolerance);
    }
    Ok(compared)
}

/// Of the sum of the targets' losses: some entries of the head's input. One pass over the vocabulary serves all.
pub(crate) fn of_head(
    head: &Head,
    hidden: &Rows,
    targets: &[(u32, u32)],
    dhidden: &Rows,
    tolerance: &Tolerance,
) -> Result<Compared> {
    let width = hidden.width;
    let pick = |rows: &Rows| Rows {
        values: targets.iter().flat_map(|&(row, _)| rows.row(row as usize)).copied().collect(),
        width,
    };
    let (picked, gradient) = (pick(hidden), pick(dhidden));
    let mut moved = Rows { values: Vec::new(), width };
    let (mut labels, mut steps) = (Vec::new(), Vec::new());
    for at in sample("hidden", &gradient.values) {
        let row = picked.row(at / width);
        let step = WIDTH * root_mean_square(row).max(f64::EPSILON);
        for step in [step, -step] {
            let start = moved.values.len();
            moved.values.extend(row);
            moved.values[start + at % width] += step;
            labels.push(targets[at / width].1);
        }
        steps.push((at, step));
    }
    let losses = head.nll(&moved, &labels)?;
    let mut compared = Compared::default();
    for ((at, step), sides) in steps.into_iter().zip(losses.chunks_exact(2)) {
        compared.entry("its input", at, &gradient, (sides[0] - sides[1]) / (2.0 * step), tolerance);
    }
    Ok(compared)
}

fn move_by(block: &mut Block, name: &str, at: usize, width: f64) {
    if let Some(parameter) = block.parameter(name) {
        parameter.values[at] += width;
    }
}

fn slope([up, down]: &[Vec<f64>; 2], dy: &Rows, width: f64) -> f64 {
    let terms = up.iter().zip(down).zip(&dy.values).map(|((up, down), dy)| (up - down) * dy);
    terms.sum::<f64>() / (2.0 * width)
}

/// Where the gradient is largest, and some random places.
fn sample(name: &str, gradient: &[f64]) -> Vec<usize> {
    let largest =
        (0..gradient.len()).max_by(|&i, &j| gradient[i].abs().total_cmp(&gradient[j].abs()));
    let random = random::uniform(SEED, random::module_key(name), ENTRIES - 1);
    let random = random.into_iter().map(|u| (f64::from(u) * gradient.len() as f64) as usize);
    largest.into_iter().chain(random).collect()
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
}
