//! Planted corruptions of factual summaries, made by rules on the text alone: nothing of the audit
//! is used, so that what is planted does not depend on what it finds.

use std::collections::BTreeSet;

use sft_dataset::Record;

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Planted {
    /// A number with a unit of a dose, times ten.
    Dose,
    /// A negation dropped, or put in.
    Negation,
    /// Left for right, right for left.
    Side,
    /// Another medication of the list.
    Medication,
    /// A finding of the list that the note does not name.
    Finding,
}

pub(crate) const ALL: [Planted; 5] =
    [Planted::Dose, Planted::Negation, Planted::Side, Planted::Medication, Planted::Finding];

/// A corrupted summary, and the bytes of it that are wrong.
pub(crate) struct Corrupted {
    pub(crate) text: String,
    pub(crate) wrong: std::ops::Range<usize>,
}

/// SplitMix64, as in the library.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// A term with its synonyms, from the list that the library ships.
pub(crate) struct Term {
    pub(crate) kind: String,
    pub(crate) names: Vec<String>,
}

pub(crate) fn terms() -> Vec<Term> {
    let text = include_str!("../../data/terms.tsv");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let term = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Term { kind: fields.next()?, names: fields.collect() })
    };
    lines.filter_map(term).collect()
}

/// `None` where the summary has nothing that can be corrupted so.
pub(crate) fn plant(
    what: Planted,
    row: &Record,
    terms: &[Term],
    random: &mut Random,
) -> Option<Corrupted> {
    let (note, summary) = (&row.clinical_note, &row.model_summary);
    match what {
        Planted::Dose => dose(summary, random),
        Planted::Negation => negation(summary, random),
        Planted::Side => side(summary, random),
        Planted::Medication => medication(note, summary, terms, random),
        Planted::Finding => finding(note, summary, terms, random),
    }
}

fn replaced(text: &str, at: std::ops::Range<usize>, new: &str) -> Corrupted {
    let text = format!("{}{new}{}", &text[..at.start], &text[at.end..]);
    Corrupted { text, wrong: at.start..at.start + new.len() }
}

fn pick<T>(mut from: Vec<T>, random: &mut Random) -> Option<T> {
    let n = from.len();
    (n > 0).then(|| from.swap_remove(random.below(n)))
}

/// The words of a text with their bytes, without the punctuation around them.
fn words(text: &str) -> Vec<(std::ops::Range<usize>, &str)> {
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split(' ') {
        let word = piece.trim_matches(|c: char| ",.;:()".contains(c));
        let start = at + piece.find(word).unwrap_or(0);
        words.push((start..start + word.len(), word));
        at += piece.len() + 1;
    }
    words
}

fn dose(summary: &str, random: &mut Random) -> Option<Corrupted> {
    let words = words(summary);
    let units = ["mg", "mcg", "g", "units", "ml"];
    let doses = words.windows(2).filter(|pair| units.contains(&pair[1].1));
    let doses = doses.filter_map(|pair| Some((pair[0].0.clone(), pair[0].1.parse::<f64>().ok()?)));
    let (at, value) = pick(doses.collect(), random)?;
    Some(replaced(summary, at, &(value * 10.0).to_string()))
}

fn negation(summary: &str, random: &mut Random) -> Option<Corrupted> {
    // a sentence `No X.` becomes `The patient has X.`, and the other way round
    let (mut from, mut found) = (0, Vec::new());
    for sentence in summary.split_inclusive(". ") {
        for (old, new) in [("No ", "The patient has "), ("The patient has ", "No ")] {
            if let Some(rest) = sentence.strip_prefix(old) {
                let after = rest.trim_end_matches(['.', ' ']);
                found.push((from..from + old.len() + after.len(), format!("{new}{after}")));
            }
        }
        from += sentence.len();
    }
    let (at, new) = pick(found, random)?;
    Some(replaced(summary, at, &new))
}

fn side(summary: &str, random: &mut Random) -> Option<Corrupted> {
    let sides = words(summary).into_iter().filter_map(|(at, word)| match word {
        "left" => Some((at, "right")),
        "right" => Some((at, "left")),
        "Left" => Some((at, "Right")),
        "Right" => Some((at, "Left")),
        _ => None,
    });
    let (at, new) = pick(sides.collect(), random)?;
    Some(replaced(summary, at, new))
}

/// Does a text have a name as whole words, whatever their case?
fn has(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    text.match_indices(&name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// A term of a kind of which the note has no name.
fn foreign<'t>(kind: &str, note: &str, terms: &'t [Term], random: &mut Random) -> Option<&'t str> {
    let of_kind = terms.iter().filter(|term| term.kind == kind);
    let foreign = of_kind.filter(|term| !term.names.iter().any(|name| has(note, name)));
    // a place and a symptom may both stand in the note of `knee pain`
    let words: BTreeSet<String> =
        note.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let foreign = foreign
        .filter(|term| !term.names[0].to_lowercase().split(' ').any(|word| words.contains(word)));
    pick(foreign.map(|term| term.names[0].as_str()).collect(), random)
}

fn medication(note: &str, summary: &str, terms: &[Term], random: &mut Random) -> Option<Corrupted> {
    let names = terms.iter().filter(|term| term.kind == "medication").flat_map(|term| &term.names);
    let lower = summary.to_lowercase();
    let said = names.filter(|name| name.len() > 3 && has(summary, name));
    let longest = said.max_by_key(|name| name.len())?;
    let at = lower.find(&longest.to_lowercase())?;
    let other = foreign("medication", note, terms, random)?;
    (lower.len() == summary.len()).then(|| replaced(summary, at..at + longest.len(), other))
}

fn finding(note: &str, summary: &str, terms: &[Term], random: &mut Random) -> Option<Corrupted> {
    let other = foreign("finding", note, terms, random)?;
    let lead = if random.below(2) == 0 { "The patient has " } else { "Diagnosed with " };
    let text = format!("{} {lead}{other}.", summary.trim_end());
    let start = text.len() - other.len() - 1;
    Some(Corrupted { wrong: start..start + other.len(), text })
}
