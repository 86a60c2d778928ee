//! Does a model find factual summaries likelier than hallucinated ones?
//!
//! An [`EvalSet`] is a CSV file of labelled summaries, tokenised as in training; its
//! [`evaluate`](EvalSet::evaluate) gives the [`Evaluation`] of one model, and [`Comparison`] sets a
//! model beside its base. The score of a summary is its mean log-likelihood per target token, its
//! EOS included, given the prompt.
//!
//! [`findings`] counts whether generated summaries are complete and supported.
#![forbid(unsafe_code)]

mod auroc;
mod error;
mod evaluation;
pub mod findings;
mod set;

pub use auroc::auroc;
pub use error::EvalError;
pub use evaluation::{Comparison, Evaluation};
pub use set::EvalSet;
