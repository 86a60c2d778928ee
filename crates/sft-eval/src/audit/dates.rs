//! Dates of the calendar, in one form.

use super::spoken;
use crate::findings::tokens::{Kind, Token};
use std::ops::Range;

/// A date, or the parts of it that a text gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Date {
    pub(crate) year: Option<u32>,
    pub(crate) month: Option<u32>,
    pub(crate) day: Option<u32>,
    /// `3/4/2019` may be 3 April or 4 March.
    swaps: bool,
    /// Its tokens.
    pub(crate) at: Range<usize>,
}

impl Date {
    /// Does a text with `other` give all parts of this date?
    pub(crate) fn is_in(&self, other: &Self) -> bool {
        let within = |mine: Option<u32>, theirs: Option<u32>| mine.is_none() || mine == theirs;
        let same = |m, d| within(m, other.month) && within(d, other.day);
        let swapped = (self.swaps || other.swaps) && same(self.day, self.month);
        within(self.year, other.year) && (same(self.month, self.day) || swapped)
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// `March`, `Sept`
fn month(token: &Token) -> Option<u32> {
    let text = token.text.as_str();
    let short = (3..=4).contains(&text.len());
    let at = MONTHS.iter().position(|name| *name == text || short && name.starts_with(text))?;
    token.is_word().then_some(at as u32 + 1)
}

fn whole(token: &Token) -> Option<u32> {
    match token.kind {
        Kind::Number(value) if value.fract() == 0.0 && (0.0..10_000.0).contains(&value) => {
            Some(value as u32)
        }
        Kind::Word => {
            let digits = token.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            digits.parse().ok().filter(|_| token.text.len() == digits.len() + 2)
        }
        _ => None,
    }
}

/// `third`, and `twentieth` to `thirtieth` alone.
fn ordinal(token: &Token) -> Option<u32> {
    const ORDINALS: [&str; 20] = [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "sixth",
        "seventh",
        "eighth",
        "ninth",
        "tenth",
        "eleventh",
        "twelfth",
        "thirteenth",
        "fourteenth",
        "fifteenth",
        "sixteenth",
        "seventeenth",
        "eighteenth",
        "nineteenth",
        "twentieth",
    ];
    let at = ORDINALS.iter().position(|word| *word == token.text).map(|at| at as u32 + 1);
    at.or(token.is(&["thirtieth"]).then_some(30))
}

/// A day of the month, and where it ends: `4`, `4th`, `fourth`, `twenty fourth`.
fn day_at(tokens: &[Token], at: usize) -> Option<(u32, usize)> {
    let token = tokens.get(at)?;
    let tens = if token.is(&["twenty"]) { 20 } else { 30 };
    if token.is(&["twenty", "thirty"])
        && let Some(ones) = tokens.get(at + 1).and_then(ordinal).filter(|ones| *ones < 10)
    {
        return Some((tens + ones, at + 2));
    }
    let small = || spoken::value(token).filter(|n| n.fract() == 0.0 && (1.0..=31.0).contains(n));
    day(token)
        .or_else(|| ordinal(token))
        .or_else(|| small().map(|n| n as u32))
        .map(|day| (day, at + 1))
}

fn day(token: &Token) -> Option<u32> {
    whole(token).filter(|day| (1..=31).contains(day))
}

fn year(token: &Token) -> Option<u32> {
    whole(token).filter(|year| (1900..=2099).contains(year) && token.text.len() == 4)
}

/// Two digits are a year of this or of the last century.
fn any_year(token: &Token) -> Option<u32> {
    let short = |year: u32| if year < 40 { 2000 + year } else { 1900 + year };
    year(token).or_else(|| whole(token).filter(|y| *y < 100 && token.text.len() == 2).map(short))
}

/// The dates of a text.
pub(crate) fn dates(tokens: &[Token]) -> Vec<Date> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match date(tokens, at) {
            Some(date) => {
                at = date.at.end;
                found.push(date);
            }
            None => at += 1,
        }
    }
    found
}

fn date(tokens: &[Token], at: usize) -> Option<Date> {
    let get = |i: usize| tokens.get(i);
    let is = |i: usize, text: &str| get(i).is_some_and(|t| t.text == text);
    let parts = |year, month, day, swaps, end| Some(Date { year, month, day, swaps, at: at..end });
    let token = get(at)?;
    if let Kind::Ratio(a, b) = token.kind {
        let (a, b) = (a as u32, b as u32);
        let (in_month, in_day) = ((1..=12).contains(&a), (1..=31).contains(&a));
        // 3/4/2019, 3/4/19
        if is(at + 1, "/")
            && in_day
            && (1..=31).contains(&b)
            && let Some(year) = get(at + 2).and_then(any_year)
        {
            return parts(Some(year), Some(a), Some(b), true, at + 3);
        }
        // 3/2019
        if in_month && (1900..=2099).contains(&b) {
            return parts(Some(b), Some(a), None, false, at + 1);
        }
        // 3/98: no pressure and no score is so low of so much
        if in_month && (32..=99).contains(&b) {
            return parts(Some(1900 + b), Some(a), None, false, at + 1);
        }
        return None;
    }
    let dashes = get(at + 1).is_some_and(|t| t.kind == Kind::Dash)
        && get(at + 3).is_some_and(|t| t.kind == Kind::Dash);
    if dashes && let (Some(middle), Some(last)) = (get(at + 2).and_then(day), get(at + 4)) {
        if let (Some(year), Some(day)) = (year(token), day(last)) {
            return parts(Some(year), Some(middle), Some(day), false, at + 5);
        }
        if let (Some(first), Some(year)) = (day(token), any_year(last)) {
            return parts(Some(year), Some(first), Some(middle), true, at + 5);
        }
    }
    if let Some(month) = month(token) {
        let name = token.text.as_str();
        let (dated, after) = match day_at(tokens, at + 1) {
            Some((day, end)) => (Some(day), end),
            None => (None, at + 1),
        };
        // `may` and `march` are words too
        if ["may", "march", "mar"].contains(&name)
            && dated.is_none()
            && get(at + 1).and_then(year).is_none()
        {
            let in_month = at > 0 && tokens[at - 1].is(&["in", "since", "last", "of"]);
            return if in_month { parts(None, Some(month), None, false, at + 1) } else { None };
        }
        let mut end = after;
        let comma = usize::from(get(end).is_some_and(|t| t.kind == Kind::Comma || t.is(&["of"])));
        let late = |token: &Token| any_year(token).filter(|year| (1932..2000).contains(year));
        let year = get(end + comma).and_then(|token| year(token).or_else(|| late(token)));
        if year.is_some() {
            end += comma + 1;
        }
        return parts(year, Some(month), dated, false, end);
    }
    if let Some((day, after)) = day_at(tokens, at)
        && let of = usize::from(is(after, "of"))
        && let Some(month) = get(after + of).and_then(month)
    {
        let end = after + of + 1;
        let year = get(end).and_then(year);
        return parts(year, Some(month), Some(day), false, end + usize::from(year.is_some()));
    }
    // a number of four digits that no unit follows
    let unit = get(at + 1).is_some_and(|t| {
        t.is_word()
            && ["mg", "ml", "units", "mcg", "kcal", "calories", "%", "ng", "/"]
                .contains(&t.text.as_str())
    });
    year(token).filter(|_| !unit).and_then(|year| parts(Some(year), None, None, false, at + 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::audit::text::read;

    fn one(text: &str) -> Date {
        let mut found = dates(&read(text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found.remove(0)
    }

    #[test]
    fn dates_in_many_spellings_are_one_date() {
        let whole = one("On March 4, 2019.");
        for text in [
            "3/4/2019",
            "03/04/19",
            "2019-03-04",
            "4 March 2019",
            "Mar 4th, 2019",
            "the 4th of March 2019",
            "March fourth two thousand nineteen",
        ] {
            assert!(whole.is_in(&one(text)) && one(text).is_in(&whole), "{text}");
        }
        for text in ["3/5/2019", "March 4, 2018", "April 4, 2019"] {
            assert!(!one(text).is_in(&whole), "{text}");
        }
        assert!(one("in 2019").is_in(&whole) && one("March 2019").is_in(&whole));
        assert!(!whole.is_in(&one("in 2019")), "the day is new");
        assert!(one("in nineteen sixty one").is_in(&one("1961")));
    }

    #[test]
    fn other_numbers_are_no_dates() {
        for text in ["2000 mg", "BP 120/80", "may have", "5/10", "on the march", "10-12 days"] {
            assert!(dates(&read(text)).is_empty(), "{text}");
        }
    }
}
