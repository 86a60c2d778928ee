//! Which examples an optimizer step sees.

use std::ops::Range;

use crate::TrainConfig;

/// The arithmetic of a run: a step number alone says where in the data it stands, so that nothing but
/// the number needs to be saved.
///
/// An epoch has `ceil(examples / batch_size)` micro-batches and drops none. A window never crosses the
/// end of an epoch: the last one of an epoch may hold fewer micro-batches (as in transformers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Training examples.
    pub examples: usize,
    /// Examples in a micro-batch.
    pub batch_size: usize,
    /// Examples in a full window: micro-batch times accumulation.
    pub window_size: usize,
    /// Optimizer steps in an epoch.
    pub steps_per_epoch: usize,
    /// Optimizer steps in the run.
    pub total_steps: usize,
    /// Epochs begun in the run; the last may be incomplete when `max_steps` is given.
    pub epochs: usize,
}

impl Plan {
    /// The plan for a valid `config` and at least one example.
    pub fn new(config: &TrainConfig, examples: usize) -> Self {
        let window_size = config.batch_size.saturating_mul(config.gradient_accumulation_steps);
        let steps_per_epoch = examples.div_ceil(window_size);
        let total_steps =
            config.max_steps.unwrap_or(config.num_epochs.saturating_mul(steps_per_epoch));
        let epochs = total_steps.div_ceil(steps_per_epoch);
        Self {
            examples,
            batch_size: config.batch_size,
            window_size,
            steps_per_epoch,
            total_steps,
            epochs,
        }
    }

    /// The epoch, from 0, that the step after `steps_done` belongs to.
    pub fn epoch(&self, steps_done: usize) -> usize {
        steps_done / self.steps_per_epoch
    }

    /// The positions, in the epoch's order of examples, that the step after `steps_done` trains on.
    /// Its micro-batches are chunks of `batch_size` of them.
    pub fn window(&self, steps_done: usize) -> Range<usize> {
        let start = steps_done % self.steps_per_epoch * self.window_size;
        start..self.examples.min(start.saturating_add(self.window_size))
    }

    /// Whether an epoch ends with the step that makes it `steps_done`. The end of the run ends the last epoch.
    pub fn ends_epoch(&self, steps_done: usize) -> bool {
        steps_done.is_multiple_of(self.steps_per_epoch) || steps_done == self.total_steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(examples: usize, batch: usize, accumulation: usize, max_steps: Option<usize>) -> Plan {
        let config = TrainConfig {
            num_epochs: 3,
            max_steps,
            batch_size: batch,
            gradient_accumulation_steps: accumulation,
            ..TrainConfig::default()
        };
        Plan::new(&config, examples)
    }

    #[test]
    fn no_tail_is_dropped_and_no_window_crosses_an_epoch() {
        let plan = plan(11, 2, 2, None); // 6 micro-batches: windows of 2, 2 and 2 batches: 4 + 4 + 3 examples
        assert_eq!((plan.steps_per_epoch, plan.total_steps, plan.epochs), (3, 9, 3));
        let windows: Vec<_> = (0..6).map(|step| (plan.epoch(step), plan.window(step))).collect();
        assert_eq!(windows, [(0, 0..4), (0, 4..8), (0, 8..11), (1, 0..4), (1, 4..8), (1, 8..11)]);
        let ends: Vec<_> = (1..=9).filter(|&step| plan.ends_epoch(step)).collect();
        assert_eq!(ends, [3, 6, 9]);
    }

    #[test]
    fn steps_are_epochs_times_ceil_of_batches_over_accumulation() {
        for (examples, batch, accumulation) in
            [(1, 8, 4), (9, 2, 2), (10, 3, 1), (50, 8, 3), (64, 8, 4)]
        {
            let batches = usize::div_ceil(examples, batch);
            assert_eq!(
                plan(examples, batch, accumulation, None).total_steps,
                3 * batches.div_ceil(accumulation)
            );
        }
    }

    #[test]
    fn max_steps_repeats_the_data_and_counts_begun_epochs() {
        let plan = plan(5, 2, 1, Some(7)); // 3 steps an epoch
        assert_eq!((plan.total_steps, plan.epochs), (7, 3));
        assert_eq!((plan.epoch(6), plan.window(6)), (2, 0..2));
        assert!(plan.ends_epoch(6) && plan.ends_epoch(7) && !plan.ends_epoch(5));
    }
}
