//! What an optimizer does where the parameters are.

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use super::{Held, View, empty, run, tensor};
use crate::{
    launch::{self, AdamWScalars},
    matmul::reference,
};

/// Whether [`adamw`] and [`sums_of_squares`] are for tensors of this device: it is an NVIDIA GPU, and
/// `SFT_KERNELS=reference` does not ask for what they are compared with.
pub fn optimizer_takes(device: &Device) -> bool {
    device.is_cuda() && !reference()
}

/// Moves a parameter by one step of AdamW, and the running means of its gradient and of the gradient's square with it: all
/// three are written in place, as [`Var::set`] does, so that whatever shares their storage sees the new values.
///
/// One launch for each parameter: to gather all of them into one tensor would take as many.
///
/// # Errors
/// When the tensors are not f32, contiguous, of one shape and on one CUDA device.
pub fn adamw(
    parameter: &Var,
    gradient: &Tensor,
    [exp_avg, exp_avg_sq]: [&Var; 2],
    scalars: &AdamWScalars,
) -> Result<()> {
    let tensors = [parameter.as_tensor(), gradient, exp_avg.as_tensor(), exp_avg_sq.as_tensor()];
    if tensors.iter().any(|t| !is_f32_of(t, parameter.device()) || t.shape() != parameter.shape()) {
        let kinds = tensors.map(|t| (t.dtype(), t.shape(), t.device().location()));
        bail!("AdamW takes f32 tensors of one shape on one CUDA device, not {kinds:?}")
    }
    let held = tensors.map(Held::new);
    let buffers = [held[0].view()?, held[1].view()?, held[2].view()?, held[3].view()?];
    let device = parameter.device().as_cuda_device()?;
    run(device, launch::adamw(buffers, parameter.elem_count(), scalars))
}

/// The sum of the squares of each tensor's numbers, in f64, the same in every run.
///
/// One launch for each tensor; the host waits for the device once, at the end.
///
/// # Errors
/// When the tensors are not f32, contiguous and on one CUDA device.
pub fn sums_of_squares(tensors: &[&Tensor]) -> Result<Vec<f64>> {
    let Some(first) = tensors.first() else { return Ok(Vec::new()) };
    let device = first.device().as_cuda_device()?;
    let counts: Vec<usize> =
        tensors.iter().map(|t| launch::parts_of_squares(t.elem_count())).collect();
    let all = counts.iter().sum();
    let parts = empty(device, DType::F64, all)?;
    let mut offset = 0;
    for (x, count) in tensors.iter().zip(&counts) {
        if !is_f32_of(x, first.device()) {
            bail!("squares are summed of f32 tensors on one CUDA device, not of {:?}", x.dtype())
        }
        let held = Held::new(x);
        let buffers = [held.view()?, View { storage: &parts, offset }];
        run(device, launch::sum_of_squares(buffers, x.elem_count()))?;
        offset += count;
    }
    let parts: Vec<f64> = tensor(parts, all).to_vec1()?;
    let mut rest = &parts[..];
    let sum = |count| {
        let (own, later) = rest.split_at(count);
        rest = later;
        own.iter().sum()
    };
    Ok(counts.into_iter().map(sum).collect())
}

fn is_f32_of(tensor: &Tensor, device: &Device) -> bool {
    tensor.dtype() == DType::F32 && tensor.device().same_device(device)
}
