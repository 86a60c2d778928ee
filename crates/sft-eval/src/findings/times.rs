//! Times in words, in one spelling.

use super::FindingKind;
use super::tokens::Token;

/// The time in words that begins at a place, and where it ends.
pub(crate) fn time(tokens: &[Token], at: usize) -> Option<(&'static str, usize)> {
    let word = |i: usize| tokens.get(i).filter(|t| t.is_word()).map_or("", |t| t.text.as_str());
    if matches!(word(at), "since" | "on" | "from" | "until" | "in" | "last")
        && let Some(day) = day(word(at + 1))
    {
        return Some((day, at + 2));
    }
    if let Some(day) = day(word(at)) {
        return Some((day, at + 1));
    }
    let (name, length) = match (word(at), word(at + 1), word(at + 2)) {
        ("since", "last", "night") => ("last night", 3),
        ("since", "last", "week") => ("last week", 3),
        ("since", "last", "month") => ("last month", 3),
        ("since", "last", "year") => ("last year", 3),
        ("since", "this", "morning") => ("this morning", 3),
        ("last", "night", _) => ("last night", 2),
        ("last", "week", _) => ("last week", 2),
        ("last", "month", _) => ("last month", 2),
        ("last", "year", _) => ("last year", 2),
        ("this", "morning", _) => ("this morning", 2),
        ("at" | "before", "bedtime", _) => ("at bedtime", 2),
        ("bedtime", ..) => ("at bedtime", 1),
        ("at" | "every" | "each", "night", _) => ("at night", 2),
        ("nightly" | "nocte", ..) => ("at night", 1),
        ("in" | "every" | "each", "the", "morning") => ("in the morning", 3),
        ("every" | "each", "morning", _) => ("in the morning", 2),
        ("in", "the", "evening") => ("in the evening", 3),
        ("every" | "each", "evening", _) => ("in the evening", 2),
        ("in", "the", "afternoon") => ("in the afternoon", 3),
        ("at", "noon", _) => ("at noon", 2),
        ("with", "meals" | "food", _) => ("with meals", 2),
        ("before", "meals" | "food", _) => ("before meals", 2),
        ("after", "meals" | "food", _) => ("after meals", 2),
        ("as" | "if" | "when", "needed" | "required", _) => ("as needed", 2),
        ("prn", ..) => ("as needed", 1),
        ("every", "other", "day") | ("on", "alternate", "days") => ("every other day", 3),
        _ => return None,
    };
    Some((name, at + length))
}

fn day(word: &str) -> Option<&'static str> {
    const DAYS: [&str; 11] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "yesterday",
        "today",
        "tonight",
        "tomorrow",
    ];
    DAYS.into_iter().find(|day| *day == word)
}

/// Can a finding of this kind have such a time?
pub(crate) fn fits(time: &str, kind: FindingKind) -> bool {
    match time {
        "as needed" | "every other day" | "at bedtime" | "with meals" | "before meals"
        | "after meals" => kind == FindingKind::Drug,
        _ => kind != FindingKind::Vital,
    }
}
