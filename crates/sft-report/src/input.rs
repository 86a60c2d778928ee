//! What the caller knows about a run beyond its files.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Run;

/// Everything that a report shows. What is left out is named in the page, with the way to get it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The run's files.
    pub run: Run,
    /// Optimizer steps planned, where training_stats.json is not there to say it.
    pub planned_steps: Option<usize>,
    /// Trainable parameters and all parameters, where training_stats.json is not there to say it.
    pub parameters: Option<(usize, usize)>,
    /// What was trained on.
    pub data: Option<DataShape>,
    /// Notes with their summaries. They put text of notes into the page.
    pub examples: Vec<ExampleText>,
    /// Figures by name: those of the model at the top level, those of its base under `base`, as `sft-infer --evaluate
    /// --compare base --json` prints them.
    pub evaluation: Option<Value>,
    /// What was looked at before the model is used.
    pub checks: Vec<Check>,
    /// What the checks say together.
    pub verdict: Option<String>,
    /// Names and values of what makes the run what it is.
    pub fingerprints: Vec<(String, String)>,
    /// Names and versions of what computed it.
    pub versions: Vec<(String, String)>,
}

/// The rows of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataShape {
    /// What is trained on.
    pub training: SetShape,
    /// What is validated on, if anything.
    pub validation: Option<SetShape>,
}

/// A set of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetShape {
    /// Where the rows are from.
    pub source: String,
    /// Rows, used or not.
    pub rows: usize,
    /// Rows that became examples.
    pub examples: usize,
    /// Rows by label.
    pub labels: BTreeMap<String, usize>,
    /// Rows by the kind of hallucination that they name.
    pub hallucination_types: BTreeMap<String, usize>,
    /// Rows that could not be used.
    pub dropped: Vec<DroppedRows>,
    /// Rows whose note was shortened.
    pub truncated: usize,
    /// Tokens of a prompt, where there are examples.
    pub prompt_tokens: Option<Quantiles>,
    /// Target tokens of an example.
    pub target_tokens: Option<Quantiles>,
}

/// Rows that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedRows {
    /// Why.
    pub reason: String,
    /// How many.
    pub rows: usize,
}

/// A distribution of lengths, by nearest rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The shortest.
    pub min: usize,
    /// The median.
    pub median: usize,
    /// Nine of ten are at most this long.
    pub p90: usize,
    /// The longest.
    pub max: usize,
}

impl Quantiles {
    /// Those of `lengths`; none where there are none.
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> Option<Self> {
        let mut sorted: Vec<usize> = lengths.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| (percent * sorted.len()).div_ceil(100).max(1) - 1;
        let at = |percent: usize| sorted.get(rank(percent)).copied();
        Some(Self { min: *sorted.first()?, median: at(50)?, p90: at(90)?, max: at(100)? })
    }
}

/// A note with its summaries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleText {
    /// The row's id.
    pub id: String,
    /// The note.
    pub note: String,
    /// The summary that the row has.
    pub reference: String,
    /// The summary by the untouched base.
    pub base: Option<String>,
    /// The summary by the fine-tuned model.
    pub tuned: Option<String>,
    /// Bytes of `tuned` that the note does not support. What is beyond its end marks nothing; a border inside a
    /// character moves outwards.
    pub unsupported: Vec<Range<usize>>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it went.
    pub status: Status,
    /// What was found.
    pub measured: String,
    /// Why it matters.
    pub why: String,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Cannot be told from what is there.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_occur() {
        assert_eq!(Quantiles::of([]), None);
        let one = Quantiles { min: 7, median: 7, p90: 7, max: 7 };
        assert_eq!(Quantiles::of([7]), Some(one));
        let ten = Quantiles { min: 1, median: 5, p90: 9, max: 10 };
        assert_eq!(Quantiles::of((1..=10).rev()), Some(ten));
    }
}
