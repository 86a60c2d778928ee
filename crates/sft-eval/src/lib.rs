//! Does a model find factual summaries likelier than hallucinated ones?
//!
//! An [`EvalSet`] is a CSV file of labelled summaries, tokenised as in training; its
//! [`evaluate`](EvalSet::evaluate) gives the [`Evaluation`] of one model, and [`Comparison`] sets a
//! model beside its base. The score of a summary is its mean log-likelihood per target token, its
//! EOS included, given the prompt.
//!
//! Of texts alone: [`rouge()`] against a reference, [`quality()`] (length, copying, repetition),
//! [`audit`] (what does the note not support?), and [`Bootstrap`] for the intervals of any of these.
//! [`findings`] counts whether generated summaries are complete and supported.
#![forbid(unsafe_code)]

pub mod audit;
mod auroc;
mod bootstrap;
mod error;
mod evaluation;
pub mod findings;
mod porter;
mod quality;
mod rouge;
mod set;

pub use auroc::auroc;
pub use bootstrap::{Bootstrap, Interval};
pub use error::EvalError;
pub use evaluation::{Comparison, Evaluation};
pub use quality::{Quality, quality};
pub use rouge::{Overlap, Rouge, rouge};
pub use set::EvalSet;
