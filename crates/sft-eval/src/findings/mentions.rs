//! Where a text names findings.

use super::tokens::{Kind, Token, name};
use super::{Finding, Side};
use std::ops::Range;

/// A place that names a finding.
#[derive(Debug, Clone)]
pub(crate) struct Mention {
    /// Indices of the findings with this name; never empty.
    pub(crate) findings: Vec<usize>,
    /// Its tokens.
    pub(crate) at: Range<usize>,
    /// A side inside the name: `pain in the left knee`.
    pub(crate) side: Option<Side>,
}

/// Every mention, in order, without overlaps; at each place the longest.
pub(crate) fn mentions(tokens: &[Token], findings: &[Finding]) -> Vec<Mention> {
    let names: Vec<Vec<Vec<String>>> = findings
        .iter()
        .map(|f| std::iter::once(&f.term).chain(&f.aliases).map(|text| name(text)).collect())
        .collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let mut best: Option<Mention> = None;
        for (finding, names) in names.iter().enumerate() {
            for name in names {
                let Some((end, side)) = matched(tokens, at, name) else { continue };
                match &mut best {
                    Some(best) if best.at.end > end => {}
                    Some(best) if best.at.end == end => {
                        if !best.findings.contains(&finding) {
                            best.findings.push(finding);
                        }
                    }
                    best => *best = Some(Mention { findings: vec![finding], at: at..end, side }),
                }
            }
        }
        at = best.as_ref().map_or(at + 1, |mention| mention.at.end);
        found.extend(best);
    }
    found
}

/// The end of a name that starts here, and a side inside it.
fn matched(tokens: &[Token], at: usize, name: &[String]) -> Option<(usize, Option<Side>)> {
    if let Some(end) = sequence(tokens, at, name) {
        return Some((end, None));
    }
    // `knee pain` as `pain in the left knee`
    (1..name.len()).find_map(|split| {
        let end = sequence(tokens, at, &name[split..])?;
        let preposition = tokens.get(end)?.is(&["in", "of", "at", "over", "on", "to"]);
        let (side, start) = side(tokens, end + 1);
        sequence(tokens, start, &name[..split]).filter(|_| preposition).map(|end| (end, side))
    })
}

fn sequence(tokens: &[Token], at: usize, words: &[String]) -> Option<usize> {
    let end = at + words.len();
    let found = tokens.get(at..end)?;
    let same = found.iter().zip(words).all(|(t, word)| t.has_content() && t.stem == *word);
    (same && !words.is_empty()).then_some(end)
}

/// The side among the determiners from `at` on, and where they end.
fn side(tokens: &[Token], mut at: usize) -> (Option<Side>, usize) {
    let mut sides: Vec<Side> = Vec::new();
    while let Some(token) = tokens.get(at) {
        if token.is(&["both"]) {
            sides.push(Side::Bilateral);
        } else if let Some(side) = token.side() {
            sides.push(side);
        } else if !token
            .is(&["the", "his", "her", "their", "a", "an", "and", "sided", "side", "of"])
        {
            break;
        }
        at += 1;
    }
    sides.dedup();
    let side = if sides.len() > 1 { Some(Side::Bilateral) } else { sides.first().copied() };
    (side, at)
}

/// The sentences of a text, as ranges of tokens without the stop.
pub(crate) fn sentences(tokens: &[Token]) -> Vec<Range<usize>> {
    let (mut sentences, mut start) = (Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate() {
        if token.kind == Kind::Stop {
            sentences.push(start..at);
            start = at + 1;
        }
    }
    sentences.push(start..tokens.len());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}
