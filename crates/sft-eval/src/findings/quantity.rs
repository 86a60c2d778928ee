//! Numbers with their units, in one spelling.

use super::FindingKind;
use super::times::{self, time};
use super::tokens::{Kind, Token};
use std::ops::Range;

/// A number of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    pub(crate) value: Value,
    /// One spelling for each unit.
    pub(crate) unit: Option<&'static str>,
    /// `<` in `<5 mg` and `less than 5 mg`.
    pub(crate) bound: Option<char>,
    /// Its tokens.
    pub(crate) at: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Ratio(f64, f64),
    /// Not a number but a time in words: `at night`.
    Time(&'static str),
}

/// Years of a person.
pub(crate) const AGE: &str = "years old";
const PER_MINUTE: &str = "per minute";
const PER_DAY: &str = "per day";

impl Quantity {
    /// Do both say the same of a finding of this kind? The unit may be left out of a vital sign, a
    /// test and a ratio.
    pub(crate) fn agrees(&self, other: &Self, kind: FindingKind) -> bool {
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        let ((mine, unit), (theirs, other_unit)) = (self.in_days(), other.in_days());
        let same_value = match (mine, theirs) {
            (Value::Number(a), Value::Number(b)) => close(a, b),
            (Value::Ratio(a, c), Value::Ratio(b, d)) => close(a, b) && close(c, d),
            (Value::Time(a), Value::Time(b)) => a == b,
            _ => false,
        };
        let may_lack = matches!(kind, FindingKind::Vital | FindingKind::Test)
            || matches!(self.value, Value::Ratio(..));
        let one_lacks = unit.is_none() != other_unit.is_none();
        same_value && self.bound == other.bound && (unit == other_unit || may_lack && one_lacks)
    }

    /// Two weeks are 14 days.
    fn in_days(&self) -> (Value, Option<&'static str>) {
        match (self.value, self.unit) {
            (Value::Number(weeks), Some("week")) => (Value::Number(weeks * 7.0), Some("day")),
            same => same,
        }
    }

    pub(crate) fn is_time(&self) -> bool {
        matches!(self.value, Value::Time(_))
    }

    /// Can the vital sign of this name have this unit? One of another name can have any.
    pub(crate) fn suits(&self, vital: &[String]) -> bool {
        let named = |words: &[&str]| vital.iter().any(|word| words.contains(&word.as_str()));
        let units: &[&str] = match () {
            () if named(&["pulse", "heart", "hr", "respiratory", "rr"]) => &[PER_MINUTE],
            () if named(&["saturation", "spo2", "sat"]) => &["%"],
            () if named(&["temperature", "temp"]) => &["c", "f"],
            () if named(&["pressure", "bp"]) => &["mmhg"],
            () if named(&["bmi"]) => &["kg/m2"],
            () if named(&["weight"]) => &["kg"],
            () if named(&["glucose", "sugar"]) => &["mg/dl", "mmol/l"],
            () => return true,
        };
        self.is_time() || self.unit.is_none_or(|unit| units.contains(&unit))
    }

    /// Can a finding of this kind have such a number at all?
    pub(crate) fn fits(&self, kind: FindingKind) -> bool {
        use FindingKind::{Drug, Procedure, Symptom, Test, Vital};
        if let Value::Time(time) = self.value {
            return times::fits(time, kind);
        }
        match self.unit {
            None if matches!(self.value, Value::Ratio(..)) => {
                matches!(kind, Vital | Symptom | Test)
            }
            Some("mg" | "ml" | "iu" | "tablet" | "puff" | "drop" | "per day" | "per week") => {
                matches!(kind, Drug | Symptom | Procedure) && (kind == Drug || self.is_rate())
            }
            Some(unit) if unit.starts_with("hours apart") => kind == Drug,
            Some("mmhg" | "per minute") => kind == Vital,
            Some("c" | "f") => matches!(kind, Vital | Symptom),
            Some("%" | "kg") => matches!(kind, Vital | Test),
            Some(unit) if unit.contains('/') => matches!(kind, Vital | Test),
            Some("hour" | "day" | "week" | "month" | "year" | "minute") => {
                !matches!(kind, Vital | Test)
            }
            _ => true,
        }
    }

    fn is_rate(&self) -> bool {
        self.unit.is_some_and(|unit| unit.starts_with("per "))
    }
}

/// The numbers of a text but those inside `taken` tokens.
pub(crate) fn quantities(tokens: &[Token], taken: &[bool]) -> Vec<Quantity> {
    let mut found: Vec<Quantity> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let follows = found.last().is_some_and(|last| last.at.end == at);
        let end = (at..tokens.len()).find(|&i| taken[i]).unwrap_or(tokens.len());
        match parse(&tokens[..end], at, follows) {
            Some(quantity) if quantity.at.start < end => {
                at = quantity.at.end;
                found.push(quantity);
            }
            _ => at += 1,
        }
    }
    // the first number of a range has the unit of the second
    for i in (1..found.len()).rev() {
        let between = &tokens[found[i - 1].at.end..found[i].at.start];
        let joined = matches!(between, [t] if t.kind == Kind::Dash || t.is(&["to", "or"]));
        if joined && found[i - 1].unit.is_none() && !found[i - 1].is_time() {
            found[i - 1].unit = found[i].unit;
        }
    }
    found
}

fn parse(tokens: &[Token], at: usize, follows: bool) -> Option<Quantity> {
    let word = |i: usize| tokens.get(i).filter(|t| t.is_word()).map_or("", |t| t.text.as_str());
    let whole = |value, unit, end| Some(Quantity { value, unit, bound: None, at: at..end });
    let quantity = |value: f64, unit, end| whole(Value::Number(value), unit, end);
    let token = tokens.get(at)?;
    if let Some((bound, start)) = bound(tokens, at) {
        let inner = parse(tokens, start, false)?;
        return Some(Quantity { bound: Some(bound), at: at..inner.at.end, ..inner });
    }
    if let Some((time, end)) = time(tokens, at) {
        return whole(Value::Time(time), None, end);
    }
    if let Kind::Ratio(a, b) = token.kind {
        let (unit, end) = unit(tokens, at + 1).map_or((None, at + 1), |u| (Some(u.0), u.2));
        return whole(Value::Ratio(a, b), unit, end);
    }
    match token.text.as_str() {
        "daily" | "od" | "qd" => return quantity(1.0, Some(PER_DAY), at + 1),
        "weekly" => return quantity(1.0, Some("per week"), at + 1),
        "bid" | "bd" => return quantity(2.0, Some(PER_DAY), at + 1),
        "tid" | "tds" => return quantity(3.0, Some(PER_DAY), at + 1),
        "qid" | "qds" => return quantity(4.0, Some(PER_DAY), at + 1),
        "every" | "each" | "per" | "a" if matches!(word(at + 1), "day") => {
            let is_rate = token.text != "a" || follows;
            return quantity(1.0, Some(if is_rate { PER_DAY } else { "day" }), at + 2);
        }
        "every" => {
            let (value, end) = number(tokens, at + 1)?;
            let unit = match word(end) {
                "hours" | "hour" | "h" | "hrs" => "hours apart",
                "days" => "days apart",
                "weeks" => "weeks apart",
                _ => return None,
            };
            return quantity(value, Some(unit), end + 1);
        }
        "a" | "an" => {
            let (name, scale, end) = unit(tokens, at + 1)?;
            let is_time = matches!(name, "hour" | "day" | "week" | "month" | "year");
            return if is_time { quantity(scale, Some(name), end) } else { None };
        }
        "once" | "twice" | "thrice" => {
            let times = match token.text.as_str() {
                "once" => 1.0,
                "twice" => 2.0,
                _ => 3.0,
            };
            let (period, end) = period(tokens, at + 1)?;
            return quantity(times, Some(period), end);
        }
        every => {
            let hours = every.strip_prefix('q').and_then(|rest| rest.strip_suffix('h'));
            if let Some(hours) = hours.and_then(|hours| hours.parse().ok()) {
                return quantity(hours, Some("hours apart"), at + 1);
            }
        }
    }
    let (value, end) = number(tokens, at)?;
    if word(end) == "over"
        && let Some((below, end)) = number(tokens, end + 1)
        && value >= 50.0
    {
        let (unit, end) = unit(tokens, end).map_or((None, end), |u| (Some(u.0), u.2));
        return whole(Value::Ratio(value, below), unit, end);
    }
    if matches!(word(end), "times" | "time" | "x")
        && let Some((period, end)) = period(tokens, end + 1)
    {
        return quantity(value, Some(period), end);
    }
    if tokens[at].kind == Kind::Word && tokens[at].text == "one" {
        let (name, scale, end) = unit(tokens, end)?; // else a pronoun
        return quantity(scale, Some(name), end);
    }
    let aged = at > 0 && (word(at - 1) == "aged" || word(at - 1) == "age");
    let (name, scale, after) = match unit(tokens, end) {
        Some((name, scale, after)) => (Some(name), scale, after),
        None => (None, 1.0, end),
    };
    match (name, word(after), word(after + 1)) {
        (Some("year"), "old", _) => quantity(value, Some(AGE), after + 1),
        (Some("year"), "of", "age") => quantity(value, Some(AGE), after + 2),
        (Some("year") | None, _, _) if aged => quantity(value, Some(AGE), after),
        _ => quantity(value * scale, name, after),
    }
}

/// `<`, `less than` before a number: the sign and where the number begins.
fn bound(tokens: &[Token], at: usize) -> Option<(char, usize)> {
    let (token, next) = (tokens.get(at)?, tokens.get(at + 1)?);
    let (sign, start) = match token.text.as_str() {
        "<" | ">" | "≤" | "≥" => (token.text.chars().next()?, at + 1),
        "less" | "fewer" | "lower" if next.is(&["than"]) => ('<', at + 2),
        "more" | "greater" | "higher" if next.is(&["than"]) => ('>', at + 2),
        _ => return None,
    };
    number(tokens, start).map(|_| (sign, start))
}

/// `daily`, `a day`, `per week`: the unit and where it ends.
fn period(tokens: &[Token], at: usize) -> Option<(&'static str, usize)> {
    let word = |i: usize| tokens.get(i).filter(|t| t.is_word()).map_or("", |t| t.text.as_str());
    match (word(at), word(at + 1)) {
        ("daily", _) => Some((PER_DAY, at + 1)),
        ("weekly", _) => Some(("per week", at + 1)),
        ("a" | "per" | "each" | "every" | "/", "day") => Some((PER_DAY, at + 2)),
        ("a" | "per" | "each" | "every" | "/", "week") => Some(("per week", at + 2)),
        _ => None,
    }
}

/// The words for 0 to 19.
pub(crate) const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// The words for 20, 30 and so on.
pub(crate) const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number in digits or words: its value and where it ends.
fn number(tokens: &[Token], at: usize) -> Option<(f64, usize)> {
    let token = tokens.get(at)?;
    if let Kind::Number(value) = token.kind {
        return Some((value, at + 1));
    }
    let below = |i: usize| {
        let token = tokens.get(i)?;
        ONES.iter().position(|one| *one == token.text).map(|ones| ones as f64)
    };
    if let Some(tens) = TENS.iter().position(|ten| *ten == token.text) {
        let tens = (tens + 2) as f64 * 10.0;
        let ones = below(at + 1).filter(|ones| (1.0..10.0).contains(ones));
        return Some(ones.map_or((tens, at + 1), |ones| (tens + ones, at + 2)));
    }
    below(at).map(|value| (value, at + 1))
}

/// A unit of laboratories.
fn ratio(amount: &str, volume: &str) -> Option<&'static str> {
    Some(match (amount, volume) {
        ("mg", "dl") => "mg/dl",
        ("g", "dl") => "g/dl",
        ("ng", "dl") => "ng/dl",
        ("mg", "l") => "mg/l",
        ("g", "l") => "g/l",
        ("mmol", "l") => "mmol/l",
        ("umol" | "µmol", "l") => "µmol/l",
        ("meq", "l") => "meq/l",
        ("miu" | "mu", "l") => "miu/l",
        ("u" | "iu", "l") => "iu/l",
        ("ng", "ml") => "ng/ml",
        ("pg", "ml") => "pg/ml",
        ("ml", "min" | "minute") => "ml/min",
        ("mm", "h" | "hr" | "hour") => "mm/h",
        ("kg", "m2" | "m²") => "kg/m2",
        _ => return None,
    })
}

/// The unit at a place: its name, what to multiply with, and where it ends.
fn unit(tokens: &[Token], at: usize) -> Option<(&'static str, f64, usize)> {
    let word = |i: usize| tokens.get(i).filter(|t| t.is_word()).map_or("", |t| t.text.as_str());
    // `x10^9/L`
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|token| token.text == text);
    let start = at + usize::from(word(at) == "x");
    if is(start, "10") && is(start + 1, "9") && is(start + 2, "/") && is(start + 3, "l") {
        return Some(("10^9/l", 1.0, start + 4));
    }
    let three = (word(at), word(at + 1), word(at + 2));
    let (name, scale, length) = match three {
        ("beats" | "breaths", "per" | "/" | "a", "minute" | "min") => (PER_MINUTE, 1.0, 3),
        ("per" | "/", "minute" | "min", _) => (PER_MINUTE, 1.0, 2),
        ("bpm", ..) => (PER_MINUTE, 1.0, 1),
        (amount, "/" | "per", volume) if let Some(name) = ratio(amount, volume) => (name, 1.0, 3),
        ("°" | "degrees" | "degree", "c" | "celsius", _) => ("c", 1.0, 2),
        ("°" | "degrees" | "degree", "f" | "fahrenheit", _) => ("f", 1.0, 2),
        ("°" | "degrees" | "c" | "celsius", ..) => ("c", 1.0, 1),
        ("f" | "fahrenheit", ..) => ("f", 1.0, 1),
        ("mm", "hg", _) => ("mmhg", 1.0, 2),
        ("mmhg", ..) => ("mmhg", 1.0, 1),
        ("%" | "percent", ..) => ("%", 1.0, 1),
        ("mg" | "milligram" | "milligrams", ..) => ("mg", 1.0, 1),
        ("g" | "gram" | "grams", ..) => ("mg", 1e3, 1),
        ("mcg" | "µg" | "ug" | "microgram" | "micrograms", ..) => ("mg", 1e-3, 1),
        ("ml" | "millilitre" | "millilitres" | "milliliter" | "milliliters", ..) => ("ml", 1.0, 1),
        ("iu" | "unit" | "units", ..) => ("iu", 1.0, 1),
        ("tablet" | "tablets", ..) => ("tablet", 1.0, 1),
        ("puff" | "puffs", ..) => ("puff", 1.0, 1),
        ("drop" | "drops", ..) => ("drop", 1.0, 1),
        ("kg" | "kilogram" | "kilograms", ..) => ("kg", 1.0, 1),
        ("cm", ..) => ("cm", 1.0, 1),
        ("mm", ..) => ("mm", 1.0, 1),
        ("minute" | "minutes" | "min", ..) => ("minute", 1.0, 1),
        ("hour" | "hours" | "h" | "hr" | "hrs", ..) => ("hour", 1.0, 1),
        ("day" | "days", ..) => ("day", 1.0, 1),
        ("week" | "weeks", ..) => ("week", 1.0, 1),
        ("month" | "months", ..) => ("month", 1.0, 1),
        ("year" | "years", ..) => ("year", 1.0, 1),
        _ => return None,
    };
    Some((name, scale, at + length))
}
