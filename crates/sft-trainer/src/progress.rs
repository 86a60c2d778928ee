//! Everything the loop remembers besides tensors.

use serde::{Deserialize, Serialize};

use crate::{StepRecord, trend::Trend};

/// So many evaluations above the lowest one, and by this factor, are overfitting worth a warning.
const PATIENCE: usize = 3;
const OVERFITTED: f64 = 1.05;

/// The counters and sums of a run; saved with each checkpoint, exactly.
///
/// The position in the data is not among them: it follows from `step` (see [`Plan`](crate::Plan)).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Optimizer steps done, skipped ones included.
    pub(crate) step: usize,
    /// Skipped steps since the last one that was not.
    pub(crate) skipped_in_a_row: usize,
    /// Of the epoch under way.
    pub(crate) epoch: EpochTotals,
    /// Of the epochs done.
    pub(crate) epochs: Vec<EpochTotals>,
    pub(crate) last_evaluation: Option<Evaluation>,
    pub(crate) best_evaluation: Option<Evaluation>,
    /// Evaluations since the best one.
    pub(crate) evaluations_without_improvement: usize,
    pub(crate) stopped_early: bool,
    /// Where the training loss is going.
    pub(crate) trend: Trend,
}

/// Sums over the steps of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochTotals {
    pub(crate) steps: usize,
    pub(crate) skipped_steps: usize,
    /// Loss sum of the steps that were not skipped.
    #[serde(with = "exact")]
    pub(crate) nll: f64,
    /// Targets of the steps that were not skipped.
    pub(crate) trained_targets: usize,
    pub(crate) tokens: usize,
    pub(crate) target_tokens: usize,
    /// Learning rate of the last step.
    #[serde(with = "exact")]
    pub(crate) learning_rate: f64,
    #[serde(with = "exact")]
    pub(crate) seconds: f64,
    /// The evaluation at its end.
    pub(crate) evaluation: Option<Evaluation>,
}

/// A loss over the validation set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) step: usize,
    pub(crate) epoch: usize,
    #[serde(with = "exact")]
    pub(crate) loss: f64,
}

impl EpochTotals {
    /// Token-weighted mean loss; not a number when every step was skipped.
    pub(crate) fn train_loss(&self) -> f64 {
        self.nll / self.trained_targets as f64
    }
}

impl Progress {
    /// Takes note of a step and of the sum of its losses.
    pub(crate) fn stepped(&mut self, record: &StepRecord, nll: f64) {
        self.step = record.step;
        let epoch = &mut self.epoch;
        epoch.steps += 1;
        epoch.tokens += record.tokens;
        epoch.target_tokens += record.target_tokens;
        epoch.learning_rate = record.learning_rate;
        epoch.seconds += record.seconds;
        if record.skipped {
            self.skipped_in_a_row += 1;
            epoch.skipped_steps += 1;
        } else {
            self.skipped_in_a_row = 0;
            epoch.nll += nll;
            epoch.trained_targets += record.target_tokens;
        }
    }

    /// Takes note of an evaluation. True when it is the best so far.
    pub(crate) fn evaluated(&mut self, evaluation: Evaluation) -> bool {
        let best = evaluation.loss.is_finite()
            && self.best_evaluation.is_none_or(|best| evaluation.loss < best.loss);
        self.last_evaluation = Some(evaluation);
        if best {
            self.best_evaluation = Some(evaluation);
            self.evaluations_without_improvement = 0;
        } else {
            self.evaluations_without_improvement += 1;
        }
        best
    }

    /// A warning when the validation loss has not been the lowest for a while, and has risen.
    pub(crate) fn overfitting(&self) -> Option<String> {
        let (best, last) = (self.best_evaluation?, self.last_evaluation?);
        let waited = self.evaluations_without_improvement == PATIENCE;
        (waited && last.loss > OVERFITTED * best.loss).then(|| {
            format!(
                "the validation loss was lowest after step {} ({:.4}) and is {:.4} now: the model learns its examples by \
                 heart; end earlier (--early_stopping_patience, fewer --num_epochs) or raise --lora_dropout",
                best.step, best.loss, last.loss
            )
        })
    }

    /// The evaluation made after the last step, if there was one.
    pub(crate) fn current_evaluation(&self) -> Option<Evaluation> {
        self.last_evaluation.filter(|evaluation| evaluation.step == self.step)
    }

    /// Losses over other rows are nothing to compare with.
    pub(crate) fn forget_evaluations(&mut self) {
        (self.last_evaluation, self.best_evaluation) = (None, None);
        self.evaluations_without_improvement = 0;
        self.stopped_early = false;
    }

    /// Closes the epoch under way.
    pub(crate) fn finish_epoch(&mut self) -> EpochTotals {
        let mut totals = std::mem::take(&mut self.epoch);
        totals.evaluation = self.current_evaluation();
        self.epochs.push(totals);
        totals
    }
}

/// f64 as the shortest decimal text that reads back as the same bits (JSON numbers may not, in serde_json's
/// default form, and cannot hold what is not finite).
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn evaluation(step: usize, loss: f64) -> Evaluation {
        Evaluation { step, epoch: 1, loss }
    }

    #[test]
    fn sums_survive_json_bit_for_bit() {
        for nll in [0.1 + 0.2, 1.0 / 3.0, 123_456_789.123_456_78, 5e-324, f64::NAN, f64::INFINITY] {
            let epoch = EpochTotals { nll, ..EpochTotals::default() };
            let progress = Progress {
                epoch,
                best_evaluation: Some(evaluation(3, nll)),
                ..Progress::default()
            };
            let back: Progress =
                serde_json::from_str(&serde_json::to_string(&progress).unwrap()).unwrap();
            assert_eq!(back.epoch.nll.to_bits(), nll.to_bits());
            assert_eq!(back.best_evaluation.unwrap().loss.to_bits(), nll.to_bits());
        }
    }

    #[test]
    fn only_a_lower_finite_loss_is_better() {
        let mut progress = Progress::default();
        let losses = [f64::NAN, 2.0, 2.0, 3.0, 1.5];
        let better: Vec<_> = losses
            .iter()
            .enumerate()
            .map(|(i, &loss)| progress.evaluated(evaluation(i, loss)))
            .collect();
        assert_eq!(better, [false, true, false, false, true]);
        assert_eq!(progress.evaluations_without_improvement, 0);
        assert_eq!(progress.best_evaluation.unwrap().step, 4);
    }

    #[test]
    fn a_rising_validation_loss_is_said_once() {
        let warnings = |losses: &[f64]| {
            let mut progress = Progress::default();
            let after = |(i, &loss): (usize, &f64)| {
                progress.evaluated(evaluation(i, loss));
                usize::from(progress.overfitting().is_some())
            };
            losses.iter().enumerate().map(after).sum::<usize>()
        };
        assert_eq!(warnings(&[2.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]), 1);
        assert_eq!(warnings(&[2.0, 1.0, 1.01, 1.02, 1.03, 1.02]), 0);
    }
}
