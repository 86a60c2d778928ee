//! Which mentions a text negates.

use super::frame::{BREAKS, JOINS, TEST_VERBS, VERBS};
use super::mentions::Mention;
use super::tokens::{Kind, Token};
use super::{Finding, FindingKind};
use std::ops::Range;

/// What negations do to a text.
pub(crate) struct Negations {
    /// Of each mention.
    pub(crate) negated: Vec<bool>,
    /// Of each token: is it a cue that negates? Such a word states nothing else.
    pub(crate) cues: Vec<bool>,
    /// Of each token: does a negation reach it?
    pub(crate) denied: Vec<bool>,
}

pub(crate) fn is_join(token: &Token) -> bool {
    token.kind == Kind::Comma || token.is(JOINS)
}

pub(crate) fn is_break(token: &Token) -> bool {
    token.kind == Kind::Semicolon || token.is(BREAKS)
}

/// Reads the cues of each sentence. `listed[i]`: mention i continues the list of mention i - 1.
pub(crate) fn negations(
    tokens: &[Token],
    sentences: &[Range<usize>],
    mentions: &[Mention],
    listed: &[bool],
    findings: &[Finding],
) -> Negations {
    let mut result = Negations {
        negated: vec![false; mentions.len()],
        cues: vec![false; tokens.len()],
        denied: vec![false; tokens.len()],
    };
    for i in 0..mentions.len() {
        let ends_list = !listed.get(i + 1).copied().unwrap_or(false);
        let is_test = findings[mentions[i].findings[0]].kind == FindingKind::Test;
        let cue = if ends_list { backward(tokens, mentions[i].at.end, is_test) } else { None };
        if let Some(cue) = cue {
            result.cues[cue].fill(true);
            let first = (0..=i).rev().find(|&m| !listed[m]).unwrap_or(i);
            result.negated[first..=i].fill(true);
        }
    }
    for sentence in sentences {
        forward(tokens, sentence.clone(), mentions, findings, &mut result);
    }
    for at in 0..tokens.len() {
        let behind = tokens[at].is_word() && !result.cues[at];
        if behind && let Some(cue) = backward(tokens, at + 1, true) {
            result.cues[cue].fill(true);
            result.denied[at] = true;
        }
    }
    result
}

/// `is denied`, `: none`, `was ruled out` after a mention: the cue's tokens.
fn backward(tokens: &[Token], end: usize, is_test: bool) -> Option<Range<usize>> {
    let mut at = end;
    let skipped = |t: &Token| {
        t.kind == Kind::Colon
            || t.is(&["is", "are", "was", "were", "has", "have", "been", "also", "both"])
    };
    while tokens.get(at).is_some_and(skipped) {
        at += 1;
    }
    let ends =
        |i: usize| tokens.get(i).is_none_or(|t| !t.has_content() || is_join(t) || is_break(t));
    let token = tokens.get(at)?;
    let next = |words: &[&str]| tokens.get(at + 1).is_some_and(|t| t.is(words));
    let linked = at > end;
    if token.is(&["absent", "excluded"]) || token.is(&["negative"]) && !is_test && !next(&["for"]) {
        return Some(at..at + 1);
    }
    if token.is(&["denied", "none", "no"]) && (ends(at + 1) || linked && token.is(&["denied"])) {
        return Some(at..at + 1);
    }
    if token.is(&["ruled"]) && next(&["out"]) {
        return Some(at..at + 2);
    }
    let participle = [
        "reported",
        "present",
        "noted",
        "seen",
        "found",
        "observed",
        "described",
        "mentioned",
        "evident",
        "detected",
        "performed",
        "done",
        "given",
        "prescribed",
        "taken",
        "diagnosed",
        "experienced",
        "started",
    ];
    let not = token.is(&["not"]) && linked && (ends(at + 1) || next(&participle));
    not.then_some(at..at + 1)
}

/// The cue that begins here and negates what follows: how many tokens it has.
fn cue(tokens: &[Token], at: usize) -> usize {
    let next = |words: &[&str]| tokens.get(at + 1).is_some_and(|t| t.is(words));
    let token = &tokens[at];
    let single = [
        "no", "not", "nor", "neither", "never", "without", "denies", "denied", "deny", "denying",
        "absence", "lacks",
    ];
    match () {
        () if token.is(&single) => 1,
        () if token.is(&["negative"]) && next(&["for"]) => 2,
        () if token.is(&["free"]) && next(&["of", "from"]) => 2,
        () if token.is(&["none", "lack"]) && next(&["of"]) => 2,
        () if token.is(&["ruled"]) && next(&["out"]) => 2,
        () => 0,
    }
}

/// Does a mention stand behind a result and a preposition?
fn said_on(tokens: &[Token], mention: usize, cues: &[bool]) -> bool {
    let skipped =
        |t: &Token| t.side().is_some() || t.is(&["a", "an", "the", "his", "her", "their"]);
    let before = (0..mention).rev().find(|&at| !skipped(&tokens[at]));
    before.is_some_and(|at| {
        let result = at.checked_sub(1).is_some_and(|at| tokens[at].is_word() && !cues[at]);
        tokens[at].is(&["on", "in", "by", "at", "from"]) && result
    })
}

fn forward(
    tokens: &[Token],
    sentence: Range<usize>,
    mentions: &[Mention],
    findings: &[Finding],
    result: &mut Negations,
) {
    let (mut negating, mut item_seen, mut at) = (false, false, sentence.start);
    while at < sentence.end {
        let token = &tokens[at];
        if let Some(i) = mentions.iter().position(|mention| mention.at.start == at) {
            let kind = findings[mentions[i].findings[0]].kind;
            let begins_statement = tokens.get(mentions[i].at.end).is_some_and(|t| t.is(TEST_VERBS));
            if item_seen && (kind == FindingKind::Vital || begins_statement) {
                negating = false;
            }
            // `no fracture on the X-ray`
            if kind == FindingKind::Test && said_on(tokens, mentions[i].at.start, &result.cues) {
                negating = false;
            }
            result.negated[i] |= negating;
            item_seen = true;
            at = mentions[i].at.end;
            continue;
        }
        // `does not deny X` affirms it
        if token.is(&["not", "never", "without"])
            && tokens.get(at + 1).is_some_and(|t| t.is(&["deny", "denies", "denied", "denying"]))
        {
            result.cues[at..at + 2].fill(true);
            (negating, item_seen) = (false, false);
            at += 2;
            continue;
        }
        let length = if result.cues[at] { 0 } else { cue(tokens, at) };
        if length > 0 {
            result.cues[at..at + length].fill(true);
            (negating, item_seen) = (true, false);
            at += length;
            continue;
        }
        let after_join = at > sentence.start && is_join(&tokens[at - 1]);
        let new_statement = item_seen && token.is(VERBS) || after_join && token.is(&["with"]);
        if is_break(token) || new_statement {
            negating = false;
        }
        result.denied[at] |= negating;
        item_seen |= is_join(token);
        at += 1;
    }
}
