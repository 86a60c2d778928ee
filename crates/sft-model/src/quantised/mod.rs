//! Bases that are stored in few bits.

mod read;
mod settings;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::is_companion;
pub(crate) use settings::stored_as;
pub use write::save_quantised;

use serde::{Deserialize, Serialize};

/// What follows a matrix's name in the names of the tensors that belong to it.
const COMPANIONS: [&str; 6] =
    [".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map", NF4_STATE, INT8_SCALES];

/// bitsandbytes' description of an NF4 matrix, JSON as bytes.
const NF4_STATE: &str = ".quant_state.bitsandbytes__nf4";

/// The scales of an int8 matrix.
const INT8_SCALES: &str = ".scales";

/// Numbers that share a size or a scale.
const BLOCK: usize = 64;

/// Blocks whose sizes share a scale.
const GROUP: usize = 256;

/// The keys of bitsandbytes' description.
#[derive(Serialize, Deserialize)]
struct Nf4State {
    quant_type: String,
    blocksize: usize,
    /// The type that dequantising gives there.
    dtype: String,
    shape: Vec<usize>,
    /// Only with double quantisation, as the other nested ones.
    nested_blocksize: Option<usize>,
    nested_dtype: Option<String>,
    nested_offset: Option<f64>,
}
