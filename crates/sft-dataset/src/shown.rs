//! What of a file's cells may stand in a message.
//!
//! Where columns are shifted or the header is missing, an id, a label or a column's name is a patient's note. So a
//! message shows what looks like the thing that it should be, and of anything else only how long it is.

use std::collections::BTreeMap;

/// Longest column name, label or id that is shown, in characters.
const LONGEST: usize = 32;
/// So many kinds of labels at most are labels.
const KINDS: usize = 10;
/// What columns of notes and summaries are called.
const COLUMN_WORDS: [&str; 8] =
    ["note", "summary", "label", "type", "text", "hallucination", "clinical", "model"];
/// What people write who mean `factual` or its opposite.
const LABEL_WORDS: [&str; 14] = [
    "correct",
    "incorrect",
    "right",
    "wrong",
    "true",
    "false",
    "yes",
    "no",
    "good",
    "bad",
    "supported",
    "unsupported",
    "0",
    "1",
];

/// A column's name in quotes, if it looks like one.
pub(crate) fn column(name: &str) -> String {
    if is_column(name) { format!("`{name}`") } else { hidden(name) }
}

/// Whether a text of a header looks like a column's name: one word, or a few of which one is usual in such names.
pub(crate) fn is_column(name: &str) -> bool {
    let known = || COLUMN_WORDS.iter().any(|word| name.to_lowercase().contains(word));
    let letters = |c: char| c.is_alphabetic() || "_- .".contains(c);
    let words = name.split([' ', '_', '-', '.']).count();
    let fits = !name.is_empty() && name.chars().count() <= LONGEST && name.chars().all(letters);
    fits && (!name.contains([' ', '.']) || words <= 4 && known())
}

/// An id, if it looks like one: up to two words.
pub(crate) fn id(id: &str) -> String {
    let short = id.chars().count() <= LONGEST && id.split_whitespace().count() <= 2;
    if short && !id.contains(char::is_control) { id.to_owned() } else { hidden(id) }
}

/// Names of kinds (labels, types of hallucination) with their counts, those that look like names: up to three words,
/// which several rows have or, as one word of few, one. The others together are `(other)`.
pub fn shown_kinds(counts: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let is_name = |name: &str, rows: usize| {
        let words = name.split_whitespace().count();
        let short = name.chars().count() <= LONGEST && !name.contains(char::is_control);
        short && (rows > 1 && words <= 3 || words <= 1 && counts.len() <= KINDS)
    };
    let mut shown = BTreeMap::new();
    for (name, &rows) in counts {
        let many = shown.len() >= 2 * KINDS;
        let name = if is_name(name, rows) && !many { name.as_str() } else { "(other)" };
        *shown.entry(name.to_owned()).or_insert(0) += rows;
    }
    shown
}

/// `factual 12, hallucinated 3`: labels with their counts. A label is empty, close to one of the two, a usual word for
/// them, or a word that several rows have, where there are few such words.
pub(crate) fn labels(labels: &BTreeMap<String, usize>) -> String {
    let is_label = |label: &str, rows: usize| {
        let word = label.chars().count() <= LONGEST && !label.contains(char::is_whitespace);
        let close = label.starts_with("fact") || label.starts_with("halluc");
        let close = close || LABEL_WORDS.contains(&label);
        label.is_empty() || word && (close || rows > 1 && labels.len() <= KINDS)
    };
    let (shown, others): (Vec<_>, Vec<_>) =
        labels.iter().partition(|(label, rows)| is_label(label, **rows));
    let name = |label: &str| if label.is_empty() { "(empty)".to_owned() } else { label.to_owned() };
    let mut parts: Vec<_> =
        shown.into_iter().map(|(label, rows)| format!("{} {rows}", name(label))).collect();
    let lengths = || others.iter().map(|(label, _)| label.chars().count());
    if let (Some(shortest), Some(longest)) = (lengths().min(), lengths().max()) {
        let rows: usize = others.iter().map(|(_, rows)| **rows).sum();
        let range = if shortest == longest { String::new() } else { format!("{shortest} to ") };
        parts.push(format!(
            "other texts {rows} (of {range}{longest} characters, not shown: is this the column of labels?)"
        ));
    }
    parts.join(", ")
}

fn hidden(text: &str) -> String {
    format!("(a text of {} characters)", text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_where_they_are_kinds() {
        let of = |kinds: &[(&str, usize)]| {
            let counts = kinds.iter().map(|&(name, rows)| (name.to_owned(), rows)).collect();
            shown_kinds(&counts).into_iter().collect::<Vec<_>>()
        };
        let named = [("invented finding", 3), ("wrong_dose", 1)];
        assert_eq!(of(&named), named.map(|(name, rows)| (name.to_owned(), rows)));
        let text = [
            ("fever since Monday", 1),
            ("the patient says that he fell twice", 4),
            ("a\u{1b}[31m", 2),
        ];
        assert_eq!(of(&text), [("(other)".to_owned(), 7)]);
    }

    #[test]
    fn names_are_shown_and_notes_are_not() {
        for name in ["Note", "Clinical Note", "model_summary", "Größe", "hallucination-type"] {
            assert_eq!(column(name), format!("`{name}`"));
        }
        for note in ["John Smith", "Note: fever", "MRN 12345", "12345", "id;note", "", "a\nnote"] {
            assert_eq!(column(note), format!("(a text of {} characters)", note.chars().count()));
        }
        assert!(!is_column(&"note".repeat(9)));
    }

    #[test]
    fn ids_are_shown_and_notes_are_not() {
        for name in ["17", "row 17", "note-17/b"] {
            assert_eq!(id(name), name);
        }
        for note in ["Fever since Monday", "a\u{1b}[2J", &"x".repeat(33)] {
            assert!(id(note).starts_with("(a text of"), "{note:?}");
        }
    }

    #[test]
    fn labels_are_shown_and_notes_are_not() {
        let of = |all: &[(&str, usize)]| {
            labels(&all.iter().map(|(label, rows)| ((*label).to_owned(), *rows)).collect())
        };
        assert_eq!(
            of(&[("factual", 3), ("", 1), ("factuall", 1)]),
            "(empty) 1, factual 3, factuall 1"
        );
        assert_eq!(of(&[("correct", 3), ("wrong", 2)]), "correct 3, wrong 2");
        let hidden = of(&[("factual", 3), ("smith", 1), ("fever since monday", 7)]);
        assert!(hidden.starts_with("factual 3, other texts 8 (of 5 to 18 characters"), "{hidden}");
        let many: Vec<String> = (0..11).map(|i| format!("name{i}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), 2)).collect();
        assert!(!of(&many).contains("name"), "{}", of(&many));
    }
}
