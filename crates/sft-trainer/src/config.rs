//! The settings of a run.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Settings of the training loop. Every field but [`save_steps`](Self::save_steps),
/// [`save_total_limit`](Self::save_total_limit) and
/// [`gradient_checkpointing`](Self::gradient_checkpointing) decides what a run computes, and must be the
/// same when the run is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training examples.
    pub num_epochs: usize,
    /// Optimizer steps in all. Overrides `num_epochs`, repeats the data as needed and sets the schedule's total.
    pub max_steps: Option<usize>,
    /// Examples in a micro-batch; evaluation uses the same.
    pub batch_size: usize,
    /// Micro-batches in the window of an optimizer step.
    pub gradient_accumulation_steps: usize,
    /// Highest learning rate of the schedule.
    pub learning_rate: f64,
    /// Shape of the schedule after the warm-up.
    pub lr_scheduler: Scheduler,
    /// Share of the steps in which the rate rises linearly from zero.
    pub warmup_ratio: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The norm of all gradients together is clipped to this; 0 turns clipping off.
    pub max_grad_norm: f64,
    /// Seed of the order of examples and of dropout.
    pub seed: u64,
    /// Shuffle the examples anew in each epoch; otherwise they come in file order.
    pub shuffle: bool,
    /// Recompute activations in the backward pass: less memory, more time, the same bytes.
    pub gradient_checkpointing: bool,
    /// Save a checkpoint every so many steps, besides the one of each epoch.
    pub save_steps: Option<usize>,
    /// Keep at most so many checkpoints. The newest one and the best one are always kept.
    pub save_total_limit: Option<usize>,
    /// Evaluate every so many steps, besides the end of each epoch.
    pub eval_steps: Option<usize>,
    /// Stop after so many evaluations in a row without a lower loss. The final model is then the best one evaluated.
    pub early_stopping_patience: Option<usize>,
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Half a cosine, down to zero.
    Cosine,
    /// A straight line, down to zero.
    Linear,
    /// Not at all.
    Constant,
}

impl std::str::FromStr for Scheduler {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "linear" => Ok(Self::Linear),
            "constant" => Ok(Self::Constant),
            other => Err(format!("`{other}` is no schedule: take cosine, linear or constant")),
        }
    }
}

impl std::fmt::Display for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cosine => "cosine",
            Self::Linear => "linear",
            Self::Constant => "constant",
        })
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            num_epochs: 2,
            max_steps: None,
            batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 2e-4,
            lr_scheduler: Scheduler::Cosine,
            warmup_ratio: 0.1,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            seed: 42,
            shuffle: true,
            gradient_checkpointing: false,
            save_steps: None,
            save_total_limit: None,
            eval_steps: None,
            early_stopping_patience: None,
        }
    }
}

impl TrainConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`TrainError::InvalidConfig`] with all problems at once.
    pub fn validate(&self) -> Result<(), TrainError> {
        let mut problems = Vec::new();
        let counts = [
            ("num_epochs", Some(self.num_epochs)),
            ("max_steps", self.max_steps),
            ("batch_size", Some(self.batch_size)),
            ("gradient_accumulation_steps", Some(self.gradient_accumulation_steps)),
            ("save_steps", self.save_steps),
            ("save_total_limit", self.save_total_limit),
            ("eval_steps", self.eval_steps),
            ("early_stopping_patience", self.early_stopping_patience),
        ];
        for (name, value) in counts {
            if value == Some(0) {
                problems.push(format!("{name} is 0; it must be at least 1"));
            }
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            problems.push(format!("learning_rate is {}; it must be above 0", self.learning_rate));
        }
        if !(0.0..=1.0).contains(&self.warmup_ratio) {
            problems.push(format!("warmup_ratio is {}; it must lie in 0 to 1", self.warmup_ratio));
        }
        for (name, value) in
            [("weight_decay", self.weight_decay), ("max_grad_norm", self.max_grad_norm)]
        {
            if !(value.is_finite() && value >= 0.0) {
                problems.push(format!("{name} is {value}; it must be 0 or more"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(TrainError::InvalidConfig { problems }) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_json() {
        let config = TrainConfig::default();
        config.validate().unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&json).unwrap(), config);
        assert_eq!(serde_json::from_str::<TrainConfig>("{}").unwrap(), config);
        let unknown = serde_json::from_str::<TrainConfig>(r#"{"batchsize": 4}"#).unwrap_err();
        assert!(unknown.to_string().contains("batchsize"));
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let config = TrainConfig {
            num_epochs: 0,
            batch_size: 0,
            learning_rate: f64::NAN,
            warmup_ratio: 1.5,
            weight_decay: -0.1,
            max_grad_norm: f64::INFINITY,
            save_total_limit: Some(0),
            ..TrainConfig::default()
        };
        let message = config.validate().unwrap_err().to_string();
        for name in [
            "num_epochs",
            "batch_size",
            "learning_rate",
            "warmup_ratio",
            "weight_decay",
            "max_grad_norm",
            "save_total_limit",
        ] {
            assert!(message.contains(name), "{name} is missing in: {message}");
        }
        assert!(!message.contains("eval_steps"));
    }

    #[test]
    fn schedules_have_names() {
        for scheduler in [Scheduler::Cosine, Scheduler::Linear, Scheduler::Constant] {
            assert_eq!(scheduler.to_string().parse(), Ok(scheduler));
        }
        assert!("cosin".parse::<Scheduler>().unwrap_err().contains("constant"));
    }
}
