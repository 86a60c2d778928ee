//! The bytes of a GGUF file, and what is in them.

use std::{collections::BTreeSet, io::Cursor};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value, VersionedMagic},
    },
};

use super::matrix::Matrix;
use crate::Result;

/// A whole file: little endian, each matrix at a multiple of 32 bytes.
pub(super) fn encode(metadata: &[(&str, Value)], matrices: &[Matrix]) -> Result<Vec<u8>> {
    let tensors = matrices
        .iter()
        .map(|matrix| {
            let tensor = Tensor::from_vec(matrix.permuted(), &matrix.shape, &Device::Cpu)?;
            QTensor::quantize(&tensor, GgmlDType::F32) // as it is
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    let names = matrices.iter().map(|matrix| matrix.name.as_str());
    let tensors: Vec<(&str, &QTensor)> = names.zip(&tensors).collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &metadata, &tensors)?;
    let mut bytes = file.into_inner();
    // candle says version 2. Version 3 differs from it in allowing big endian files as well.
    bytes[4..8].copy_from_slice(&3_u32.to_le_bytes());
    Ok(bytes)
}

/// Compares the bytes of a file with what it should hold: every key, and every number bit for bit,
/// its row put back in PEFT's order.
///
/// # Errors
/// What differs.
pub(super) fn compare(
    bytes: &[u8],
    metadata: &[(&str, Value)],
    matrices: &[Matrix],
) -> std::result::Result<(), String> {
    let content = Content::read(&mut Cursor::new(bytes)).map_err(|error| error.to_string())?;
    if content.magic != VersionedMagic::GgufV3 {
        return Err(format!("version {:?}", content.magic));
    }
    let keys: BTreeSet<&str> = content.metadata.keys().map(String::as_str).collect();
    if keys != metadata.iter().map(|(key, _)| *key).collect() {
        return Err(format!("the keys are {keys:?}"));
    }
    for (key, value) in metadata {
        let found = content.metadata.get(*key);
        if !found.is_some_and(|found| same(found, value)) {
            return Err(format!("{key} is {found:?}, not {value:?}"));
        }
    }
    let names: BTreeSet<&str> = content.tensor_infos.keys().map(String::as_str).collect();
    if names != matrices.iter().map(|matrix| matrix.name.as_str()).collect() {
        return Err(format!("the tensors are {names:?}"));
    }
    for matrix in matrices {
        let name = &matrix.name;
        let found = content
            .tensor_infos
            .get(name)
            .filter(|info| info.shape.dims() == matrix.shape && info.ggml_dtype == GgmlDType::F32);
        let info = found.ok_or_else(|| format!("{name} is not {:?} of f32", matrix.shape))?;
        let start = (content.tensor_data_offset + info.offset) as usize;
        let data = bytes.get(start..start + 4 * matrix.values.len());
        let data = data.ok_or_else(|| format!("{name} is cut short"))?;
        let values: Vec<f32> = data
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let bits = |value: &f32| value.to_bits();
        if !matrix.restored(&values).iter().map(bits).eq(matrix.values.iter().map(bits)) {
            return Err(format!("{name} has other numbers"));
        }
    }
    Ok(())
}

/// Of the types that an adapter's keys have.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one == other,
        (Value::U32(one), Value::U32(other)) => one == other,
        (Value::F32(one), Value::F32(other)) => one.to_bits() == other.to_bits(),
        _ => false,
    }
}
