//! Does a model find factual summaries likelier than hallucinated ones?
//!
//! An [`EvalSet`] is a CSV file of labelled summaries, tokenised as in training; its
//! [`evaluate`](EvalSet::evaluate) gives the [`Evaluation`] of one model, and [`Comparison`] sets a
//! model beside its base. The score of a summary is its mean log-likelihood per target token, its
//! EOS included, given the prompt.
//!
//! Of texts alone: [`rouge()`] against a reference, [`quality()`] (length, copying, repetition),
//! [`audit`] (what does the note not support?), and [`Bootstrap`] for the intervals of any of these.
//! [`Recitation`] tells text from memory, [`Readiness`] whether preference training is next.
//! [`findings`] counts whether generated summaries are complete and supported.
#![forbid(unsafe_code)]

pub mod audit;
mod auroc;
mod bootstrap;
mod error;
mod evaluation;
pub mod findings;
mod memory;
mod porter;
mod preferences;
mod quality;
mod readiness;
mod report;
mod rouge;
mod set;
mod student;
mod summaries;

pub use auroc::auroc;
pub use bootstrap::{Bootstrap, Interval};
pub use error::EvalError;
pub use evaluation::{Evaluation, Intervals};
pub use memory::Recitation;
pub use preferences::{Preference, Source, labelled_pairs, pairs_by_type};
pub use quality::{Quality, quality};
pub use readiness::{Check, EpochLoss, Evidence, Readiness, Status, TrainingCurve, Verdict};
pub use report::{Comparison, ModelReport};
pub use rouge::{Overlap, Rouge, rouge};
pub use set::EvalSet;
pub use student::student_mean;
pub use summaries::{Answer, EvalNote, Judged, NoteSet, SummaryFigures, gains};
