//! `--suggest TIME`: a small grid of rates and ranks, as far as the time goes.

use std::str::FromStr;
use std::time::{Duration, Instant};

use sft_model::Decoder;

use super::{Losses, Subject, seconds, stopped};
use crate::console;
use crate::error::CliError;

/// Validation losses closer than this are equal, and the smaller rank is better.
const EQUAL: f64 = 1.02;

/// Fewer validation rows tell little.
const FEW_ROWS: usize = 20;

/// Factors of the rate, in the order of trial.
const RATES: [f64; 3] = [1.0, 3.0, 1.0 / 3.0];

/// A time as users write it: `90s`, `10m`, `1.5h`; a bare number is minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Budget(Duration);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.char_indices().last() {
            Some((at, 's')) => (&text[..at], 1.0),
            Some((at, 'm')) => (&text[..at], 60.0),
            Some((at, 'h')) => (&text[..at], 3600.0),
            _ => (text, 60.0),
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number > 0.0 && number * unit < 1e9 => {
                Ok(Self(Duration::from_secs_f64(number * unit)))
            }
            _ => Err(format!("`{text}` is no time: give one such as 90s, 10m or 2h")),
        }
    }
}

/// One point of the grid, and what came of it.
struct Point {
    rate: f64,
    rank: usize,
    losses: Losses,
}

/// Trains with one setting after the other and says which to use.
pub(crate) fn suggest(
    subject: &Subject<'_>,
    mut model: Decoder,
    Budget(budget): Budget,
) -> Result<u8, CliError> {
    if subject.val.is_empty() {
        return Err(CliError::NothingToCompareBy);
    }
    let started = Instant::now();
    let (rate, rank) = (subject.settings.train.learning_rate, subject.settings.lora.r);
    // An adapter that is given has its rank.
    let mut ranks = match &subject.settings.init_adapter {
        Some(_) => vec![rank],
        None if rank == 1 => vec![1, 2],
        None => vec![rank, rank / 2, rank * 2],
    };
    // A layer takes no rank above its wider side, which is never below this.
    ranks.retain(|&other| other == rank || other <= model.config().hidden_size);
    let mut ahead: Vec<(f64, usize)> = RATES.iter().map(|factor| (rate * factor, rank)).collect();
    let (mut points, mut longest) = (Vec::<Point>::new(), Duration::ZERO);
    let bar = subject.bar(RATES.len() * ranks.len(), subject.train.len(), "trials");
    let mut widened = false;
    loop {
        if ahead.is_empty() && !widened {
            // The other ranks, at the best rate first.
            widened = true;
            let mut rates: Vec<(f64, f64)> =
                points.iter().map(|point| (point.losses.best().0, point.rate)).collect();
            rates.sort_by(|a, b| a.0.total_cmp(&b.0));
            let others = ranks.iter().filter(|&&other| other != rank);
            ahead = rates
                .iter()
                .flat_map(|(_, rate)| others.clone().map(|&rank| (*rate, rank)))
                .collect();
        }
        if ahead.is_empty() || started.elapsed() + longest > budget && !points.is_empty() {
            break;
        }
        let (rate, rank) = ahead.remove(0);
        let began = Instant::now();
        let mut trial = subject.trial(subject.train.clone(), subject.val.clone());
        trial.config.learning_rate = rate;
        trial.lora.lora_alpha *= rank as f64 / trial.lora.r as f64;
        trial.lora.r = rank;
        let (after, losses) = subject.run(model, trial, &bar)?;
        model = after;
        let Some(losses) = losses else { return Ok(stopped()) };
        longest = longest.max(began.elapsed());
        bar.suspend(|| {
            let (best, epoch) = losses.best();
            if best.is_nan() {
                console::result(format_args!("learning_rate {rate:.2e}, lora_r {rank}: diverged"));
                return;
            }
            console::result(format_args!(
                "learning_rate {rate:.2e}, lora_r {rank}: lowest Val Loss {best:.3} (epoch {epoch} of {}), {:.3} at the end",
                losses.val.len(),
                losses.last_val()
            ));
        });
        points.push(Point { rate, rank, losses });
    }
    bar.finish_and_clear();
    let all = RATES.len() * ranks.len();
    if points.len() < all {
        console::note(format_args!("{} of {all} settings were tried in the time", points.len()));
    }
    if subject.val.len() < FEW_ROWS {
        console::note(format_args!(
            "{} validation rows tell settings apart only roughly; give --val_split 0.3, or a larger --val_csv",
            subject.val.len()
        ));
    }
    match chosen(&points) {
        Some(_) if points.len() < 2 => {
            console::result("Nothing to compare with: give more time");
        }
        Some(point) => {
            console::result(format_args!(
                "Use --learning_rate {:.2e} --lora_r {}{}",
                point.rate,
                point.rank,
                epochs(&point.losses)
            ));
            if RATES[1..].iter().any(|factor| (point.rate / (rate * factor) - 1.0).abs() < 1e-9) {
                console::note(
                    "that is the edge of the rates that were tried: look further with it as --learning_rate",
                );
            }
        }
        None => console::result("No setting had a finite validation loss; lower --learning_rate"),
    }
    console::status(format_args!(
        "{} settings on {} rows, compared by {} validation rows: {}",
        points.len(),
        subject.train.len(),
        subject.val.len(),
        seconds(started)
    ));
    Ok(0)
}

/// A flag for fewer epochs, where the validation loss turned.
fn epochs(losses: &Losses) -> String {
    let (best, epoch) = losses.best();
    if losses.last_val() > best * EQUAL { format!(" --num_epochs {epoch}") } else { String::new() }
}

/// The smallest rank whose loss is as good as the best, at its best rate.
fn chosen(points: &[Point]) -> Option<&Point> {
    let loss = |point: &Point| point.losses.best().0;
    let finite = points.iter().filter(|point| loss(point).is_finite());
    let best = finite.clone().map(loss).min_by(f64::total_cmp)?;
    finite
        .filter(|point| loss(point) <= best * EQUAL)
        .min_by(|a, b| a.rank.cmp(&b.rank).then(loss(a).total_cmp(&loss(b))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let of = |text: &str| text.parse::<Budget>();
        assert_eq!(of("90s"), Ok(Budget(Duration::from_secs(90))));
        assert_eq!(of("10m"), Ok(Budget(Duration::from_mins(10))));
        assert_eq!(of("10"), of("10m"));
        assert_eq!(of("1.5h"), Ok(Budget(Duration::from_mins(90))));
        for wrong in ["", "m", "-3m", "0", "ten", "1d", "nan", "1e300h", "3é"] {
            assert!(of(wrong).unwrap_err().contains("90s, 10m or 2h"), "{wrong}");
        }
    }

    #[test]
    fn of_equal_losses_the_smaller_rank_is_chosen() {
        let point = |rate, rank, val: &[f64]| Point {
            rate,
            rank,
            losses: Losses { train: Vec::new(), val: val.to_vec() },
        };
        let points = [
            point(1e-4, 16, &[0.5, 0.4]),
            point(3e-4, 16, &[0.5, 0.301, 0.35]),
            point(3e-4, 8, &[0.5, 0.304]),
            point(3e-4, 32, &[0.5, 0.300]),
            point(1e-3, 4, &[f64::NAN]),
        ];
        let best = chosen(&points).unwrap();
        assert_eq!((best.rate, best.rank, best.losses.best().1), (3e-4, 8, 2));
        assert!(chosen(&points[4..]).is_none());
    }
}
