//! The gated activation.

use rayon::prelude::*;

use super::{
    GRAIN,
    vector::{exp, vectorised},
};

/// `silu(gate) up`.
pub(crate) fn forward(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let mut y = vec![0.0; gate.len()];
    y.par_chunks_mut(GRAIN)
        .zip(gate.par_chunks(GRAIN).zip(up.par_chunks(GRAIN)))
        .for_each(|(y, (gate, up))| part_forward(gate, up, y));
    y
}

/// The gradients of gate and up.
pub(crate) fn backward(gate: &[f32], up: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    dgate
        .par_chunks_mut(GRAIN)
        .zip(dup.par_chunks_mut(GRAIN))
        .zip(gate.par_chunks(GRAIN).zip(up.par_chunks(GRAIN).zip(dy.par_chunks(GRAIN))))
        .for_each(|((dgate, dup), (gate, (up, dy)))| part_backward(gate, up, dy, dgate, dup));
    (dgate, dup)
}

vectorised! {
    fn part_forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

vectorised! {
    fn part_backward(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        let n = gate.len();
        let (up, dy, dgate, dup) = (&up[..n], &dy[..n], &mut dgate[..n], &mut dup[..n]);
        for i in 0..n {
            let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
            dup[i] = dy[i] * gate[i] * sigmoid;
            dgate[i] = dy[i] * up[i] * sigmoid * (1.0 + gate[i] * (1.0 - sigmoid));
        }
    }
}
