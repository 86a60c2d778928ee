//! The learning rate of each step, as transformers' `get_*_schedule_with_warmup` compute it.

use crate::{Plan, Scheduler, TrainConfig};

/// Linear warm-up from 0, then a [`Scheduler`]'s fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    kind: Scheduler,
    peak: f64,
    warmup_steps: usize,
    total_steps: usize,
}

impl Schedule {
    /// The schedule of a run. The warm-up takes `ceil(total_steps * warmup_ratio)` steps.
    pub fn new(config: &TrainConfig, plan: &Plan) -> Self {
        let warmup_steps = (plan.total_steps as f64 * config.warmup_ratio).ceil() as usize;
        Self {
            kind: config.lr_scheduler,
            peak: config.learning_rate,
            warmup_steps,
            total_steps: plan.total_steps,
        }
    }

    /// Steps of the warm-up.
    pub fn warmup_steps(&self) -> usize {
        self.warmup_steps
    }

    /// The rate of the step after `steps_done`. During the warm-up it is `steps_done / warmup_steps` of the
    /// peak: the first step runs at 0.
    pub fn learning_rate(&self, steps_done: usize) -> f64 {
        if steps_done < self.warmup_steps {
            return self.peak * (steps_done as f64 / self.warmup_steps as f64);
        }
        let left = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let factor = match self.kind {
            Scheduler::Constant => 1.0,
            Scheduler::Linear => self.total_steps.saturating_sub(steps_done) as f64 / left,
            Scheduler::Cosine => {
                let progress = (steps_done - self.warmup_steps) as f64 / left;
                (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
            }
        };
        self.peak * factor
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        schedules: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        kind: Scheduler,
        warmup_ratio: f64,
        total: usize,
        peak: f64,
        warmup_steps: usize,
        rates: Vec<f64>,
    }

    /// tests/golden/make_golden.py
    #[test]
    fn rates_are_those_of_transformers() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/optim.json")).unwrap();
        assert_eq!(golden.schedules.len(), 12);
        for case in golden.schedules {
            let config = TrainConfig {
                lr_scheduler: case.kind,
                warmup_ratio: case.warmup_ratio,
                max_steps: Some(case.total),
                learning_rate: case.peak,
                ..TrainConfig::default()
            };
            let schedule = Schedule::new(&config, &Plan::new(&config, 100));
            assert_eq!(schedule.warmup_steps(), case.warmup_steps);
            for (step, expected) in case.rates.iter().enumerate() {
                let rate = schedule.learning_rate(step);
                assert!(
                    (rate - expected).abs() < 1e-18,
                    "{} at {step}: {rate} for {expected}",
                    case.kind
                );
            }
        }
    }

    #[test]
    fn warm_up_starts_at_zero_and_may_be_absent() {
        let mut config = TrainConfig { max_steps: Some(20), ..TrainConfig::default() };
        let plan = Plan::new(&config, 8);
        let schedule = Schedule::new(&config, &plan);
        assert_eq!(
            (schedule.warmup_steps(), schedule.learning_rate(0), schedule.learning_rate(1)),
            (2, 0.0, 1e-4)
        );
        config.warmup_ratio = 0.0;
        assert_eq!(Schedule::new(&config, &plan).learning_rate(0), 2e-4);
    }
}
