//! All figures of a model, and of a model beside its base.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Evaluation, Interval, SummaryFigures};

/// A model's figures. In JSON those of the labelled rows stand at the top level.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelReport {
    /// Of the labelled rows.
    #[serde(flatten)]
    pub scores: Evaluation,
    /// Of the summaries that it wrote, where it wrote any.
    pub summaries: Option<SummaryFigures>,
}

/// A model beside its base.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The model with its adapter; its figures stand at the top level of the JSON object.
    #[serde(flatten)]
    pub model: ModelReport,
    /// The untouched base.
    pub base: ModelReport,
    /// The model's `auroc` less the base's.
    pub auroc_gain: Option<f64>,
    /// What the model's summaries gain over the base's, figure by figure: [`gains`](crate::gains).
    pub gains: BTreeMap<String, Interval>,
}

impl Comparison {
    /// Sets a model beside its base.
    pub fn new(model: ModelReport, base: ModelReport, gains: BTreeMap<String, Interval>) -> Self {
        let auroc_gain =
            model.scores.auroc.zip(base.scores.auroc).map(|(model, base)| model - base);
        Self { model, base, auroc_gain, gains }
    }
}
