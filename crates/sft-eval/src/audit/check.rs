//! A summary against its note.

use std::collections::BTreeSet;
use std::ops::Range;

use super::amounts::{Amount, Measure, counts_items, numbers};
use super::cues::DEGREES;
use super::mentions::Mention;
use super::polarity::Polarity;
use super::reading::{Reading, stem};
use super::sides::{Anchor, Sided, is_other, supports};
use super::terms::{TermKind, Terms};
use super::{Audit, Kind, Unsupported};
use crate::findings::Side;
use crate::findings::frame::FRAME;
use crate::findings::tokens;

/// A note that summaries are compared with.
pub(crate) struct Source<'t> {
    terms: &'t Terms,
    reading: Reading,
    /// Of each sentence, with the next one.
    bags: Vec<BTreeSet<String>>,
    numbers: Vec<f64>,
    sites: BTreeSet<usize>,
}

impl<'t> Source<'t> {
    pub(crate) fn new(note: &str, terms: &'t Terms) -> Self {
        let reading = Reading::new(note, terms);
        let bags: Vec<_> = reading.sentences.iter().map(|s| reading.bag(s, terms)).collect();
        let next = bags.iter().skip(1).cloned().chain([BTreeSet::new()]);
        let bags = bags.iter().cloned().zip(next).map(|(mut bag, next)| {
            bag.extend(next);
            bag
        });
        let sites = reading.mentions.iter().filter(|m| m.kind == TermKind::Site).map(|m| m.entry);
        Self {
            bags: bags.collect(),
            numbers: numbers(&reading.tokens),
            sites: sites
                .chain(reading.mentions.iter().flat_map(|m| m.concept.sites.clone()))
                .collect(),
            terms,
            reading,
        }
    }

    pub(crate) fn check(&self, summary: &str) -> Audit {
        let ours = Reading::new(summary, self.terms);
        let mut audit = Audit::default();
        let mut add = |at: Range<usize>, problem: Option<(Kind, String)>| {
            audit.facts += 1;
            if let Some((kind, why)) = problem {
                let span = ours.span(&at);
                let text = summary[span.clone()].to_owned();
                audit.unsupported.push(Unsupported {
                    start: span.start,
                    end: span.end,
                    kind,
                    text,
                    why,
                });
            }
        };
        for mention in ours.mentions.iter().filter(|m| m.kind.is_judged()) {
            // a heading
            if ours.tokens.get(mention.at.end).is_some_and(|t| t.kind == tokens::Kind::Colon) {
                continue;
            }
            add(mention.at.clone(), self.mention(&ours, mention));
        }
        for sided in &ours.sides {
            add(sided.at..sided.at + 1, self.side(sided));
        }
        for amount in ours.amounts.iter().filter(|amount| is_judged(summary, &ours, amount)) {
            add(amount.at.clone(), self.amount(amount));
        }
        for date in &ours.dates {
            let known = self.reading.dates.iter().any(|theirs| date.is_in(theirs));
            let problem =
                (!known).then(|| (Kind::Date, "the note does not give this date".to_owned()));
            add(date.at.clone(), problem);
        }
        audit.unsupported.sort_by_key(|unsupported| (unsupported.start, unsupported.end));
        audit
    }

    /// Is a term in the note, and affirmed or denied as here?
    fn mention(&self, ours: &Reading, mention: &Mention) -> Option<(Kind, String)> {
        let name = &self.terms.entries[mention.entry].name;
        let polarity = ours.polarity[mention.at.start];
        let same = |m: &&Mention| m.concept.base == mention.concept.base;
        let named: Vec<&Mention> = self.reading.mentions.iter().filter(same).collect();
        let mine = &mention.concept.sites;
        let here = |m: &&&Mention| {
            let theirs = &m.concept.sites;
            mine.is_empty() || theirs.is_empty() || !mine.is_disjoint(theirs)
        };
        let placed: Vec<&&Mention> = named.iter().filter(here).collect();
        // what is said of the same place goes before what is said of none
        let near = placed.iter().any(|m| !mine.is_disjoint(&m.concept.sites));
        let near = |m: &&&&Mention| !near || !mine.is_disjoint(&m.concept.sites);
        let mut told: Vec<Polarity> =
            placed.iter().filter(near).map(|m| self.reading.polarity[m.at.start]).collect();
        if told.is_empty() {
            let words = words(ours, mention);
            if let (true, Some(polarities)) = (named.is_empty(), self.loosely(&words, mention)) {
                told = polarities;
            } else if named.is_empty() {
                let kind = match mention.kind {
                    TermKind::Medication => Kind::Medication,
                    TermKind::Procedure => Kind::Procedure,
                    _ => Kind::Finding,
                };
                return Some((kind, format!("the note does not mention {name}")));
            } else {
                told = vec![Polarity::Open];
            }
        }
        if !mine.is_empty() && placed.is_empty() && mine.is_disjoint(&self.sites) {
            let places: Vec<&str> =
                mine.iter().map(|s| self.terms.entries[*s].name.as_str()).collect();
            let why = format!("the note does not mention the {} with {name}", places.join(", "));
            return Some((Kind::Finding, why));
        }
        let degrees = |reading: &Reading, at: usize| -> Vec<String> {
            let before = reading.tokens[at.saturating_sub(3)..at].iter().filter(|t| t.is(DEGREES));
            before.map(|t| t.text.clone()).collect()
        };
        let polarity = match polarity {
            // `no severe X` of a note that has `severe X`
            Polarity::Lessened => {
                let mine = degrees(ours, mention.at.start);
                let same = |m: &Mention| {
                    degrees(&self.reading, m.at.start).iter().any(|degree| mine.contains(degree))
                };
                if placed.iter().any(|m| same(m)) { Polarity::Negated } else { Polarity::Open }
            }
            told => told,
        };
        let all = |wanted| told.iter().all(|told| *told == wanted);
        match polarity {
            Polarity::Affirmed if all(Polarity::Negated) => {
                Some((Kind::Negation, format!("the note denies {name}")))
            }
            Polarity::Negated if all(Polarity::Affirmed) => {
                Some((Kind::Negation, format!("the note affirms {name}")))
            }
            _ => None,
        }
    }

    /// What the note says where it has the words of the mention, or of another name of it, near
    /// each other.
    fn loosely(&self, words: &[String], mention: &Mention) -> Option<Vec<Polarity>> {
        let bags = self.bags.iter();
        let near = |words: &[String]| {
            !words.is_empty() && bags.clone().any(|bag| words.iter().all(|word| bag.contains(word)))
        };
        if near(words) {
            if let [word] = words {
                let said = self.reading.tokens.iter().zip(&self.reading.polarity);
                let said = said.filter(|(t, _)| stem(&t.stem) == *word).map(|(_, told)| *told);
                let said: Vec<Polarity> = said.collect();
                if !said.is_empty() {
                    return Some(said);
                }
            }
            return Some(vec![Polarity::Open]);
        }
        let base = &self.terms.entries[mention.concept.base];
        let others = self.terms.entries[mention.entry].names.iter().chain(&base.names);
        let found = others.into_iter().any(|name| {
            let says = |word: &&String| !FRAME.contains(&word.as_str());
            let words: Vec<String> = name.iter().filter(says).map(|word| stem(word)).collect();
            (words.len() > 1 || words.iter().any(|word| word.len() > 3)) && near(&words)
        });
        found.then(|| vec![Polarity::Open])
    }

    fn side(&self, sided: &Sided) -> Option<(Kind, String)> {
        let theirs = &self.reading.sides;
        let related = theirs.iter().filter(|s| !s.anchors.is_disjoint(&sided.anchors));
        let mut sides: BTreeSet<Side> = related.map(|s| s.side).collect();
        let of = sided.anchors.iter().map(|anchor| match anchor {
            Anchor::Term(entry) => self.terms.entries[*entry].name.as_str(),
            Anchor::Word(word) => word.as_str(),
        });
        let of: Vec<&str> = of.collect();
        let side = sided.side.name();
        if sides.is_empty() {
            // said of something else, or of nothing that was understood
            sides = theirs.iter().map(|s| s.side).collect();
            let words = &self.reading.tokens;
            let plain = (0..words.len()).filter(|&at| !is_other(words, at));
            sides.extend(plain.filter_map(|at| words[at].side()));
            if !supports(&sides, sided.side) {
                return Some((
                    Kind::Side,
                    format!("the note does not say {side} of {}", of.join(", ")),
                ));
            }
            return None;
        }
        if supports(&sides, sided.side) {
            return None;
        }
        let told: Vec<&str> = sides.iter().map(|side| side.name()).collect();
        Some((
            Kind::Side,
            format!("the note says {} of {}, not {side}", told.join(" and "), of.join(", ")),
        ))
    }

    fn amount(&self, amount: &Amount) -> Option<(Kind, String)> {
        let theirs = &self.reading.amounts;
        if let Some(drug) = amount.of {
            let said = theirs.iter().filter(|t| t.of == Some(drug) && t.compares(amount));
            let said: Vec<&Amount> = said.collect();
            if said.iter().any(|t| amount.agrees(t)) {
                return None;
            }
            if !said.is_empty() {
                let name = &self.terms.entries[drug].name;
                return Some((kind(amount), format!("the note says another one of {name}")));
            }
        }
        let has = |value: f64| self.numbers.iter().any(|n| (n - value).abs() <= 1e-9 * value.abs());
        let word = |words: &[&str]| self.reading.tokens.iter().any(|t| t.is(words));
        let time = |name: &str| {
            theirs.iter().any(|t| matches!(t.measure, Measure::Words(words) if words == name))
        };
        let supported = theirs.iter().any(|t| amount.agrees(t))
            || match amount.measure {
                Measure::Plain => has(amount.value),
                Measure::Ratio(b) => has(amount.value) && has(b),
                Measure::Words("as needed") => {
                    word(&["needed", "prn", "necessary", "required", "need"])
                }
                Measure::Words("at bedtime" | "at night") => {
                    word(&["bed", "bedtime", "night", "nightly", "sleep"])
                }
                Measure::Words("in the morning" | "this morning") => word(&["morning", "am"]),
                Measure::Rate if amount.value == 2.0 => {
                    word(&["twice"])
                        || time("in the morning")
                            && (time("at night") || time("in the evening") || time("at bedtime"))
                }
                Measure::Rate if amount.value == 1.0 => {
                    word(&["daily", "day", "morning", "night", "nightly"])
                }
                _ => false,
            };
        (!supported).then(|| (kind(amount), "the note does not give this".to_owned()))
    }
}

/// Times that are about the note itself, and numbers that may have been counted, are not judged.
fn is_judged(text: &str, ours: &Reading, amount: &Amount) -> bool {
    let first = &ours.tokens[amount.at.start];
    if counts_items(text, &ours.tokens, amount.at.start) {
        return false;
    }
    match amount.measure {
        Measure::Words(words) => !["today", "tonight", "tomorrow", "this morning"].contains(&words),
        Measure::Duration | Measure::Unit(_) | Measure::Dose(_) => !first.is(&["a", "an"]),
        Measure::Plain => !first.is(&["zero", "one"]),
        // of an eye
        Measure::Rate => amount.of.is_some() || !first.is(&["od"]),
        Measure::Ratio(_) => true,
    }
}

fn kind(amount: &Amount) -> Kind {
    match amount.measure {
        Measure::Dose(_) => Kind::Dose,
        Measure::Rate
        | Measure::Words(
            "as needed" | "with meals" | "before meals" | "after meals" | "at bedtime",
        ) => Kind::Frequency,
        Measure::Duration => Kind::Duration,
        Measure::Words(_) => Kind::Date,
        _ => Kind::Number,
    }
}

/// The stems of a mention's words that say something.
fn words(ours: &Reading, mention: &Mention) -> Vec<String> {
    let words = ours.tokens[mention.at.clone()].iter();
    let words = words.filter(|t| t.is_word() && !FRAME.contains(&t.stem.as_str()));
    words.map(|t| stem(&t.stem)).collect()
}
