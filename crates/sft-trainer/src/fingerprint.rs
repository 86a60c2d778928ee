//! What must be equal for a run to be resumed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sft_dataset::Example;
use sft_kernels::random::Fnv;

use crate::Trainer;
use crate::error::Difference;

/// Settings that a resumed run may change: they never change a byte of the result.
const FREE: [&str; 4] = ["save_steps", "save_total_limit", "gradient_checkpointing", "sft_version"];

/// What an adapter is: no flag lets a run change it.
const FIXED: [&str; 7] = [
    "r",
    "lora_alpha",
    "target_modules",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "base_parameters",
];

/// What validation losses must have in common to be compared.
const VALIDATION: [&str; 2] = ["validation_data", "base_weights"];

/// Named values that decide a run's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(BTreeMap<String, Value>);

impl Fingerprint {
    /// Adds every field of a settings struct under its own name.
    pub(crate) fn add_fields(&mut self, settings: &impl Serialize) -> serde_json::Result<()> {
        // Through text, as a saved fingerprint comes: the same number then reads as the same value.
        let fields: BTreeMap<String, Value> =
            serde_json::from_str(&serde_json::to_string(settings)?)?;
        self.0.extend(fields.into_iter().filter(|(name, _)| !FREE.contains(&name.as_str())));
        Ok(())
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of a name, as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(name)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// Every value of `self`, a checkpoint's, that is not the same in `current`.
    pub(crate) fn differences(&self, current: &Self) -> Vec<Difference> {
        let names: BTreeSet<_> = self.0.keys().chain(current.0.keys()).collect();
        let text = |value: Option<&Value>| value.map_or_else(|| "absent".into(), Value::to_string);
        names
            .into_iter()
            .filter(|&name| self.0.get(name) != current.0.get(name))
            .map(|name| Difference {
                name: name.clone(),
                checkpoint: text(self.0.get(name)),
                current: text(current.0.get(name)),
                fixed: FIXED.contains(&name.as_str()),
            })
            .collect()
    }

    /// Whether losses over the validation rows of both can be compared.
    pub(crate) fn validates_as(&self, other: &Self) -> bool {
        VALIDATION.iter().all(|&name| self.0.get(name) == other.0.get(name))
    }
}

impl Trainer {
    /// What tells this run's base and data from others, by name.
    pub fn fingerprints(&self) -> Vec<(&'static str, String)> {
        let names = ["base_weights", "training_data", "validation_data"];
        names.into_iter().filter_map(|name| Some((name, self.fingerprint.text(name)?))).collect()
    }
}

/// Number and content of a set of examples, as `"128 examples, 9b3c..."`.
pub(crate) fn examples(examples: &[Example]) -> String {
    let mut hash = Fnv::default();
    for example in examples {
        hash.update(&example.index.to_le_bytes());
        hash.update(&(example.first_target as u64).to_le_bytes());
        hash.update(&(example.ids.len() as u64).to_le_bytes());
        example.ids.iter().for_each(|id| hash.update(&id.to_le_bytes()));
    }
    format!("{} examples, {}", examples.len(), hash.hex())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::TrainConfig;

    fn of(config: &TrainConfig) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add_fields(config).unwrap();
        fingerprint.add("train_data", "3 examples, 00");
        fingerprint
    }

    #[test]
    fn every_difference_is_named_with_both_values() {
        let saved = of(&TrainConfig { learning_rate: 0.1 + 0.2, ..TrainConfig::default() });
        let saved: Fingerprint =
            serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();
        let same = TrainConfig {
            learning_rate: 0.1 + 0.2,
            save_steps: Some(3),
            gradient_checkpointing: true,
            ..TrainConfig::default()
        };
        assert_eq!(saved.differences(&of(&same)), []);

        let mut other = of(&TrainConfig { batch_size: 4, max_steps: Some(9), ..same });
        other.add("dtype", "f32");
        let differences = saved.differences(&other);
        let lines: Vec<_> = differences
            .iter()
            .map(|d| format!("{} {} {}", d.name, d.checkpoint, d.current))
            .collect();
        assert_eq!(lines, ["batch_size 8 4", "dtype absent \"f32\"", "max_steps null 9"]);
    }

    #[test]
    fn data_is_told_apart_by_content_and_mask() {
        let example = |ids: &[u32], first_target| Example {
            ids: ids.into(),
            first_target,
            index: 0,
            line: 2,
        };
        let all = [
            examples(&[example(&[1, 2, 3], 1)]),
            examples(&[example(&[1, 2, 3], 2)]),
            examples(&[example(&[1, 2, 4], 1)]),
            examples(&[example(&[1, 2, 3], 1), example(&[4], 1)]),
        ];
        assert_eq!(BTreeSet::from(all.clone()).len(), 4);
        assert!(all[0].starts_with("1 examples, "));
    }
}
