//! What shows a run.
//!
//! [`Report::html`] makes one HTML file of what a training run left, [`curve()`] a loss curve of text, and
//! [`tensorboard::EventFile`] the events that TensorBoard reads. Nothing here computes with a model, and nothing prints.
#![forbid(unsafe_code)]

mod curve;
mod derived;
mod error;
mod figure;
mod input;
mod page;
mod plot;
mod run;
pub mod tensorboard;
mod thin;
mod words;

pub use curve::curve;
pub use error::ReportError;
pub use input::{Check, DataShape, DroppedRows, ExampleText, Quantiles, Report, SetShape, Status};
pub use run::{EvalLine, Run, Setting, StepLine};
