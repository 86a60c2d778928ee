//! Writing a base in few bits.

use std::{borrow::Cow, path::Path};

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, View};
use sft_kernels::matmul::{Parts, nf4_values, size_values};

use super::{BLOCK, GROUP, INT8_SCALES, NF4_STATE, Nf4State, settings::settings_of};
use crate::{
    ModelDir, ModelError, Result,
    modules::MODULES,
    runtime::Quantize,
    save::{SHARD_BYTES, Saved, write_folder},
    shards::write_shards,
    weights::WeightFiles,
};

/// A tensor as a file has it.
struct Piece {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Writes the model in `source` with the matrices of its blocks in few bits, as
/// [`Decoder::load_as`](crate::Decoder::load_as) makes them of the same files: reading `out` gives
/// the same model to the last bit. The rest is bf16.
///
/// NF4 is written as bitsandbytes does it, so that transformers reads it; int8 is this project's own.
/// One file is in memory at a time, of at most 2 GB. `out` must not exist, or be an empty folder; it
/// appears only when it is complete.
///
/// # Errors
/// When `source` is quantised already or cannot be read, or `out` cannot be written.
pub fn save_quantised(source: &ModelDir, quantize: Quantize, out: &Path) -> Result<()> {
    save_in_shards(source, quantize, out, SHARD_BYTES)
}

fn save_in_shards(
    source: &ModelDir,
    quantize: Quantize,
    out: &Path,
    shard_bytes: usize,
) -> Result<()> {
    if let Some(stored) = source.config().quantization {
        return Err(ModelError::NotAModel {
            path: source.path().into(),
            reason: format!(
                "its weights are {stored} already; give the model that is not quantised"
            ),
        });
    }
    let saved = Saved { adapter: None, eos_id: None, quantization: Some(settings_of(quantize)) };
    write_folder(source, &saved, out, |partial| {
        let weights = source.weights()?;
        let sizes: Vec<(&str, usize)> = weights
            .names()
            .map(|name| Ok((name, weights.stored_bytes(name)?)))
            .collect::<Result<_>>()?;
        write_shards(&sizes, partial, shard_bytes, |name| pieces(&weights, name, quantize))
    })
}

/// What becomes of a tensor.
fn pieces(weights: &WeightFiles, name: &str, quantize: Quantize) -> Result<Vec<(String, Piece)>> {
    if !is_block_matrix(name) {
        let tensor = weights.stored(name)?;
        return Ok(vec![(name.to_owned(), Piece::dense(&tensor.to_dtype(DType::BF16)?))]);
    }
    let shape = weights.stored(name)?.dims2()?;
    let matrix = weights.quantised_now(name, shape.into(), quantize, &Device::Cpu)?;
    let shape = vec![shape.0, shape.1];
    Ok(match matrix.parts() {
        Parts::Int8 { codes, scales } => {
            let blocks = shape[1].div_ceil(BLOCK);
            let scales = Piece::floats(scales, vec![shape[0], blocks]);
            let codes = Piece { dtype: Dtype::I8, shape, bytes: codes.to_vec() };
            vec![(name.to_owned(), codes), (format!("{name}{INT8_SCALES}"), scales)]
        }
        Parts::Nf4 { codes, sizes, scales, offset } => {
            let state = Nf4State {
                quant_type: "nf4".into(),
                blocksize: BLOCK,
                dtype: "bfloat16".into(),
                shape,
                nested_blocksize: Some(GROUP),
                nested_dtype: Some("float32".into()),
                nested_offset: Some(offset.into()),
            };
            let state = serde_json::to_vec(&state)
                .map_err(|source| ModelError::Json { path: name.into(), source })?;
            let bytes =
                |bytes: &[u8], shape| Piece { dtype: Dtype::U8, shape, bytes: bytes.to_vec() };
            let floats = |values: &[f32]| Piece::floats(values, vec![values.len()]);
            [
                ("", bytes(codes, vec![codes.len(), 1])),
                (".absmax", bytes(sizes, vec![sizes.len()])),
                (".nested_absmax", floats(scales)),
                (".quant_map", floats(&nf4_values())),
                (".nested_quant_map", floats(&size_values())),
                (NF4_STATE, bytes(&state, vec![state.len()])),
            ]
            .map(|(end, piece)| (format!("{name}{end}"), piece))
            .into()
        }
    })
}

/// Whether a tensor is one of the matrices that [`Quantize`] is about.
fn is_block_matrix(name: &str) -> bool {
    let rest = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    rest.and_then(|(_, rest)| rest.strip_suffix(".weight"))
        .is_some_and(|module| MODULES.contains(&module))
}

impl Piece {
    fn dense(tensor: &Tensor) -> Self {
        let (dtype, shape) = (View::dtype(tensor), tensor.dims().to_vec());
        Self { dtype, shape, bytes: View::data(tensor).into_owned() }
    }

    fn floats(values: &[f32], shape: Vec<usize>) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape, bytes }
    }
}

impl View for Piece {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
