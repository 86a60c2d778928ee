//! The gated activation.

use rayon::prelude::*;

use super::{
    GRAIN,
    vector::{exp, vectorised},
};

/// `y = silu(gate) up`.
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(GRAIN)
        .zip(gate.par_chunks(GRAIN).zip(up.par_chunks(GRAIN)))
        .for_each(|(y, (gate, up))| forward(gate, up, y));
}

/// Puts the gradients of gate and up, for the gradient `dy` of the result, in their places.
pub fn swiglu_backward(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
    gate.par_chunks_mut(GRAIN)
        .zip(up.par_chunks_mut(GRAIN).zip(dy.par_chunks(GRAIN)))
        .for_each(|(gate, (up, dy))| backward(gate, up, dy));
}

vectorised! {
    fn forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate / (1.0 + exp(-gate)) * up;
        }
    }
}

vectorised! {
    fn backward(gate: &mut [f32], up: &mut [f32], dy: &[f32]) {
        let n = gate.len();
        let (up, dy) = (&mut up[..n], &dy[..n]);
        for i in 0..n {
            let (g, u) = (gate[i], up[i]);
            let sigmoid = 1.0 / (1.0 + exp(-g));
            up[i] = dy[i] * g * sigmoid;
            gate[i] = dy[i] * u * sigmoid * (1.0 + g * (1.0 - sigmoid));
        }
    }
}
