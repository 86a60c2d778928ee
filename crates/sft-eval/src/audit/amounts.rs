//! Numbers with their units, and whether a note gives the same.

use std::ops::Range;

use super::spoken;
use crate::findings::quantity::{AGE, Quantity, Value};
use crate::findings::tokens::{Kind, Token};

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// No unit that is known.
    Plain,
    /// `120/80`, `6/10`: the second number.
    Ratio(f64),
    /// Of a drug: mg, ml, units, tablets.
    Dose(&'static str),
    /// Times a day.
    Rate,
    /// Hours.
    Duration,
    /// Another unit.
    Unit(&'static str),
    /// A time or a manner in words.
    Words(&'static str),
}

/// A number of a text.
#[derive(Debug, Clone)]
pub(crate) struct Amount {
    pub(crate) measure: Measure,
    /// In the measure's own unit.
    pub(crate) value: f64,
    /// As it is written, but for words.
    written: f64,
    /// The unit of a duration as written, in hours.
    unit_hours: f64,
    pub(crate) at: Range<usize>,
    /// The medication it is said of: index of its term.
    pub(crate) of: Option<usize>,
}

fn hours(unit: &str) -> Option<f64> {
    Some(match unit {
        "minute" => 1.0 / 60.0,
        "hour" => 1.0,
        "day" => 24.0,
        "week" => 168.0,
        "month" => 730.5,
        "year" | AGE => 8766.0,
        _ => return None,
    })
}

impl Amount {
    pub(crate) fn new(quantity: &Quantity, tokens: &[Token]) -> Self {
        let at = quantity.at.clone();
        let written = tokens[at.clone()].iter().find_map(spoken::value);
        let (measure, value) = match (quantity.value, quantity.unit) {
            (Value::Ratio(a, b), _) => (Measure::Ratio(b), a),
            (Value::Time("every other day"), _) => (Measure::Rate, 0.5),
            (Value::Time(words), _) => (Measure::Words(words), 0.0),
            (Value::Number(n), Some("per day")) => (Measure::Rate, n),
            (Value::Number(n), Some("per week")) => (Measure::Rate, n / 7.0),
            (Value::Number(n), Some("hours apart")) => (Measure::Rate, 24.0 / n),
            (Value::Number(n), Some("days apart")) => (Measure::Rate, 1.0 / n),
            (Value::Number(n), Some("weeks apart")) => (Measure::Rate, 1.0 / (7.0 * n)),
            (Value::Number(n), Some(unit @ ("mg" | "ml" | "iu" | "tablet" | "puff" | "drop"))) => {
                (Measure::Dose(unit), n)
            }
            (Value::Number(n), Some(unit)) if let Some(hours) = hours(unit) => {
                (Measure::Duration, n * hours)
            }
            (Value::Number(n), Some(unit)) => (Measure::Unit(unit), n),
            (Value::Number(n), None) => (Measure::Plain, n),
        };
        let unit_hours = quantity.unit.and_then(hours).unwrap_or(0.0);
        Self { measure, value, written: written.unwrap_or(value), unit_hours, at, of: None }
    }

    /// Do both count the same sort of thing, so that one may contradict the other?
    pub(crate) fn compares(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.measure) == std::mem::discriminant(&other.measure)
    }

    /// Does the other one say the same?
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64, part: f64| (a - b).abs() <= part * a.abs().max(b.abs());
        let exact = |a: f64, b: f64| near(a, b, 1e-9);
        match (self.measure, other.measure) {
            (Measure::Ratio(a), Measure::Ratio(b)) => exact(self.value, other.value) && exact(a, b),
            (Measure::Words(a), Measure::Words(b)) => a == b,
            (Measure::Rate, Measure::Rate) => near(self.value, other.value, 0.02),
            // once a day at some time of the day
            (Measure::Rate, Measure::Words(words)) => self.value == 1.0 && is_daily(words),
            (Measure::Duration, Measure::Duration) if self.unit_hours == other.unit_hours => {
                exact(self.value, other.value)
            }
            // four weeks are a month
            (Measure::Duration, Measure::Duration) => near(self.value, other.value, 0.09),
            (Measure::Dose(a), Measure::Dose(b)) => a == b && exact(self.value, other.value),
            (Measure::Unit(a), Measure::Unit(b)) => {
                let degrees = |unit| unit == "c" || unit == "f";
                (a == b || degrees(a) && degrees(b)) && exact(self.value, other.value)
            }
            (Measure::Rate | Measure::Words(_), _) | (_, Measure::Words(_) | Measure::Rate) => {
                false
            }
            // one of the texts leaves the unit out
            (Measure::Plain, _) | (_, Measure::Plain) => exact(self.written, other.written),
            _ => false,
        }
    }
}

fn is_daily(words: &str) -> bool {
    ["in the morning", "in the evening", "at night", "at bedtime", "in the afternoon", "at noon"]
        .contains(&words)
}

/// Every number that a text has, whatever it counts.
pub(crate) fn numbers(tokens: &[Token]) -> Vec<f64> {
    let mut numbers = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Ratio(a, b) => numbers.extend([a, b]),
            _ => numbers.extend(spoken::value(token)),
        }
    }
    numbers
}

/// Is it a number of a list, as in `1. Asthma. 2. Gout.`, `#1` or `(1)`, minutes of a time of day,
/// or a decade (`in her 80s`)?
pub(crate) fn counts_items(text: &str, tokens: &[Token], at: usize) -> bool {
    let token = &tokens[at];
    let first =
        at.checked_sub(1).is_none_or(|i| matches!(tokens[i].kind, Kind::Stop | Kind::Colon));
    let marked = tokens.get(at + 1).is_some_and(|t| t.text == ".");
    let (before, after) = (&text[..token.span.start], &text[token.span.end..]);
    let digits = text[token.span.clone()].starts_with(|c: char| c.is_ascii_digit());
    let ends = |text: &str| text.ends_with(|c: char| c.is_ascii_digit());
    let minutes = before.strip_suffix(':').is_some_and(ends) && token.span.len() == 2;
    let decade = after
        .strip_prefix(['s', '\'', '’'])
        .is_some_and(|rest| !rest.trim_start_matches('s').starts_with(char::is_alphanumeric));
    if !digits {
        return false;
    }
    if minutes || decade && token.text.ends_with('0') {
        return true;
    }
    first && marked
        || before.ends_with('#')
        || after.starts_with(')') && (first || before.ends_with('('))
}
