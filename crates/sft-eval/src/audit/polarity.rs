//! Does a text affirm what it says, or deny it?

use std::ops::Range;

use super::answers::{answer, label};
use super::cues::{
    CONDITIONS, DEGREES, DENIABLE, LINKS, MEANS, NEGATIONS, QUALIFIERS, REPORTS, SUBJECTS,
};
use super::mentions::Mention;
use super::terms::TermKind;
use crate::findings::frame::{BREAKS, FRAME, RELATIVES, VERBS};
use crate::findings::tokens::{Kind, Token};

/// What a text says of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Polarity {
    /// It is there.
    Affirmed,
    /// It is not.
    Negated,
    /// It is not there in some degree: `no severe X`.
    Lessened,
    /// Neither for sure: a condition, a question without an answer, another person.
    Open,
}

/// Of each token of a text.
pub(crate) fn polarities(
    tokens: &[Token],
    sentences: &[Range<usize>],
    mentions: &[Mention],
) -> Vec<Polarity> {
    let mut polarities = vec![Polarity::Affirmed; tokens.len()];
    let mut named = vec![false; tokens.len()];
    for mention in mentions {
        named[mention.at.clone()].fill(true);
    }
    for (i, sentence) in sentences.iter().enumerate() {
        let has_cue = forward(tokens, sentence.clone(), &named, &mut polarities);
        backward(tokens, sentence, mentions, &mut polarities);
        let content = sentence.start + label(tokens, sentence);
        if tokens.get(sentence.end).is_some_and(|stop| stop.text == "?") {
            let near = sentences[i + 1..].iter().take(3);
            let answer =
                near.enumerate().find_map(|(far, next)| Some((far, answer(tokens, next)?)));
            let told = match answer {
                Some((_, Polarity::Negated)) => Polarity::Negated,
                // of several questions the last one is answered
                Some((0, Polarity::Affirmed)) if !has_cue => Polarity::Affirmed,
                _ => Polarity::Open,
            };
            // `Any fever, or other symptoms of a cold? - No.`
            let other = (content..sentence.end).find(|&at| tokens[at].is(QUALIFIERS));
            let end = other.filter(|_| told == Polarity::Negated).unwrap_or(sentence.end);
            polarities[content..end].fill(told);
            polarities[end..sentence.end].fill(Polarity::Open);
        } else if let Some(next) = sentences.get(i + 1)
            && label(tokens, next) > 0
            && answer(tokens, next) == Some(Polarity::Negated)
        {
            // a question without its mark
            let told = polarities[content..sentence.end].iter_mut();
            told.filter(|told| **told == Polarity::Affirmed)
                .for_each(|told| *told = Polarity::Open);
        }
        let relative = (content..sentence.end).find(|&at| {
            let reports = tokens.get(at + 1).is_some_and(|t| t.is(REPORTS));
            tokens[at].is(&RELATIVES[..14]) && !reports
        });
        if let Some(at) = relative {
            let clause =
                (content..at).rfind(|&i| matches!(tokens[i].kind, Kind::Comma | Kind::Semicolon));
            polarities[clause.unwrap_or(content)..sentence.end].fill(Polarity::Open);
        }
    }
    polarities
}

/// From each cue to the end of what it denies. Was there a cue?
fn forward(
    tokens: &[Token],
    sentence: Range<usize>,
    named: &[bool],
    polarities: &mut [Polarity],
) -> bool {
    let (mut now, mut item_seen, mut other_seen) = (Polarity::Affirmed, false, false);
    let (mut has_cue, mut of_verb) = (false, false);
    let mut at = sentence.start;
    while at < sentence.end {
        let token = &tokens[at];
        let next = |words: &[&str]| tokens.get(at + 1).is_some_and(|t| t.is(words));
        if named[at] {
            polarities[at] = now;
            item_seen = true;
            at += 1;
            continue;
        }
        // `does not deny X` affirms it
        if token.is(&["not", "never"]) && next(&["deny", "denies", "denied", "denying"]) {
            (now, at) = (Polarity::Affirmed, at + 2);
            continue;
        }
        let discourse = token.is(&["no"]) // `No, I have a headache.`
            && tokens.get(at + 1).is_none_or(|t| t.kind == Kind::Comma);
        if let Some((cue, length)) = cue(tokens, at, named).filter(|_| !discourse) {
            (now, item_seen, other_seen, has_cue) = (cue, false, false, true);
            of_verb = token.is(&["not"]);
            at += length;
            continue;
        }
        if token.is(CONDITIONS) || token.is(&["rule"]) && next(&["out"]) {
            polarities[at..sentence.end].fill(Polarity::Open);
            return has_cue;
        }
        let after_join = at > sentence.start && tokens[at - 1].kind == Kind::Comma;
        let clause = token.is(&[
            "your", "my", "his", "her", "our", "the", "this", "that", "there", "so", "now", "then",
        ]);
        let begins = after_join && clause
            || item_seen && (token.is(VERBS) || token.is(SUBJECTS))
            || token.is(&["positive"])
            || after_join && token.is(&["with", "just"]);
        if token.kind == Kind::Semicolon || token.is(BREAKS) || begins {
            now = Polarity::Affirmed;
        } else if now == Polarity::Lessened
            && (token.kind == Kind::Comma || token.is(&["or", "and"]))
        {
            now = Polarity::Negated; // `no severe pain, fever or rash`
        } else if now == Polarity::Negated && item_seen && token.is(MEANS) {
            now = Polarity::Open; // `no snoring on X`
        } else if now == Polarity::Negated && !item_seen {
            if token.is(DEGREES) {
                now = Polarity::Lessened;
            } else if token.is(QUALIFIERS) || other_seen && token.is(MEANS) {
                now = Polarity::Open;
            }
            let says = token.is_word() && !FRAME.contains(&token.stem.as_str());
            other_seen |= says && token.side().is_none();
        }
        // `I do not have better news, your results are ...`
        if now == Polarity::Negated
            && of_verb
            && other_seen
            && !item_seen
            && token.kind == Kind::Comma
        {
            now = Polarity::Affirmed;
        }
        polarities[at] = now;
        at += 1;
    }
    has_cue
}

/// The cue that begins here, and how many tokens it has.
fn cue(tokens: &[Token], at: usize, named: &[bool]) -> Option<(Polarity, usize)> {
    let token = &tokens[at];
    let next = |words: &[&str]| tokens.get(at + 1).is_some_and(|t| t.is(words));
    let then = |words: &[&str]| tokens.get(at + 2).is_some_and(|t| t.is(words));
    let negated = |length| Some((Polarity::Negated, length));
    match () {
        () if token.is(&["not"])
            && (next(DENIABLE) || then(&["any"]) || named.get(at + 1) == Some(&true)) =>
        {
            negated(1)
        }
        () if token.is(&["not"]) => Some((Polarity::Open, 1)),
        () if token.is(NEGATIONS) => negated(1),
        () if token.is(&["negative"]) && next(&["for"]) => negated(2),
        // `Negative chest pain, negative dyspnea.`
        () if token.is(&["negative"]) && named.get(at + 1) == Some(&true) => negated(1),
        () if token.is(&["free"]) && next(&["of", "from"]) => negated(2),
        () if token.is(&["none", "lack"]) && next(&["of"]) => negated(2),
        () if token.is(&["ruled"]) && next(&["out"]) => negated(2),
        () => None,
    }
}

/// `X: none`, `X and Y are absent`, `X was ruled out`: the list before the cue is denied.
fn backward(
    tokens: &[Token],
    sentence: &Range<usize>,
    mentions: &[Mention],
    polarities: &mut [Polarity],
) {
    let own: Vec<&Mention> =
        mentions.iter().filter(|mention| sentence.contains(&mention.at.start)).collect();
    for (i, mention) in own.iter().enumerate() {
        let mut at = mention.at.end;
        while at < sentence.end && (tokens[at].kind == Kind::Colon || tokens[at].is(LINKS)) {
            at += 1;
        }
        let linked = at > mention.at.end;
        let Some(token) = tokens.get(at).filter(|_| at < sentence.end) else { continue };
        let ends = tokens.get(at + 1).is_none_or(|t| !t.has_content());
        let next = |words: &[&str]| tokens.get(at + 1).is_some_and(|t| t.is(words));
        let denied = token.is(&["absent", "excluded"])
            || token.is(&["negative"]) && ends && mention.kind == TermKind::Finding
            || token.is(&["denied", "none", "no"]) && (ends || linked && token.is(&["denied"]))
            || token.is(&["ruled"]) && next(&["out"])
            || token.is(&["not"])
                && linked
                && (ends || next(&["present", "noted", "seen", "reported", "found"]));
        if !denied {
            continue;
        }
        let mut first = i;
        while first > 0 && {
            let gap = &tokens[own[first - 1].at.end..own[first].at.start];
            !gap.is_empty()
                && gap.iter().all(|t| t.kind == Kind::Comma || t.is(&["and", "or", "/"]))
        } {
            first -= 1;
        }
        polarities[own[first].at.start..mention.at.end].fill(Polarity::Negated);
    }
}
