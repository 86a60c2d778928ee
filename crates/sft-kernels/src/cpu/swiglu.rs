//! The gated activation.

use half::{bf16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::{
    GRAIN,
    round::{round_part, widen_part},
    vector::{exp, vectorised},
};

/// `y = silu(gate) up`.
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    y.par_chunks_mut(GRAIN)
        .zip(gate.par_chunks(GRAIN).zip(up.par_chunks(GRAIN)))
        .for_each(|(y, (gate, up))| forward(gate, up, y));
}

/// [`swiglu`], and both operands rounded to bf16 while they are at hand.
pub fn swiglu_rounding(gate: &[f32], up: &[f32], y: &mut [f32], rounded: [&mut [bf16]; 2]) {
    let [gate_half, up_half] =
        rounded.map(|half| half.reinterpret_cast_mut().par_chunks_mut(GRAIN));
    let operands = gate.par_chunks(GRAIN).zip(gate_half).zip(up.par_chunks(GRAIN).zip(up_half));
    y.par_chunks_mut(GRAIN).zip(operands).for_each(|(y, ((gate, gate_half), (up, up_half)))| {
        forward(gate, up, y);
        round_part(gate, gate_half);
        round_part(up, up_half);
    });
}

/// [`swiglu`] of rounded operands, which are widened into `gate` and `up` on the way.
pub fn swiglu_widening(rounded: [&[bf16]; 2], gate: &mut [f32], up: &mut [f32], y: &mut [f32]) {
    let [gate_half, up_half] = rounded.map(|half| half.reinterpret_cast().par_chunks(GRAIN));
    let operands =
        gate.par_chunks_mut(GRAIN).zip(gate_half).zip(up.par_chunks_mut(GRAIN).zip(up_half));
    y.par_chunks_mut(GRAIN).zip(operands).for_each(|(y, ((gate, gate_half), (up, up_half)))| {
        widen_part(gate_half, gate);
        widen_part(up_half, up);
        forward(gate, up, y);
    });
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

#[cfg(test)]
mod tests {
    use super::{super::round, *};
    use crate::random::uniform;

    #[test]
    fn rounding_on_the_way_is_rounding_before_or_after() {
        let n = 2 * GRAIN + 37;
        let [gate, up] = [1, 2].map(|stream| uniform(3, stream, n));
        let (mut y, mut expected) = (vec![0.0; n], vec![0.0; n]);
        swiglu(&gate, &up, &mut expected);
        let [mut gate_half, mut up_half, mut half] = [0; 3].map(|_| vec![bf16::ZERO; n]);
        swiglu_rounding(&gate, &up, &mut y, [&mut gate_half, &mut up_half]);
        assert_eq!(y, expected);
        round(&gate, &mut half);
        assert_eq!(gate_half, half);
        round(&up, &mut half);
        assert_eq!(up_half, half);

        let (mut gate, mut up) = (vec![0.0; n], vec![0.0; n]);
        swiglu_widening([&gate_half, &up_half], &mut gate, &mut up, &mut y);
        let wide = |half: &[bf16]| half.iter().map(|x| x.to_f32()).collect::<Vec<_>>();
        assert_eq!((&gate, &up), (&wide(&gate_half), &wide(&up_half)));
        swiglu(&gate, &up, &mut expected);
        assert_eq!(y, expected);
    }
}
