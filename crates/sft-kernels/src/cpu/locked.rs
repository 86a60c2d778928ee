//! Tensors as slices.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

use crate::matmul::reference;

/// Whether the kernels of this folder take these tensors.
pub(crate) fn takes(tensors: &[&Tensor]) -> bool {
    let fits = |tensor: &&Tensor| tensor.dtype() == DType::F32 && tensor.device().is_cpu();
    tensors.iter().all(fits) && !reference()
}

/// A tensor's storage, locked for reading. (candle does not say of which type its guards are.)
pub(crate) type Guard<'a> = Box<dyn Deref<Target = Storage> + 'a>;

/// A contiguous f32 tensor of the CPU, locked for reading.
pub struct Locked<'a> {
    storage: Guard<'a>,
    layout: &'a Layout,
}

impl<'a> Locked<'a> {
    /// Locks a tensor.
    pub fn new(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage: Box::new(storage), layout }
    }

    /// The numbers, row by row.
    ///
    /// # Errors
    /// When the tensor is not what this type is for.
    pub fn values(&self) -> Result<&[f32]> {
        match &**self.storage {
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
