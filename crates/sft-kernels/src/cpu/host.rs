//! Tensors as slices.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

/// Whether the kernels of this folder take these tensors.
pub(crate) fn takes(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32 && tensor.device().is_cpu())
}

/// A contiguous f32 tensor of the CPU, locked for reading.
pub(crate) struct Host<'a, G> {
    storage: G,
    layout: &'a Layout,
}

impl<'a> Host<'a, ()> {
    /// Locks a tensor.
    pub(crate) fn new(tensor: &'a Tensor) -> Host<'a, impl Deref<Target = Storage> + 'a> {
        let (storage, layout) = tensor.storage_and_layout();
        Host { storage, layout }
    }
}

impl<G: Deref<Target = Storage>> Host<'_, G> {
    /// The numbers, row by row.
    pub(crate) fn values(&self) -> Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(storage) => slice(storage, self.layout),
            _ => bail!("not on the CPU"),
        }
    }
}

/// The numbers of a contiguous f32 tensor, row by row.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match storage {
        CpuStorage::F32(values) => contiguous(values, layout),
        _ => bail!("not an f32 tensor"),
    }
}

/// The part of a storage that a contiguous tensor has, row by row.
pub(crate) fn contiguous<'a, T>(values: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("this operation takes contiguous tensors"),
    }
}
