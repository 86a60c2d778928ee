//! Hyper-parameters of an adapter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{LoraError, TargetModules, targets::key_pattern};

/// Hyper-parameters of LoRA (Hu et al., 2021), named as in PEFT.
///
/// `#[serde(default)]` and `deny_unknown_fields`: a file may leave out what it does not change, and
/// may not misspell what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub r: usize,
    /// Numerator of the scale, see [`scale_for`](Self::scale_for).
    pub lora_alpha: f64,
    /// Probability with which a feature of the adapter's input is dropped in training.
    pub lora_dropout: f64,
    /// The layers that get an adapter.
    pub target_modules: TargetModules,
    /// Scale by `lora_alpha / sqrt(r)` (Kalajdzievski, 2023) instead of `lora_alpha / r`.
    pub use_rslora: bool,
    /// Ranks of single modules, by regular expression; see [`rank_for`](Self::rank_for).
    pub rank_pattern: BTreeMap<String, usize>,
    /// Alphas of single modules, by regular expression.
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl Default for LoraConfig {
    /// r 16, alpha 32, dropout 0.05, on every linear layer but the head.
    fn default() -> Self {
        Self {
            r: 16,
            lora_alpha: 32.0,
            lora_dropout: 0.05,
            target_modules: TargetModules::AllLinear,
            use_rslora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }
}

impl LoraConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`LoraError::Config`] with all problems at once.
    pub fn validate(&self) -> Result<(), LoraError> {
        let mut problems = self.target_modules.problems();
        let mut check = |ok: bool, problem: String| {
            if !ok {
                problems.push(problem);
            }
        };
        check(self.r > 0, "r is 0, but a rank is at least 1".to_owned());
        check(
            is_alpha(self.lora_alpha),
            format!("lora_alpha is {}, but it must be a positive number", self.lora_alpha),
        );
        check(
            (0.0..1.0).contains(&self.lora_dropout),
            format!(
                "lora_dropout is {}, but a probability of dropping lies in [0, 1)",
                self.lora_dropout
            ),
        );
        for (key, &r) in &self.rank_pattern {
            check(r > 0, format!("rank_pattern {key:?} is 0, but a rank is at least 1"));
            if let Err(error) = key_pattern("rank_pattern", key) {
                check(false, error.to_string());
            }
        }
        for (key, &alpha) in &self.alpha_pattern {
            check(
                is_alpha(alpha),
                format!("alpha_pattern {key:?} is {alpha}, but it must be a positive number"),
            );
            if let Err(error) = key_pattern("alpha_pattern", key) {
                check(false, error.to_string());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(LoraError::Config { problems }) }
    }

    /// Whether the linear layer at this dotted path gets an adapter; `is_head` marks the output
    /// projection, which `all-linear` leaves out.
    ///
    /// # Errors
    /// When `target_modules` is a regular expression that does not compile.
    pub fn targets(&self, module: &str, is_head: bool) -> Result<bool, LoraError> {
        self.target_modules.matches(module, is_head)
    }

    /// The rank of one module: the value of the first key of `rank_pattern` (in key order) that
    /// matches its path or the end of its path after a dot, else `r`.
    ///
    /// A key that is no valid regular expression matches nothing; [`validate`](Self::validate)
    /// reports it.
    pub fn rank_for(&self, module: &str) -> usize {
        first_match("rank_pattern", &self.rank_pattern, module).unwrap_or(self.r)
    }

    /// The alpha of one module, found as its rank is.
    pub fn alpha_for(&self, module: &str) -> f64 {
        first_match("alpha_pattern", &self.alpha_pattern, module).unwrap_or(self.lora_alpha)
    }

    /// The factor of one module's update: alpha / r, or alpha / sqrt(r) with `use_rslora`, from that
    /// module's own alpha and r.
    pub fn scale_for(&self, module: &str) -> f64 {
        let r = self.rank_for(module) as f64;
        self.alpha_for(module) / if self.use_rslora { r.sqrt() } else { r }
    }
}

fn is_alpha(alpha: f64) -> bool {
    alpha.is_finite() && alpha > 0.0
}

fn first_match<T: Copy>(
    option: &'static str,
    patterns: &BTreeMap<String, T>,
    module: &str,
) -> Option<T> {
    let matches = |key: &str| {
        key_pattern(option, key).is_ok_and(|regex| regex.is_match(module).unwrap_or(false))
    };
    patterns.iter().find(|(key, _)| matches(key)).map(|(_, &value)| value)
}
