//! A text read against findings: its mentions, and what it says about each.

use super::frame::is_frame;
use super::mentions::{Mention, mentions, sentences};
use super::negation::{is_break, is_join, negations};
use super::quantity::{AGE, Quantity, quantities};
use super::tokens::{Token, tokens};
use super::{Finding, FindingKind, Side};
use std::ops::Range;

/// A text and what it says.
pub(crate) struct Reading {
    pub(crate) tokens: Vec<Token>,
    pub(crate) sentences: Vec<Range<usize>>,
    pub(crate) mentions: Vec<Mention>,
    /// Mention i continues the list of mention i - 1: only `and`, commas, articles between them.
    pub(crate) listed: Vec<bool>,
    pub(crate) negated: Vec<bool>,
    /// Each number with its mention; `None`: an age, or there is no mention.
    pub(crate) quantities: Vec<(Quantity, Option<usize>)>,
    /// Each side outside a name, with its token and its mention.
    pub(crate) sides: Vec<(Side, usize, Option<usize>)>,
    /// The mention each token belongs to.
    owner: Vec<Option<usize>>,
    /// Tokens that are names, numbers, sides or cues: they state what was read from them.
    pub(crate) read: Vec<bool>,
    /// Tokens that negate, and tokens that a negation reaches.
    pub(crate) cues: Vec<bool>,
    pub(crate) denied: Vec<bool>,
}

impl Reading {
    pub(crate) fn new(text: &str, findings: &[Finding]) -> Self {
        let tokens = tokens(text);
        let sentences = sentences(&tokens);
        let mentions = mentions(&tokens, findings);
        let listed = listed(&tokens, &mentions);
        let negations = negations(&tokens, &sentences, &mentions, &listed, findings);
        let mut read = vec![false; tokens.len()];
        for mention in &mentions {
            read[mention.at.clone()].fill(true);
        }
        let found = quantities(&tokens, &read);
        for quantity in &found {
            read[quantity.at.clone()].fill(true);
        }
        let mut reading = Self {
            owner: Vec::new(),
            quantities: Vec::new(),
            sides: Vec::new(),
            negated: negations.negated,
            cues: negations.cues,
            denied: negations.denied,
            tokens,
            sentences,
            mentions,
            listed,
            read,
        };
        reading.owner = reading.owners(findings);
        reading.quantities = reading.assign(found, findings);
        reading.sides = reading.assign_sides();
        for (is_read, cue) in reading.read.iter_mut().zip(&reading.cues) {
            *is_read |= *cue;
        }
        for (_, token, _) in &reading.sides {
            reading.read[*token] = true;
        }
        reading
    }

    /// The mentions of a sentence.
    pub(crate) fn mentions_in(&self, sentence: &Range<usize>) -> Vec<usize> {
        (0..self.mentions.len())
            .filter(|&i| sentence.contains(&self.mentions[i].at.start))
            .collect()
    }

    /// The list a mention is a member of: indices of mentions.
    fn list(&self, mention: usize) -> Range<usize> {
        let first = (0..=mention).rev().find(|&i| !self.listed[i]).unwrap_or(mention);
        let after = (mention + 1..self.listed.len()).find(|&i| !self.listed[i]);
        first..after.unwrap_or(self.listed.len())
    }

    /// Does what is said about mention `of` hold for `mention` too? Its own does; what stands
    /// before a list or after it holds for all its members.
    fn shares(&self, mention: usize, of: usize, token: usize) -> bool {
        let list = self.list(mention);
        let (first, last) = (list.start, list.end - 1);
        mention == of
            || of == first && token < self.mentions[first].at.start
            || of == last && token >= self.mentions[last].at.end
    }

    /// The numbers said about a mention.
    pub(crate) fn quantities_of(&self, mention: usize) -> impl Iterator<Item = &Quantity> {
        self.quantities.iter().filter_map(move |(quantity, of)| {
            of.filter(|&of| self.shares(mention, of, quantity.at.start)).map(|_| quantity)
        })
    }

    /// The sides said about a mention; where there is none, that of the one before it in a list.
    pub(crate) fn sides_of(&self, mention: usize) -> Vec<Side> {
        let own = |i: usize| {
            let outside = self.sides.iter().filter(move |(_, _, of)| *of == Some(i));
            let mut sides: Vec<Side> = outside.map(|(side, ..)| *side).collect();
            sides.extend(self.mentions[i].side);
            sides.sort_unstable();
            sides.dedup();
            if sides.len() > 1 { vec![Side::Bilateral] } else { sides }
        };
        let before = (self.list(mention).start..=mention).rev().map(own);
        before.into_iter().find(|sides| !sides.is_empty()).unwrap_or_default()
    }

    /// Is this token a part of a name or of a number?
    pub(crate) fn states(&self, at: usize) -> bool {
        self.mentions.iter().any(|mention| mention.at.contains(&at))
            || self.quantities.iter().any(|(quantity, _)| quantity.at.contains(&at))
    }

    /// Does the sentence around a token negate anything?
    pub(crate) fn has_cue(&self, at: usize) -> bool {
        let sentence = self.sentences.iter().find(|sentence| sentence.contains(&at));
        sentence.is_some_and(|sentence| self.cues[sentence.clone()].contains(&true))
    }

    /// The places where a word is said about a mention.
    pub(crate) fn places<'a>(
        &'a self,
        mention: usize,
        stem: &'a str,
    ) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(move |&at| {
            self.tokens[at].stem == stem
                && self.owner[at].is_some_and(|of| self.shares(mention, of, at))
        })
    }

    fn owners(&self, findings: &[Finding]) -> Vec<Option<usize>> {
        let mut owner = vec![None; self.tokens.len()];
        let mut before = None;
        for sentence in &self.sentences {
            let own = self.mentions_in(sentence);
            let Some(&first) = own.first() else {
                owner[sentence.clone()].fill(before);
                continue;
            };
            owner[sentence.start..self.mentions[first].at.end].fill(Some(first));
            for &[a, b] in own.array_windows::<2>() {
                let (start, end) = (self.mentions[a].at.end, self.mentions[b].at.start);
                let border =
                    self.border(start..end, self.kind(a, findings), self.kind(b, findings));
                owner[start..border].fill(Some(a));
                owner[border..self.mentions[b].at.end].fill(Some(b));
            }
            let last = own[own.len() - 1];
            owner[self.mentions[last].at.end..sentence.end].fill(Some(last));
            before = Some(last);
        }
        owner
    }

    fn kind(&self, mention: usize, findings: &[Finding]) -> FindingKind {
        findings[self.mentions[mention].findings[0]].kind
    }

    /// Where the words about one mention end and those about the next begin.
    fn border(&self, gap: Range<usize>, a: FindingKind, b: FindingKind) -> usize {
        let tokens = &self.tokens[gap.clone()];
        if let Some(at) = tokens.iter().position(is_break) {
            return gap.start + at + 1;
        }
        // `X 500 mg, twice daily for suspected Y`: all of it is about X
        let treats = |kind| matches!(kind, FindingKind::Drug | FindingKind::Procedure);
        let goal = tokens.iter().rev().find(|t| is_frame(&t.text, &t.stem) || !t.is_word());
        if treats(a) && !treats(b) && goal.is_some_and(|t| t.is(&["for"])) {
            return gap.end;
        }
        tokens.iter().rposition(is_join).map_or(gap.end, |at| gap.start + at + 1)
    }

    /// Gives runs of numbers to mentions.
    fn assign(&self, found: Vec<Quantity>, findings: &[Finding]) -> Vec<(Quantity, Option<usize>)> {
        let mut assigned: Vec<(Quantity, Option<usize>)> = Vec::new();
        let mut rest = found.into_iter().peekable();
        while let Some(quantity) = rest.next() {
            if quantity.unit == Some(AGE) {
                assigned.push((quantity, None));
                continue;
            }
            let mut run = vec![quantity];
            while let Some(next) = rest.next_if(|next| {
                let end = run[run.len() - 1].at.end;
                let dash = self.tokens[end..next.at.start]
                    .iter()
                    .all(|t| t.kind == super::tokens::Kind::Dash);
                dash && next.unit != Some(AGE)
            }) {
                run.push(next);
            }
            let at = run[0].at.start..run[run.len() - 1].at.end;
            for quantity in run {
                let of = self.assign_one(&quantity, &at, &assigned, findings);
                assigned.push((quantity, of));
            }
        }
        assigned
    }

    fn assign_one(
        &self,
        quantity: &Quantity,
        run: &Range<usize>,
        earlier: &[(Quantity, Option<usize>)],
        findings: &[Finding],
    ) -> Option<usize> {
        let sentence = self.sentences.iter().find(|s| s.contains(&run.start))?;
        let own = self.mentions_in(sentence);
        let fits = |&i: &usize| quantity.fits(self.kind(i, findings));
        let before: Vec<usize> =
            own.iter().copied().filter(|&i| self.mentions[i].at.start < run.start).collect();
        let after = &own[before.len()..];
        let (Some(&a), Some(&b)) = (before.last(), after.first()) else {
            // at an end of the sentence: the nearest that can have such a number
            let nearest = before.iter().rev().chain(after).copied();
            let fitting = nearest.into_iter().find(fits);
            return fitting.or(self.owner[run.start]);
        };
        let left = &self.tokens[self.mentions[a].at.end..run.start];
        let right = &self.tokens[run.end..self.mentions[b].at.start];
        if left.iter().chain(right).any(is_break) {
            return self.owner[run.start];
        }
        let start = self.mentions[a].at.end;
        let linked = |(i, t): (usize, &Token)| {
            let number = |q: &&(Quantity, Option<usize>)| q.0.at.contains(&(start + i));
            t.is(&["of", "is", "was", "at", "for", "since", "to", "measured", "x"])
                || !t.has_content() && !is_join(t)
                || earlier.iter().find(number).is_some_and(|(_, of)| *of == Some(a))
        };
        let to_a = left.iter().enumerate().all(linked);
        let plain = !right.iter().any(|t| is_join(t) || t.is(&["for", "with"]));
        let leads = |t: &Token| {
            t.is(&["of", "history", "course"]) || t.side().is_some() || !is_frame(&t.text, &t.stem)
        };
        let to_b = plain && right.first().is_none_or(leads);
        match (to_a, to_b, fits(&a), fits(&b)) {
            (true, false, true, _) | (_, _, true, false) => Some(a),
            (false, true, _, true) | (_, _, false, true) => Some(b),
            _ => self.owner[run.start],
        }
    }

    /// A side belongs to the mention it stands before with no frame word between, else to the
    /// mention before it.
    fn assign_sides(&self) -> Vec<(Side, usize, Option<usize>)> {
        let mut sides = Vec::new();
        for at in 0..self.tokens.len() {
            if self.mentions.iter().any(|mention| mention.at.contains(&at)) {
                continue;
            }
            let token = &self.tokens[at];
            let both = token.is(&["both"])
                && self.tokens.get(at + 1).is_some_and(|next| next.is(&["sides"]));
            let Some(side) = token.side().or(both.then_some(Side::Bilateral)) else { continue };
            let next = self.mentions.iter().position(|mention| mention.at.start > at);
            let direct = next.filter(|&next| {
                let between = &self.tokens[at + 1..self.mentions[next].at.start];
                between.iter().enumerate().all(|(i, t)| {
                    let pair =
                        t.is(&["and"]) && between.get(i + 1).is_some_and(|t| t.side().is_some());
                    pair || t.is(&["sided", "side"]) || t.is_word() && !is_frame(&t.text, &t.stem)
                })
            });
            let sentence = self.sentences.iter().find(|s| s.contains(&at));
            let before = sentence.and_then(|s| {
                self.mentions_in(s).into_iter().rfind(|&i| self.mentions[i].at.start < at)
            });
            sides.push((side, at, direct.or(before).or(self.owner[at])));
        }
        sides
    }
}

fn listed(tokens: &[Token], mentions: &[Mention]) -> Vec<bool> {
    (0..mentions.len())
        .map(|i| {
            let Some(before) = i.checked_sub(1) else { return false };
            let gap = &tokens[mentions[before].at.end..mentions[i].at.start];
            gap.iter().any(is_join)
                && gap.iter().all(|t| {
                    is_join(t) || t.side().is_some() || t.is(&["the", "a", "an", "both", "sided"])
                })
        })
        .collect()
}
