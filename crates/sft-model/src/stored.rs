//! The tensors of a model folder as its files have them, for checks that share no code with the decoder.

use candle_core::Tensor;

use crate::{ModelDir, Result, weights::WeightFiles};

/// The weight files of a model folder, read on demand.
pub struct StoredTensors(WeightFiles);

impl ModelDir {
    /// Opens the weight files.
    ///
    /// # Errors
    /// When one of them is missing or broken.
    pub fn stored_tensors(&self) -> Result<StoredTensors> {
        Ok(StoredTensors(self.weights()?))
    }
}

impl StoredTensors {
    /// One tensor by its name in the files, in its stored type and shape, on the CPU.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be read.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        self.0.stored(name)
    }
}
