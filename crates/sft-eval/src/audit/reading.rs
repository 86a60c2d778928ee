//! All that a text says, as far as the audit reads it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::amounts::{Amount, Measure};
use super::dates::{Date, dates};
use super::mentions::{Mention, mentions};
use super::polarity::{Polarity, polarities};
use super::sides::{Sided, sides};
use super::terms::{TermKind, Terms};
use super::text::read;
use crate::findings::mentions::sentences;
use crate::findings::quantity::quantities;
use crate::findings::tokens::{Kind, Token};
use crate::porter::porter;

pub(crate) struct Reading {
    pub(crate) tokens: Vec<Token>,
    pub(crate) sentences: Vec<Range<usize>>,
    pub(crate) mentions: Vec<Mention>,
    /// Of each token.
    pub(crate) polarity: Vec<Polarity>,
    pub(crate) sides: Vec<Sided>,
    pub(crate) amounts: Vec<Amount>,
    pub(crate) dates: Vec<Date>,
}

impl Reading {
    pub(crate) fn new(text: &str, terms: &Terms) -> Self {
        let tokens = read(text);
        let sentences = sentences(&tokens);
        let mentions = mentions(text, &tokens, terms);
        let polarity = polarities(&tokens, &sentences, &mentions);
        let sides = sides(&tokens, &sentences, &mentions);
        let mut taken = vec![false; tokens.len()];
        for mention in &mentions {
            taken[mention.at.clone()].fill(true);
        }
        let dates: Vec<Date> = dates(&tokens)
            .into_iter()
            .filter(|date| !taken[date.at.clone()].contains(&true))
            .collect();
        for date in &dates {
            taken[date.at.clone()].fill(true);
        }
        let amounts = quantities(&tokens, &taken);
        let amounts = amounts.iter().map(|quantity| Amount::new(quantity, &tokens)).collect();
        let mut reading = Self { tokens, sentences, mentions, polarity, sides, amounts, dates };
        for i in 0..reading.amounts.len() {
            reading.amounts[i].of = reading.owner(&reading.amounts[i]);
        }
        reading
    }

    /// The bytes of tokens.
    pub(crate) fn span(&self, at: &Range<usize>) -> Range<usize> {
        self.tokens[at.start].span.start..self.tokens[at.end - 1].span.end
    }

    /// The medication that a dose or a frequency is said of: the last one before it in its
    /// sentence, or the one right after it (`500 mg of X`).
    fn owner(&self, amount: &Amount) -> Option<usize> {
        if !matches!(amount.measure, Measure::Dose(_) | Measure::Rate) {
            return None;
        }
        let sentence = self.sentences.iter().find(|s| s.contains(&amount.at.start))?;
        let drug = |m: &&Mention| m.kind == TermKind::Medication && sentence.contains(&m.at.start);
        let after = self.mentions.iter().filter(drug).find(|m| m.at.start >= amount.at.end);
        let leads = |m: &&Mention| {
            let gap = &self.tokens[amount.at.end..m.at.start];
            gap.is_empty() || gap.len() == 1 && gap[0].is(&["of"])
        };
        let before = self.mentions.iter().filter(drug).rfind(|m| m.at.end <= amount.at.start);
        let lists = |m: &&Mention| {
            let gap = &self.tokens[m.at.end..amount.at.start];
            gap.iter().any(|t| t.kind == Kind::Comma || t.is(&["and"]))
        };
        let after = after.filter(leads);
        before
            .filter(|m| after.is_none() || !lists(m))
            .or(after)
            .map(|mention| mention.concept.base)
    }

    /// The stems of a sentence's words, and of the other names of what it mentions.
    pub(crate) fn bag(&self, sentence: &Range<usize>, terms: &Terms) -> BTreeSet<String> {
        let words = self.tokens[sentence.clone()].iter().filter(|t| t.has_content());
        let mut bag: BTreeSet<String> = words.map(|t| stem(&t.stem)).collect();
        for mention in self.mentions.iter().filter(|m| sentence.contains(&m.at.start)) {
            // of other names of many words only some are said
            let names = terms.entries[mention.entry].names.iter();
            bag.extend(names.filter(|name| name.len() <= 4).flatten().map(|word| stem(word)));
        }
        bag
    }
}

/// Without its ending, where it is a word of ASCII letters.
pub(crate) fn stem(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_lowercase()) && word.len() > 3;
    if plain { porter(word) } else { word.to_owned() }
}
