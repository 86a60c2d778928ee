//! What can keep a check from being made.

use sft_dataset::DatasetError;
use sft_model::ModelError;

/// Why a check could not be made. A check that fails is no error, but a
/// [`CheckResult`](crate::CheckResult).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfTestError {
    /// There is no row to test with.
    #[error("there is no training row to test with; give a file with factual rows")]
    NoExample,
    /// The model has no adapter.
    #[error("the model has no adapter to test; add one first")]
    NoAdapter,
    /// A row could not be turned into ids.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The decoder or its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tensor library.
    #[error("computation failed")]
    Candle(#[from] candle_core::Error),
}
