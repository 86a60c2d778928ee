//! The operations on NVIDIA's GPUs: the kernels of `cuda/`, called as [`crate::launch`] says.
#![allow(unsafe_code)]

mod attention;
mod lora;
mod open;
mod optimizer;
mod rows;
mod uploads;

use candle_core::{
    CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor,
    backend::BackendStorage,
    bail,
    cuda_backend::{
        CudaStorageSlice, WrapErr,
        cudarc::driver::{DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, SyncOnDrop, sys},
    },
    op::BackpropOp,
};

pub(crate) use attention::{Attended, attention, attention_backward, attention_takes};
pub(crate) use lora::{Adapter, Rows, lora, lora_backward, lora_takes};
pub use open::{free_memory, open_cuda};
pub use optimizer::{adamw, optimizer_takes, sums_of_squares};
pub(crate) use rows::{
    cross_entropy, rms_norm, rms_norm_backward, rope, rope_back, swiglu, swiglu_backward,
};

use crate::{
    cpu::locked::Guard,
    launch::{Arg, Call, Kind},
    matmul::reference,
};

/// All kernels, for compute capability 8.0 and above; the driver compiles them when they are first used.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// Shared memory that a block may have without asking.
const SHARED: u32 = 48 << 10;

/// Whether the kernels take these tensors: of one type, on a GPU, their rows read four numbers at a time, from an even start.
pub(crate) fn takes(tensors: &[&Tensor]) -> bool {
    let even = |tensor: &&Tensor| tensor.dims().last().is_some_and(|width| width % 4 == 0);
    takes_any_width(tensors) && tensors.iter().all(even)
}

/// The same for kernels that read one number at a time.
pub(crate) fn takes_any_width(tensors: &[&Tensor]) -> bool {
    let kind = |tensor: &&Tensor| Kind::of(tensor.dtype()).filter(|_| tensor.device().is_cuda());
    let even = |tensor: &&Tensor| tensor.layout().start_offset().is_multiple_of(4);
    let first = tensors.first().and_then(kind);
    first.is_some()
        && tensors.iter().all(|tensor| kind(tensor) == first && even(tensor))
        && !reference()
}

/// A contiguous tensor as the kernels read it: its first number at a multiple of four.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    storage: &'a CudaStorage,
    offset: usize,
}

impl<'a> View<'a> {
    pub(crate) fn new(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        match layout.contiguous_offsets() {
            Some((offset, _)) if offset % 4 == 0 => Ok(Self { storage, offset }),
            _ => bail!("the CUDA kernels take contiguous tensors that begin at a multiple of four"),
        }
    }

    fn whole(storage: &'a CudaStorage) -> Self {
        Self { storage, offset: 0 }
    }

    fn kind(self) -> Result<Kind> {
        match Kind::of(self.storage.dtype()) {
            Some(kind) => Ok(kind),
            None => bail!("no CUDA kernel computes in {:?}", self.storage.dtype()),
        }
    }

    /// Its address on the device.
    fn address(self) -> Result<(u64, SyncOnDrop<'a>)> {
        fn at<T>(
            slice: &candle_core::cuda_backend::cudarc::driver::CudaSlice<T>,
            offset: usize,
        ) -> (u64, SyncOnDrop<'_>) {
            let (start, guard) = slice.device_ptr(slice.stream());
            (start + (offset * size_of::<T>()) as u64, guard)
        }
        Ok(match &self.storage.slice {
            CudaStorageSlice::F32(slice) => at(slice, self.offset),
            CudaStorageSlice::BF16(slice) => at(slice, self.offset),
            CudaStorageSlice::F16(slice) => at(slice, self.offset),
            CudaStorageSlice::F64(slice) => at(slice, self.offset),
            CudaStorageSlice::U32(slice) => at(slice, self.offset),
            _ => bail!("no CUDA kernel takes {:?}", self.storage.dtype()),
        })
    }
}

/// A tensor's storage, locked for reading.
pub(crate) struct Held<'a> {
    storage: Guard<'a>,
    layout: &'a Layout,
}

impl<'a> Held<'a> {
    pub(crate) fn new(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage: Box::new(storage), layout }
    }

    pub(crate) fn view(&self) -> Result<View<'_>> {
        match &**self.storage {
            Storage::Cuda(storage) => View::new(storage, self.layout),
            _ => bail!("not on the GPU"),
        }
    }
}

/// Room for a result, of which every number will be written.
fn empty(device: &CudaDevice, dtype: DType, count: usize) -> Result<CudaStorage> {
    fn of<T: DeviceRepr + candle_core::cuda_backend::CudaDType>(
        device: &CudaDevice,
        count: usize,
    ) -> Result<CudaStorage> {
        // SAFETY: the kernel that gets it writes it all before anything reads it.
        let slice = unsafe { device.alloc::<T>(count.max(1))? };
        Ok(CudaStorage::wrap_cuda_slice(slice, device.clone()))
    }
    match dtype {
        DType::F32 => of::<f32>(device, count),
        DType::BF16 => of::<half::bf16>(device, count),
        DType::F16 => of::<half::f16>(device, count),
        DType::F64 => of::<f64>(device, count),
        _ => bail!("no CUDA kernel computes in {dtype:?}"),
    }
}

/// A storage as a tensor outside every graph.
fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// A scalar or an address as a kernel takes it.
enum Word {
    Long(u64),
    Int(u32),
    Float(f32),
}

fn run(device: &CudaDevice, call: Call<View<'_>>) -> Result<()> {
    if call.grid.contains(&0) {
        return Ok(());
    }
    let function = device.get_or_load_custom_func(&call.kernel, "sft-kernels", PTX)?;
    if call.shared > SHARED {
        let most = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(most, call.shared.cast_signed()).w()?;
    }
    let mut guards = Vec::with_capacity(call.args.len());
    let mut words = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        words.push(match arg {
            Arg::Buffer(view) => {
                let (address, guard) = view.address()?;
                guards.push(guard);
                Word::Long(address)
            }
            Arg::Null => Word::Long(0),
            Arg::U32(value) => Word::Int(*value),
            Arg::Size(value) => Word::Long(*value),
            Arg::F32(value) => Word::Float(*value),
        });
    }
    let mut builder = function.builder();
    for word in &words {
        match word {
            Word::Long(value) => builder.arg(value),
            Word::Int(value) => builder.arg(value),
            Word::Float(value) => builder.arg(value),
        };
    }
    let config = LaunchConfig {
        grid_dim: call.grid.into(),
        block_dim: (call.block, 1, 1),
        shared_mem_bytes: call.shared,
    };
    // SAFETY: the arguments are the kernel's, in its order (`launch`), the buffers have the sizes that the callers
    // here check, and the guards outlive the launch.
    unsafe { builder.launch(config) }.w()?;
    drop(guards);
    Ok(())
}
