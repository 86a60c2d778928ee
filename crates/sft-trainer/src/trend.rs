//! Whether the training loss has turned.

use serde::{Deserialize, Serialize};

/// Share of the newest loss in the smoothed one: about the last twenty steps count.
const NEWEST: f64 = 0.05;
/// Steps before the smoothed loss says anything.
const BEGINNING: usize = 20;
/// The smoothed loss must rise by this factor, and by this many nats, above its lowest value.
const FACTOR: f64 = 1.5;
const NATS: f64 = 0.5;

/// A smoothed training loss beside the lowest value that it has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trend {
    steps: usize,
    smoothed: f64,
    lowest: f64,
    /// The step of the lowest value.
    at: usize,
    warned: bool,
}

impl Trend {
    /// Takes note of a finite loss; a warning the first time that the loss has risen for good.
    pub(crate) fn follow(&mut self, loss: f64) -> Option<String> {
        self.steps += 1;
        let share = NEWEST.max(1.0 / self.steps as f64); // at first the mean of all
        self.smoothed += share * (loss - self.smoothed);
        if self.steps <= BEGINNING || self.smoothed < self.lowest {
            (self.lowest, self.at) = (self.smoothed, self.steps);
            return None;
        }
        let risen = self.smoothed > (FACTOR * self.lowest).max(self.lowest + NATS);
        if self.warned || !risen {
            return None;
        }
        self.warned = true;
        Some(format!(
            "the training loss was {:.3} around step {} and is {:.3} now: the run diverges; stop it, and train again with a \
             lower --learning_rate or a longer --warmup_ratio",
            self.lowest, self.at, self.smoothed
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(losses: impl Iterator<Item = f64>) -> usize {
        let mut trend = Trend::default();
        losses.filter_map(|loss| trend.follow(loss)).count()
    }

    #[test]
    fn a_rise_is_said_once_and_noise_never() {
        let noise = |i: usize| f64::from(u8::from(i.is_multiple_of(2))) * 0.6;
        assert_eq!(warnings((0..200).map(|i| 2.0 - i as f64 * 0.005 + noise(i))), 0);
        assert_eq!(warnings((0..50).map(|_| 0.01).chain((0..50).map(|_| 0.3))), 0);
        assert_eq!(warnings((0..100).map(|i| 2.0 + noise(i)).chain((0..100).map(|_| 9.0))), 1);
    }
}
