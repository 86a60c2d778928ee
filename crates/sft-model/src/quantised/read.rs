//! Matrices in few bits, read where they lie.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use sft_kernels::{
    FrozenWeight, MappedFile,
    matmul::{Quantised, WeightBytes, nf4_values, size_values},
};

use super::{BLOCK, COMPANIONS, GROUP, INT8_SCALES, NF4_STATE, Nf4State};
use crate::{ModelError, Result, weights::WeightFiles};

/// How far a table of values may be from the one that the kernels have.
const TOLERANCE: f32 = 1e-5;

/// Whether a tensor is a part of the matrix whose name its own begins with.
pub(crate) fn is_companion(name: &str) -> bool {
    COMPANIONS.iter().any(|end| name.strip_suffix(end).is_some_and(|of| of.ends_with(".weight")))
}

/// Some bytes of a mapped file.
struct Part<'a> {
    file: &'a Arc<MappedFile>,
    begin: usize,
    end: usize,
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        &self.file[self.begin..self.end]
    }

    fn floats(&self) -> Vec<f32> {
        let (floats, _) = self.bytes().as_chunks();
        floats.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }
}

impl WeightFiles {
    /// The matrix `name` of this shape, where the files have it in few bits; none where it is dense.
    ///
    /// # Errors
    /// When its parts do not belong together, or are of another kind than the kernels know.
    pub(crate) fn in_few_bits(&self, name: &str, shape: [usize; 2]) -> Result<Option<Quantised>> {
        let refuse = |problem: String| ModelError::Weights {
            path: self.path_of(name),
            problem: format!("the quantised matrix `{name}`: {problem}"),
        };
        let matrix = if self.has(&format!("{name}{NF4_STATE}")) {
            self.nf4(name, shape)
        } else if self.has(&format!("{name}{INT8_SCALES}")) {
            self.int8(name, shape)
        } else {
            return Ok(None);
        };
        matrix.map(Some).map_err(refuse)
    }

    /// The shape of a matrix that is stored in few bits.
    pub(crate) fn quantised_shape(&self, name: &str) -> Result<Option<[usize; 2]>> {
        if self.quantised().is_none() {
            return Ok(None);
        }
        let refuse = |problem: String| ModelError::Weights { path: self.path_of(name), problem };
        let shape = if self.has(&format!("{name}{NF4_STATE}")) {
            self.nf4_state(name).map_err(refuse)?.shape
        } else if self.has(&format!("{name}{INT8_SCALES}")) {
            self.in_safetensors(name).map(|(_, _, info)| info.shape.clone()).unwrap_or_default()
        } else {
            return Ok(None);
        };
        match shape.try_into() {
            Ok(shape) => Ok(Some(shape)),
            Err(shape) => Err(refuse(format!("`{name}` is {shape:?}, which is no matrix"))),
        }
    }

    /// A matrix that is stored in few bits, dense.
    pub(crate) fn dequantised(
        &self,
        name: &str,
        shape: [usize; 2],
        dtype: DType,
    ) -> Result<Tensor> {
        match self.in_few_bits(name, shape)? {
            Some(matrix) => Ok(FrozenWeight::from_quantised(matrix).to_tensor_in(dtype)?),
            None => self.stored(name),
        }
    }

    fn nf4_state(&self, name: &str) -> std::result::Result<Nf4State, String> {
        let state = self.part(&format!("{name}{NF4_STATE}"), safetensors::Dtype::U8)?;
        serde_json::from_slice(state.bytes())
            .map_err(|error| format!("its description cannot be read ({error})"))
    }

    fn nf4(&self, name: &str, shape: [usize; 2]) -> std::result::Result<Quantised, String> {
        let state = self.nf4_state(name)?;
        if state.shape != shape {
            return Err(format!(
                "it is {:?} where config.json asks for {shape:?}; the files do not belong together",
                state.shape
            ));
        }
        let known = state.quant_type == "nf4"
            && state.blocksize == BLOCK
            && state.nested_blocksize == Some(GROUP);
        let offset = state.nested_offset.filter(|_| known).ok_or_else(|| {
            format!(
                "it is `{:.20}` in blocks of {} with nested blocks of {}; what is read is nf4 in blocks of {BLOCK} \
                 with nested blocks of {GROUP}",
                state.quant_type,
                state.blocksize,
                state.nested_blocksize.unwrap_or_default(),
            )
        })?;
        self.same_table(&format!("{name}.quant_map"), &nf4_values())?;
        self.same_table(&format!("{name}.nested_quant_map"), &size_values())?;
        let codes = self.part(name, safetensors::Dtype::U8)?;
        let sizes = self.part(&format!("{name}.absmax"), safetensors::Dtype::U8)?;
        let scales = self.part(&format!("{name}.nested_absmax"), safetensors::Dtype::F32)?;
        #[expect(clippy::cast_possible_truncation, reason = "it was an f32 when it was written")]
        let offset = offset as f32;
        Quantised::from_nf4(shape, mapped(&codes)?, mapped(&sizes)?, scales.floats(), offset)
            .map_err(|error| error.to_string())
    }

    fn int8(&self, name: &str, shape: [usize; 2]) -> std::result::Result<Quantised, String> {
        let codes = self.part(name, safetensors::Dtype::I8)?;
        let scales = self.part(&format!("{name}{INT8_SCALES}"), safetensors::Dtype::F32)?;
        Quantised::from_int8(shape, mapped(&codes)?, scales.floats())
            .map_err(|error| error.to_string())
    }

    /// A table of values must be the one that the kernels have.
    fn same_table(&self, name: &str, ours: &[f32]) -> std::result::Result<(), String> {
        let theirs = self.part(name, safetensors::Dtype::F32)?.floats();
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE;
        if theirs.len() == ours.len() && theirs.iter().zip(ours).all(near) {
            return Ok(());
        }
        Err(format!("`{name}` has other values than bitsandbytes' nf4"))
    }

    fn part(&self, name: &str, dtype: safetensors::Dtype) -> std::result::Result<Part<'_>, String> {
        let Some((file, start, info)) = self.in_safetensors(name) else {
            return Err(format!("its tensor `{name}` is missing; fetch the model again"));
        };
        if info.dtype != dtype {
            return Err(format!("`{name}` has type {:?} where {dtype:?} belongs", info.dtype));
        }
        let (begin, end) = info.data_offsets;
        Ok(Part { file, begin: start + begin, end: start + end })
    }
}

fn mapped(part: &Part<'_>) -> std::result::Result<WeightBytes, String> {
    WeightBytes::in_map(part.file, part.begin..part.end)
        .ok_or_else(|| "the file ends before it".to_owned())
}
