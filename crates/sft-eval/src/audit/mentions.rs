//! Where a text names terms, and where in the body it says they are.

use std::collections::BTreeSet;
use std::ops::Range;

use super::terms::{Concept, TermKind, Terms};
use super::text::in_capitals;
use crate::findings::frame::JOINS;
use crate::findings::tokens::{Kind, Token};

/// A name of a term in a text.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// The longest name here may be one of several terms; of these the last of the list.
    pub(crate) entry: usize,
    /// Its tokens.
    pub(crate) at: Range<usize>,
}

/// A term in a text, with the places said of it.
#[derive(Debug, Clone)]
pub(crate) struct Mention {
    pub(crate) entry: usize,
    pub(crate) kind: TermKind,
    pub(crate) concept: Concept,
    pub(crate) at: Range<usize>,
}

/// Every name, in order, without overlaps; at each place the longest. `but`: not this term.
pub(crate) fn find(tokens: &[Token], terms: &Terms, but: Option<usize>) -> Vec<Found> {
    find_in("", tokens, terms, but)
}

fn find_in(text: &str, tokens: &[Token], terms: &Terms, but: Option<usize>) -> Vec<Found> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let patterns = terms.patterns.get(&tokens[at].stem).map_or(&[][..], Vec::as_slice);
        let fits = patterns.iter().filter(|pattern| {
            let Some(here) = tokens.get(at..at + pattern.words.len()) else { return false };
            but != Some(pattern.entry)
                && here
                    .iter()
                    .zip(&pattern.words)
                    .all(|(t, word)| t.has_content() && t.stem == *word)
                && (!pattern.capitals
                    || text.is_empty()
                    || here.iter().all(|t| in_capitals(text, t)))
        });
        match fits.max_by_key(|pattern| (pattern.words.len(), pattern.entry)) {
            Some(pattern) => {
                let end = at + pattern.words.len();
                found.push(Found { entry: pattern.entry, at: at..end });
                at = end;
            }
            None => at += 1,
        }
    }
    found
}

/// The terms of a text, places among them.
pub(crate) fn mentions(text: &str, tokens: &[Token], terms: &Terms) -> Vec<Mention> {
    let found = find_in(text, tokens, terms, None);
    let mention = |i: usize| {
        let Found { entry, at } = found[i].clone();
        let kind = terms.entries[entry].kind;
        let mut concept = terms.entries[entry].concept.clone();
        if kind == TermKind::Finding {
            concept.sites.extend(sites(tokens, terms, &found, i));
        }
        Mention { entry, kind, concept, at }
    };
    (0..found.len()).map(mention).collect()
}

/// Words between a finding and the place it is in.
const PREPOSITIONS: &[&str] = &[
    "in",
    "of",
    "on",
    "at",
    "over",
    "to",
    "around",
    "behind",
    "under",
    "along",
    "inside",
    "from",
    "across",
    "near",
    "throughout",
    "involving",
    "down",
];
/// Words that may stand before a place.
const BEFORE_SITE: &[&str] = &[
    "the",
    "my",
    "his",
    "her",
    "their",
    "your",
    "a",
    "an",
    "both",
    "left",
    "right",
    "bilateral",
    "sided",
    "side",
    "of",
    "upper",
    "lower",
    "entire",
    "whole",
    "anterior",
    "posterior",
    "lateral",
    "medial",
    "inner",
    "outer",
    "distal",
    "proximal",
    "mid",
    "back",
    "front",
    "top",
    "part",
    "area",
    "bottom",
    "all",
];
/// Words between a place and what is said of it: `my knee is really swollen`.
const BETWEEN: &[&str] = &[
    "is",
    "was",
    "are",
    "were",
    "feels",
    "felt",
    "feel",
    "looks",
    "looked",
    "been",
    "has",
    "have",
    "had",
    "gets",
    "got",
    "very",
    "really",
    "so",
    "quite",
    "a",
    "little",
    "bit",
    "also",
    "still",
    "started",
    "joint",
    "joints",
    "area",
    "region",
    "sided",
    "side",
    "becomes",
    "became",
    "severe",
    "mild",
    "moderate",
    "some",
    "just",
    "kind",
    "of",
    "pretty",
    "always",
    "slightly",
    "mildly",
    "left",
    "right",
    "chronic",
    "acute",
    "region",
    "appears",
    "no",
    "significant",
    "and",
    "or",
];

/// The places said of the finding `found[i]`.
fn sites(tokens: &[Token], terms: &Terms, found: &[Found], i: usize) -> BTreeSet<usize> {
    let is_site = |f: &&Found| terms.entries[f.entry].kind == TermKind::Site;
    let only = |range: Range<usize>, words: &[&str]| {
        tokens.get(range).is_some_and(|gap| gap.iter().all(|t| t.is(words)))
    };
    let mut sites = BTreeSet::new();
    // before it: `knee and hip pain`, `my knee is swollen`
    let mut start = found[i].at.start;
    for before in found[..i].iter().rev().take_while(is_site) {
        let gap = &tokens[before.at.end..start];
        let joins = |t: &Token| t.is(JOINS) || t.kind == Kind::Comma;
        let list = start < found[i].at.start
            && gap.iter().any(joins)
            && gap.len() < 3
            && gap.iter().all(|t| joins(t) || t.side().is_some());
        let close =
            start == found[i].at.start && gap.len() <= 5 && gap.iter().all(|t| t.is(BETWEEN));
        if !list && !close {
            break;
        }
        sites.insert(before.entry);
        start = before.at.start;
    }
    // after it: `pain in the left knee and the hip`
    let mut end = found[i].at.end;
    for after in found[i + 1..].iter().take_while(is_site) {
        let gap = &tokens[end..after.at.start];
        let joins = gap.first().is_some_and(|t| t.is(JOINS) || t.kind == Kind::Comma);
        let leads = if sites.is_empty() || end == found[i].at.end {
            gap.first().is_some_and(|t| t.is(PREPOSITIONS))
        } else {
            joins
        };
        if !leads
            || gap.len() > 5
            || !only(end + 1..after.at.start, &[BEFORE_SITE, PREPOSITIONS].concat())
        {
            break;
        }
        sites.insert(after.entry);
        end = after.at.end;
    }
    sites
}
