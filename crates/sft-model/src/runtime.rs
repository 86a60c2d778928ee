//! Where to compute, and in which type.

use std::{fmt, str::FromStr};

use candle_core::{
    DType, Device,
    utils::{cuda_is_available, metal_is_available},
};

use crate::{ModelError, Result};

/// A device as users name it: `auto`, `cpu`, `cuda`, `cuda:N`, `metal`, `metal:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that this build can open, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, by number.
    Cuda(usize),
    /// An Apple GPU, by number.
    Metal(usize),
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// When this build does not support it, or the machine has none.
    pub fn open(self) -> Result<Device> {
        let missing = |kind: &str, feature: &str| {
            ModelError::Device(format!(
                "this build has no {kind} support; build it with `--features {feature}`, or use \
                 `--device cpu` or `--device auto`"
            ))
        };
        let failed = |error: candle_core::Error| {
            // Below its first line stand stack frames, under RUST_BACKTRACE.
            let text = error.to_string();
            let reason = text.lines().next().unwrap_or_default();
            ModelError::Device(format!(
                "cannot open device {self} ({reason}); is there such a device, and its driver? \
                 `--device cpu` and `--device auto` do without"
            ))
        };
        match self {
            Self::Auto if cuda_is_available() => Ok(open_cuda(0).unwrap_or_else(|error| {
                tracing::info!(%error, "no CUDA device: computing on the CPU");
                Device::Cpu
            })),
            Self::Auto if metal_is_available() => Ok(Device::new_metal(0).unwrap_or(Device::Cpu)),
            Self::Cpu | Self::Auto => Ok(Device::Cpu),
            Self::Cuda(_) if !cuda_is_available() => Err(missing("CUDA", "cuda")),
            Self::Cuda(ordinal) => open_cuda(ordinal).map_err(failed),
            Self::Metal(_) if !metal_is_available() => Err(missing("Metal", "metal")),
            Self::Metal(ordinal) => Device::new_metal(ordinal).map_err(failed),
        }
    }
}

/// Bytes of memory that a device of its own memory has free; none where nobody says.
pub fn free_memory(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        return sft_kernels::free_memory(device).ok();
    }
    let _ = device;
    None
}

#[cfg(feature = "cuda")]
use sft_kernels::open_cuda;

/// Without the feature there is none.
#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> candle_core::Result<Device> {
    Device::new_cuda(ordinal)
}

impl FromStr for DeviceChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, ordinal) = match text.split_once(':') {
            Some((kind, ordinal)) => (kind, ordinal.parse().ok()),
            None => (text, Some(0)),
        };
        match (kind, ordinal) {
            ("auto", Some(_)) if text == "auto" => Ok(Self::Auto),
            ("cpu", Some(_)) if text == "cpu" => Ok(Self::Cpu),
            ("cuda", Some(ordinal)) => Ok(Self::Cuda(ordinal)),
            ("metal", Some(ordinal)) => Ok(Self::Metal(ordinal)),
            _ => Err(ModelError::Device(format!(
                "no device `{text}`; use auto, cpu, cuda, cuda:N, metal or metal:N"
            ))),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal(ordinal) => write!(f, "metal:{ordinal}"),
        }
    }
}

/// A type as users name it: `auto`, `f32`, `bf16`, `f16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DTypeChoice {
    /// f32 on the CPU, bf16 on a GPU.
    #[default]
    Auto,
    /// 32-bit floating point.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floating point.
    F16,
}

impl DTypeChoice {
    /// The type in which the base is held and multiplied on `device`. Adapters are f32 in any case.
    ///
    /// # Errors
    /// When the device cannot compute in it.
    pub fn resolve(self, device: &Device) -> Result<DType> {
        match self {
            Self::Auto if device.is_cpu() => Ok(DType::F32),
            Self::F32 => Ok(DType::F32),
            Self::F16 if device.is_cpu() => Err(ModelError::Device(
                "--dtype f16 is not available on the CPU; use `--dtype bf16` or `--dtype f32` (weight \
                 files in every type are read and converted)"
                    .into(),
            )),
            Self::Auto | Self::Bf16 => Ok(DType::BF16),
            Self::F16 => Ok(DType::F16),
        }
    }
}

/// How the matrices of the blocks are kept in few bits: `nf4` or `int8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantize {
    /// bitsandbytes' NF4 with double quantisation: 4.13 bits a number.
    Nf4,
    /// Eight bits and a scale for 64 numbers: 8.5 bits a number.
    Int8,
}

impl Quantize {
    /// The type of what is not quantised: bf16.
    ///
    /// # Errors
    /// On other devices than the CPU, and when another type is wished for.
    pub fn resolve(self, dtype: DTypeChoice, device: &Device) -> Result<DType> {
        if !device.is_cpu() {
            return Err(ModelError::Device(format!(
                "a base in {self} works on the CPU only so far; add `--device cpu`, or take a base that is not quantised"
            )));
        }
        match dtype {
            DTypeChoice::Auto | DTypeChoice::Bf16 => Ok(DType::BF16),
            DTypeChoice::F32 | DTypeChoice::F16 => Err(ModelError::Device(format!(
                "a base in {self} has the rest in bf16; leave out --dtype {dtype}"
            ))),
        }
    }

    /// Bytes of scales that are copied where the rest is read in its file.
    pub(crate) fn scale_bytes(self, numbers: u64) -> u64 {
        match self {
            Self::Nf4 => numbers / 4096,
            Self::Int8 => numbers / 16,
        }
    }

    /// Bytes of so many numbers, with their scales.
    pub(crate) fn bytes(self, numbers: u64) -> u64 {
        match self {
            Self::Nf4 => numbers / 2 + numbers / 64 + numbers / 4096,
            Self::Int8 => numbers + numbers / 16,
        }
    }
}

/// How a base is held: what was asked for, else as its folder has it.
///
/// # Errors
/// Those of [`Quantize::resolve`] and [`DTypeChoice::resolve`], and when the folder is quantised in another way
/// than was asked for.
pub fn base_types(
    asked: Option<Quantize>,
    stored: Option<Quantize>,
    dtype: DTypeChoice,
    device: &Device,
) -> Result<(Option<Quantize>, DType)> {
    if let (Some(asked), Some(stored)) = (asked, stored)
        && asked != stored
    {
        return Err(ModelError::Device(format!(
            "the base is stored in {stored}; leave out --quantize {asked}, or give the base that is not quantised"
        )));
    }
    let quantize = asked.or(stored);
    let dtype = match quantize {
        Some(quantize) => quantize.resolve(dtype, device)?,
        None => dtype.resolve(device)?,
    };
    Ok((quantize, dtype))
}

impl FromStr for Quantize {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "nf4" => Ok(Self::Nf4),
            "int8" => Ok(Self::Int8),
            _ => Err(ModelError::Device(format!("no quantisation `{text}`; use nf4 or int8"))),
        }
    }
}

impl fmt::Display for Quantize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nf4 => "nf4",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for DTypeChoice {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(ModelError::Device(format!("no dtype `{text}`; use auto, f32, bf16 or f16"))),
        }
    }
}

impl fmt::Display for DTypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}
