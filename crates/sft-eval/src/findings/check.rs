//! A summary against the findings of its note.

use super::detail::parts;
use super::ending::is_cut_off;
use super::frame::{LABELS, RELATIVES, is_frame};
use super::quantity::{AGE, Quantity};
use super::reading::Reading;
use super::repetition::repetitions;
use super::tokens::{Kind, Token, name, tokens};
use super::verdict::{Lack, Missing, Reason, Unsupported, Verdict};
use super::{Finding, FindingKind, Side};
use std::collections::BTreeSet;
use std::ops::Range;

/// Compares a summary with its note and the note's findings.
pub fn check(note: &str, findings: &[Finding], summary: &str) -> Verdict {
    let summary = summary.trim_end();
    let check = Check {
        note: Reading::new(note, findings),
        said: Reading::new(summary, findings),
        findings,
        summary,
    };
    Verdict { missing: check.missing(), unsupported: check.unsupported() }
}

struct Check<'a> {
    note: Reading,
    said: Reading,
    findings: &'a [Finding],
    summary: &'a str,
}

impl Check<'_> {
    fn missing(&self) -> Vec<Missing> {
        let of_text = |lack| Missing { term: String::new(), lack };
        if !self.said.tokens.iter().any(Token::has_content) {
            return vec![of_text(Lack::Text)];
        }
        let mut missing = Vec::new();
        for (i, finding) in self.findings.iter().enumerate() {
            if finding.kind != FindingKind::OtherPerson {
                let lacks = self.lacks(i, finding).into_iter();
                missing.extend(lacks.map(|lack| Missing { term: finding.term.clone(), lack }));
            }
        }
        if is_cut_off(self.summary, &self.said) {
            missing.push(of_text(Lack::End));
        }
        missing
    }

    fn lacks(&self, i: usize, finding: &Finding) -> Vec<Lack> {
        let mentions = mentions_of(&self.said, i);
        if mentions.is_empty() {
            return vec![Lack::Mention];
        }
        let agrees = |&m: &usize| self.said.negated[m] != finding.present;
        let mentions: Vec<usize> = mentions.into_iter().filter(agrees).collect();
        if mentions.is_empty() {
            return vec![Lack::Polarity];
        }
        let mut lacks = Vec::new();
        if let Some(side) = side(finding)
            && !mentions.iter().any(|&m| self.said.sides_of(m) == [side])
        {
            lacks.push(Lack::Side(side));
        }
        let unsaid = finding.details.iter().filter(|d| !self.says(&mentions, finding, d));
        lacks.extend(unsaid.map(|detail| Lack::Detail(detail.clone())));
        lacks
    }

    /// Are all numbers and words of a detail said in these mentions?
    fn says(&self, mentions: &[usize], finding: &Finding, detail: &str) -> bool {
        let parts = parts(detail);
        let said = |wanted: &Quantity| {
            let mut numbers = mentions.iter().flat_map(|&m| self.said.quantities_of(m));
            numbers.any(|number| wanted.agrees(number, finding.kind))
        };
        // what is not there has no polarity of its own: `denies dry cough`
        let agrees = |at| !finding.present || self.said.denied[at] == parts.negated;
        parts.numbers.iter().all(said)
            && parts
                .words
                .iter()
                .all(|word| mentions.iter().any(|&m| self.said.places(m, word).any(agrees)))
    }

    fn unsupported(&self) -> Vec<Unsupported> {
        let mut found: Vec<(Range<usize>, Reason)> = Vec::new();
        for m in 0..self.said.mentions.len() {
            found.extend(self.mention_problems(m));
        }
        for (quantity, of) in &self.said.quantities {
            if of.is_none() && !self.note.quantities.iter().any(|(other, _)| equal(other, quantity))
            {
                found.push((quantity.at.clone(), Reason::UnknownNumber));
            }
        }
        found.extend(self.turned_words().map(|at| (at..at + 1, Reason::Polarity)));
        found.extend(self.foreign_words().map(|at| (at..at + 1, Reason::Word)));
        found.extend(repetitions(&self.said).into_iter().map(|at| (at, Reason::Repetition)));
        found.extend(self.labels().map(|at| (at..at + 1, Reason::OtherText)));
        found.sort_by_key(|(at, _)| (at.start, at.end));
        found.dedup();
        let mut unsupported: Vec<Unsupported> = found
            .into_iter()
            .map(|(at, reason)| {
                let span =
                    self.said.tokens[at.start].span.start..self.said.tokens[at.end - 1].span.end;
                Unsupported { words: self.summary[span.clone()].to_owned(), span, reason }
            })
            .collect();
        for mark in ["##", "<|", "</s>", "[/INST]"] {
            if let Some(at) = self.summary.find(mark) {
                let (span, words) = (at..at + mark.len(), mark.to_owned());
                unsupported.push(Unsupported { span, words, reason: Reason::OtherText });
            }
        }
        unsupported
    }

    /// What is wrong with a mention for the finding it fits best.
    fn mention_problems(&self, m: usize) -> Vec<(Range<usize>, Reason)> {
        let mention = &self.said.mentions[m];
        let mut of = mention.findings.iter();
        // `denies ear pain` denies both sides, also the one that hurts
        if self.said.negated[m]
            && self.said.sides_of(m).is_empty()
            && of.clone().any(|&i| self.findings[i].present)
        {
            return vec![(mention.at.clone(), Reason::Polarity)];
        }
        let first = of.next().map(|&i| self.problems_as(m, i)).unwrap_or_default();
        of.map(|&i| self.problems_as(m, i))
            .fold(first, |best, other| if other.len() < best.len() { other } else { best })
    }

    fn problems_as(&self, m: usize, i: usize) -> Vec<(Range<usize>, Reason)> {
        let (said, finding) = (&self.said, &self.findings[i]);
        let mention = &said.mentions[m];
        let mut problems = Vec::new();
        let sentence = said.sentences.iter().find(|s| s.contains(&mention.at.start)).cloned();
        let sentence = sentence.unwrap_or_default();
        let relative = |at: usize| RELATIVES.contains(&said.tokens[at].stem.as_str());
        if finding.kind == FindingKind::OtherPerson && !sentence.clone().any(relative) {
            problems.push((mention.at.clone(), Reason::OtherPerson));
        }
        if said.negated[m] == finding.present {
            problems.push((mention.at.clone(), Reason::Polarity));
        }
        let in_note = mentions_of(&self.note, i);
        let mut sides: Vec<Side> = in_note.iter().flat_map(|&n| self.note.sides_of(n)).collect();
        if let Some(side) = side(finding) {
            sides = vec![side];
        }
        let outside = said.sides.iter().filter(|(_, _, of)| *of == Some(m));
        let own = outside.map(|&(side, at, _)| (side, at..at + 1));
        let own: Vec<_> = own.chain(mention.side.map(|side| (side, mention.at.clone()))).collect();
        let merged = said.sides_of(m);
        for (side, at) in own {
            let bilateral = merged == [Side::Bilateral] && sides.contains(&Side::Bilateral);
            if !bilateral && !sides.contains(&side) {
                problems.push((at, Reason::Side(finding.term.clone())));
            }
        }
        let own = said.quantities.iter().filter(|(_, of)| *of == Some(m));
        for (quantity, _) in own {
            let measured = matches!(finding.kind, FindingKind::Vital | FindingKind::Test);
            if measured && finding.present && said.denied[quantity.at.start] {
                problems.push((quantity.at.clone(), Reason::Polarity));
            }
            let suits = finding.kind != FindingKind::Vital || quantity.suits(&name(&finding.term));
            if !suits || !self.allows(i, &in_note, quantity, &sentence) {
                problems.push((quantity.at.clone(), Reason::Number(finding.term.clone())));
            }
        }
        if finding.present {
            let parts: Vec<_> = finding.details.iter().map(|detail| parts(detail)).collect();
            let turned = |polarity: bool| {
                let words = parts.iter().filter(move |part| part.negated == polarity);
                let words = words.flat_map(|part| &part.words);
                words.flat_map(move |word| said.places(m, word)).filter(move |&at| {
                    !said.states(at) && !said.cues[at] && said.denied[at] != polarity
                })
            };
            let turned: BTreeSet<usize> = turned(true).chain(turned(false)).collect();
            problems.extend(turned.into_iter().map(|at| (at..at + 1, Reason::Polarity)));
        }
        problems
    }

    /// Does the note, or a detail, say this number of finding `i`?
    fn allows(
        &self,
        i: usize,
        in_note: &[usize],
        said: &Quantity,
        sentence: &Range<usize>,
    ) -> bool {
        let finding = &self.findings[i];
        // a test has too many units to tell a wrong one from one that the note left out
        let tested = finding.kind == FindingKind::Test && said.unit.is_some();
        let kind = if tested { FindingKind::Symptom } else { finding.kind };
        let details = finding.details.iter().flat_map(|detail| parts(detail).numbers);
        if details.into_iter().any(|detail| detail.agrees(said, kind))
            || in_note
                .iter()
                .any(|&n| self.note.quantities_of(n).any(|number| number.agrees(said, kind)))
        {
            return true;
        }
        // in sentences about no finding: the next visit, a stay
        if self.said.mentions_in(sentence).is_empty()
            && self.note.quantities.iter().any(|(q, _)| equal(q, said) && self.is_free(q))
        {
            return true;
        }
        self.is_name(said)
    }

    /// Is this number of the note said of no finding?
    fn is_free(&self, number: &Quantity) -> bool {
        let own = self.note.sentences.iter().find(|s| s.contains(&number.at.start));
        own.is_some_and(|own| self.note.mentions_in(own).is_empty())
    }

    /// A number without a unit as in `type 2` or `2 kittens`: the note has the same two words.
    fn is_name(&self, said: &Quantity) -> bool {
        let pairs = |reading: &Reading, q: &Quantity| -> Vec<(bool, String)> {
            let beside = [(true, q.at.start.checked_sub(1)), (false, Some(q.at.end))];
            let words = beside.into_iter().filter_map(|(before, at)| {
                let token = reading.tokens.get(at?)?;
                let names =
                    token.is_word() && !reading.read[at?] && !is_frame(&token.text, &token.stem);
                names.then(|| (before, token.stem.clone()))
            });
            words.collect()
        };
        let own = pairs(&self.said, said);
        said.unit.is_none()
            && self.note.quantities.iter().any(|(q, _)| {
                (!q.is_time() || self.is_free(q))
                    && equal(q, said)
                    && pairs(&self.note, q).iter().any(|pair| own.contains(pair))
            })
    }

    /// Other words that the note only denies and the summary affirms, or the other way round:
    /// `taking other tablets` for `not taking any other tablets`.
    fn turned_words(&self) -> impl Iterator<Item = usize> {
        let (note, said) = (&self.note, &self.said);
        // words of details are checked with their findings
        let details = self.findings.iter().flat_map(|finding| &finding.details);
        let own: BTreeSet<String> = details.flat_map(|detail| parts(detail).words).collect();
        (0..said.tokens.len()).filter(move |&at| {
            let token = &said.tokens[at];
            let other = !said.read[at] && !is_frame(&token.text, &token.stem);
            if !token.is_word() || !other || own.contains(&token.stem) {
                return false;
            }
            let same = (0..note.tokens.len()).filter(|&n| note.tokens[n].stem == token.stem);
            let same: Vec<usize> = same.collect();
            let affirmed = !said.has_cue(at) && same.iter().all(|&n| note.denied[n]);
            let denied = said.denied[at] && same.iter().all(|&n| !note.has_cue(n));
            !same.is_empty() && (affirmed || denied)
        })
    }

    fn foreign_words(&self) -> impl Iterator<Item = usize> {
        let mut known: BTreeSet<String> = BTreeSet::new();
        known.extend(self.note.tokens.iter().map(|token| token.stem.clone()));
        for finding in self.findings {
            known.extend(name(&finding.term));
            let texts = finding.aliases.iter().chain(&finding.details);
            known.extend(texts.flat_map(|text| tokens(text)).map(|token| token.stem));
        }
        let said = &self.said;
        (0..said.tokens.len()).filter(move |&at| {
            let token = &said.tokens[at];
            let read = said.read[at] || is_frame(&token.text, &token.stem);
            token.is_word() && !read && !known.contains(&token.stem)
        })
    }

    fn labels(&self) -> impl Iterator<Item = usize> {
        let pairs = self.said.tokens.array_windows::<2>().enumerate();
        pairs.filter(|(_, [t, colon])| t.is(LABELS) && colon.kind == Kind::Colon).map(|(at, _)| at)
    }
}

fn mentions_of(reading: &Reading, finding: usize) -> Vec<usize> {
    let mentions = reading.mentions.iter().enumerate();
    mentions.filter(|(_, m)| m.findings.contains(&finding)).map(|(at, _)| at).collect()
}

/// The side of a finding; one inside its term counts.
fn side(finding: &Finding) -> Option<Side> {
    finding.side.or_else(|| tokens(&finding.term).iter().find_map(Token::side))
}

/// The same number with the same unit.
fn equal(a: &Quantity, b: &Quantity) -> bool {
    a.agrees(b, FindingKind::Symptom) && (a.unit == Some(AGE)) == (b.unit == Some(AGE))
}
