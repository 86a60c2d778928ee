//! Is a model, with these rows and this prompt, computed and trained as it should be?
//!
//! [`check_text`] looks at the ids of the training rows, [`check_model`] at the numbers of the decoder and
//! its adapters. Each gives a [`CheckResult`] for every [`Check`]; one that fails says what was found and
//! what to do. The numbers are held against a second, plain computation in f64 that reads the model's
//! files itself and shares no arithmetic with the decoder.
#![forbid(unsafe_code)]

mod adapters;
mod blocks;
mod check;
mod differences;
mod error;
mod learning;
mod model;
mod piece;
mod reference;
mod rows;
mod tolerance;

pub use check::{Check, CheckResult};
pub use error::SelfTestError;
pub use model::{Subject, check_model};
pub use rows::{Text, check_text};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, SelfTestError>;
