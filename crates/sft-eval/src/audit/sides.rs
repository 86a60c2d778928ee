//! Left, right or both, and of what.

use std::collections::BTreeSet;
use std::ops::Range;

use super::mentions::Mention;
use super::terms::TermKind;
use crate::findings::Side;
use crate::findings::frame::{FRAME, VERBS};
use crate::findings::tokens::{Kind, Token};

/// What a side is said of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Anchor {
    /// A place or a finding of the list.
    Term(usize),
    /// Another word.
    Word(String),
}

/// A side in a text.
#[derive(Debug, Clone)]
pub(crate) struct Sided {
    pub(crate) side: Side,
    /// Its token.
    pub(crate) at: usize,
    /// Never empty.
    pub(crate) anchors: BTreeSet<Anchor>,
}

/// Every side of a text that is said of something.
pub(crate) fn sides(
    tokens: &[Token],
    sentences: &[Range<usize>],
    mentions: &[Mention],
) -> Vec<Sided> {
    let mut named = vec![false; tokens.len()];
    for mention in mentions {
        named[mention.at.clone()].fill(true);
    }
    let mut sides = Vec::new();
    for sentence in sentences {
        for at in sentence.clone() {
            let both = tokens[at].is(&["both"]).then_some(Side::Bilateral);
            let Some(side) = tokens[at].side().or(both).filter(|_| !named[at]) else { continue };
            let anchors = anchors(tokens, sentence, mentions, at);
            if !anchors.is_empty() {
                sides.push(Sided { side, at, anchors });
            }
        }
    }
    sides
}

/// Not a side: `left the hospital`, `right now`, `..., right?`, `Right.`, `right handed`.
pub(crate) fn is_other(tokens: &[Token], at: usize) -> bool {
    let near = |i: Option<usize>, words: &[&str]| {
        i.and_then(|i| tokens.get(i)).is_some_and(|t| t.is(words))
    };
    let (before, after) = (at.checked_sub(1), Some(at + 1));
    match tokens[at].text.as_str() {
        "left" if near(before, &["the", "on", "his", "her", "my"]) => false,
        "left" => {
            near(
                before,
                &["he", "she", "patient", "i", "they", "we", "have", "who", "just", "then"],
            ) || near(
                after,
                &["the", "her", "his", "against", "me", "my", "for", "work", "without", "over"],
            )
        }
        "right" => {
            let begins = before.is_none_or(|i| !tokens[i].has_content());
            let ends = tokens.get(at + 1).is_none_or(|t| !t.has_content());
            let asks = tokens.get(at + 1).is_some_and(|t| t.text == "?");
            begins && ends
                || asks
                || near(after, &["handed", "hander"])
                || near(before, &["all", "that", "is", "yeah", "yes", "okay", "alright"])
                || near(
                    after,
                    &[
                        "now",
                        "away",
                        "after",
                        "before",
                        "there",
                        "here",
                        "i",
                        "then",
                        "so",
                        "direction",
                    ],
                )
        }
        _ => false,
    }
}

fn anchors(
    tokens: &[Token],
    sentence: &Range<usize>,
    mentions: &[Mention],
    at: usize,
) -> BTreeSet<Anchor> {
    let mut anchors = BTreeSet::new();
    if is_other(tokens, at) {
        return anchors;
    }
    let is_named = |i: usize| {
        let at = mentions.binary_search_by_key(&i, |mention| mention.at.start);
        at.ok().map(|at| &mentions[at])
    };
    let anchored = |mention: &Mention, anchors: &mut BTreeSet<Anchor>| {
        if matches!(mention.kind, TermKind::Site) {
            anchors.insert(Anchor::Term(mention.entry));
        } else if mention.kind.is_judged() {
            anchors.insert(Anchor::Term(mention.concept.base));
            anchors.extend(mention.concept.sites.iter().map(|site| Anchor::Term(*site)));
        }
    };
    // what stands behind it, up to the first finding
    let (mut i, mut gap, mut word) = (at + 1, 0, None);
    while i < sentence.end && gap < 5 {
        let token = &tokens[i];
        if matches!(token.kind, Kind::Semicolon | Kind::Colon) || token.is(VERBS) {
            break;
        }
        let joins = token.kind == Kind::Comma || token.is(&["and", "or"]);
        if joins && (!anchors.is_empty() || token.kind == Kind::Comma) {
            break;
        }
        if let Some(mention) = is_named(i) {
            anchored(mention, &mut anchors);
            i = mention.at.end;
            if mention.kind.is_judged() {
                break;
            }
            gap += 1;
            continue;
        }
        if token.side().is_some() && !anchors.is_empty() {
            break;
        }
        let says = token.is_word()
            && token.side().is_none()
            && !FRAME.contains(&token.stem.as_str())
            && !token.is(&["upper", "lower", "total", "partial", "sided", "greater", "than"]);
        if says && word.is_none() && gap < 2 {
            word = Some(Anchor::Word(token.stem.clone()));
        }
        (i, gap) = (i + 1, gap + 1);
    }
    let next = tokens.get(at + 1).filter(|_| at + 1 < sentence.end);
    let trails =
        next.is_none_or(|t| !t.has_content() || t.is(&["side", "and", "or", "than", "worse"]));
    // `pain in the shoulder, left`; `hurts on the right`
    if trails && anchors.is_empty() {
        let before = mentions.iter().rfind(|m| m.at.end <= at && m.at.start >= sentence.start);
        if let Some(mention) = before.filter(|m| at - m.at.end < 8) {
            anchored(mention, &mut anchors);
        }
    }
    if anchors.is_empty() && !trails {
        anchors.extend(word);
    }
    anchors
}

/// Does a note that says `note` of something support `side`?
pub(crate) fn supports(note: &BTreeSet<Side>, side: Side) -> bool {
    note.contains(&side)
        || note.contains(&Side::Bilateral)
        || side == Side::Bilateral && note.contains(&Side::Left) && note.contains(&Side::Right)
}
