//! What the caller decides about a generation.

use crate::InferenceError;

/// How the next token is chosen and when to stop.
///
/// The operations are those of Hugging Face `transformers`, in its order: repetition penalty,
/// temperature, top-k, top-p.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationParams {
    /// At most this many tokens for each note, the stop token included.
    pub max_new_tokens: usize,
    /// 0: greedy, the most likely token (the lowest id among equals). Above: sample from
    /// `softmax(logits / temperature)`.
    pub temperature: f64,
    /// Sample among the smallest set of most likely tokens whose probability reaches `top_p`.
    pub top_p: Option<f64>,
    /// Sample among the `top_k` most likely tokens (and any that equal the last of them).
    pub top_k: Option<usize>,
    /// Above 1 makes every token of the prompt and of the summary so far less likely; 1 is off.
    pub repetition_penalty: f64,
    /// A draw is a function of (seed, index of the note, index of the token) and nothing else.
    pub seed: u64,
}

impl Default for GenerationParams {
    fn default() -> Self {
        Self {
            max_new_tokens: 150,
            temperature: 0.0,
            top_p: None,
            top_k: None,
            repetition_penalty: 1.0,
            seed: 42,
        }
    }
}

impl GenerationParams {
    /// Checks every field.
    ///
    /// # Errors
    /// [`InferenceError::Params`] with every problem, not only the first.
    pub fn validate(&self) -> Result<(), InferenceError> {
        let mut problems = Vec::new();
        if self.max_new_tokens == 0 {
            problems.push("max_new_tokens is 0: give at least 1".to_owned());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            problems.push(format!(
                "temperature is {}: give 0 (greedy) or a positive number",
                self.temperature
            ));
        }
        if let Some(p) = self.top_p
            && !(p > 0.0 && p <= 1.0)
        {
            problems.push(format!("top_p is {p}: give a number above 0, at most 1"));
        }
        if self.top_k == Some(0) {
            problems.push("top_k is 0: give at least 1, or leave it out".to_owned());
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            problems.push(format!(
                "repetition_penalty is {}: give a positive number (1 is off)",
                self.repetition_penalty
            ));
        }
        if problems.is_empty() { Ok(()) } else { Err(InferenceError::Params { problems }) }
    }

    /// Whether the most likely token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        GenerationParams::default().validate().unwrap();
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let params = GenerationParams {
            max_new_tokens: 0,
            temperature: -0.1,
            top_p: Some(0.0),
            top_k: Some(0),
            repetition_penalty: f64::NAN,
            seed: 1,
        };
        let message = params.validate().unwrap_err().to_string();
        for name in ["max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty"] {
            assert!(message.contains(name), "{name} is missing in: {message}");
        }
    }

    #[test]
    fn borders() {
        let with = |temperature, top_p| GenerationParams {
            temperature,
            top_p,
            ..GenerationParams::default()
        };
        assert!(with(f64::INFINITY, None).validate().is_err());
        assert!(with(f64::NAN, None).validate().is_err());
        assert!(with(0.5, Some(1.0)).validate().is_ok());
        assert!(with(0.5, Some(1.000_1)).validate().is_err());
        assert!(with(0.5, Some(f64::NAN)).validate().is_err());
    }
}
