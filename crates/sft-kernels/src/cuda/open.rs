//! Opening a device.

use candle_core::{
    Device, Result, bail,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{result, sys},
    },
};

/// The CUDA device of this number, set up for one thread that computes: every tensor of it must be made, used and freed on the
/// thread that opened it, because each thread has a stream of its own and nothing waits for another's.
///
/// candle's own opening makes two events for each tensor, which nobody waits for, and gives freed memory back to the driver
/// whenever it waits for the device.
///
/// # Errors
/// When there is no such device, or no driver.
pub fn open_cuda(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: no tensor exists yet; that one thread uses those to come is the documented contract.
    unsafe { cuda.disable_event_tracking() };
    let number = sys::CUdevice::try_from(ordinal).map_err(candle_core::Error::wrap)?;
    let keep = u64::MAX;
    // SAFETY: the context is current on this thread since the device was opened, the pool is the device's own and lives as long
    // as it, and the attribute's value is a u64.
    unsafe {
        let pool = result::device::get_default_mem_pool(number).w()?;
        let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, attribute, std::ptr::from_ref(&keep).cast_mut().cast())
            .result()
            .w()?;
    }
    Ok(device)
}

/// Bytes of memory that a CUDA device has free.
///
/// # Errors
/// When the device is another, or the driver does not say.
pub fn free_memory(device: &Device) -> Result<u64> {
    if !device.is_cuda() {
        bail!("{device:?} has no memory of its own")
    }
    let (free, _total) = device.as_cuda_device()?.cuda_stream().context().mem_get_info().w()?;
    Ok(free as u64)
}
