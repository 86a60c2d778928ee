//! The terms that the audit knows, and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sft_dataset::limited::{ROWS, read_limited};

use super::mentions::{Found, find};
use super::text;
use crate::EvalError;

/// The list that ships with this crate; its first lines say where it comes from.
const BUILT_IN: &str = include_str!("../../data/terms.tsv");

/// What sort of thing a term names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TermKind {
    /// A drug.
    Medication,
    /// A symptom, sign or disease.
    Finding,
    /// Something done to the patient, a test too.
    Procedure,
    /// A place in the body: judged with the finding that is said of it.
    Site,
    /// What numbers are measured of: not judged.
    Measure,
}

impl TermKind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "medication" => Self::Medication,
            "finding" => Self::Finding,
            "procedure" => Self::Procedure,
            "site" => Self::Site,
            "measure" => Self::Measure,
            _ => return None,
        })
    }

    pub(crate) fn is_judged(self) -> bool {
        !matches!(self, Self::Site | Self::Measure)
    }
}

/// What a term means: another term and places, for `knee pain`; else itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Concept {
    pub(crate) base: usize,
    pub(crate) sites: BTreeSet<usize>,
}

/// One line of a list.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: TermKind,
    pub(crate) name: String,
    /// The words of each name.
    pub(crate) names: Vec<Vec<String>>,
    pub(crate) concept: Concept,
}

/// A name, to be found in a text.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    pub(crate) words: Vec<String>,
    pub(crate) entry: usize,
    /// An abbreviation that is found in capitals only.
    pub(crate) capitals: bool,
}

/// Terms with their synonyms.
#[derive(Debug, Clone)]
pub struct Terms {
    pub(crate) entries: Vec<Entry>,
    /// By first word.
    pub(crate) patterns: BTreeMap<String, Vec<Pattern>>,
}

impl Terms {
    /// The list of this crate: several hundred medications, findings, procedures and places.
    pub fn built_in() -> Self {
        let mut terms = Self { entries: Vec::new(), patterns: BTreeMap::new() };
        // A test holds that every line of it is one.
        for (_, kind, names) in lines(BUILT_IN).filter_map(Result::ok) {
            terms.add(kind, &names);
        }
        terms.resolve();
        terms
    }

    /// The list of this crate and the user's own: a file in UTF-8 with
    /// `kind<TAB>term[<TAB>synonym...]` a line; empty lines and lines that begin with `#` are skipped. A line with a name that a term
    /// of the same kind has already adds its names to that.
    ///
    /// # Errors
    /// [`EvalError::ReadTerms`] and [`EvalError::TermsLine`].
    pub fn with_file(path: &Path) -> Result<Self, EvalError> {
        let failed = |source| EvalError::ReadTerms { path: PathBuf::from(path), source };
        let bytes = read_limited(path, ROWS).map_err(failed)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            failed(std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error()))
        })?;
        let mut terms = Self::built_in();
        let mut rows = 0;
        for line in lines(text.trim_start_matches('\u{feff}')) {
            let (line, kind, names) = line.map_err(|(line, problem)| EvalError::TermsLine {
                path: path.to_owned(),
                line,
                problem,
            })?;
            if let Some(name) = names.iter().find(|name| text::words(name).is_empty()) {
                let problem = format!("`{name}` has no word: give a name in letters or digits");
                return Err(EvalError::TermsLine { path: path.to_owned(), line, problem });
            }
            terms.add(kind, &names);
            rows += 1;
        }
        if rows == 0 {
            let problem = "there is no term in this file: a line is kind<TAB>term".to_owned();
            return Err(EvalError::TermsLine { path: path.to_owned(), line: 1, problem });
        }
        terms.resolve();
        Ok(terms)
    }

    /// The names of the terms of a kind, each with its synonyms.
    pub fn names(&self, kind: TermKind) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |entry| entry.kind == kind).map(|entry| entry.name.as_str())
    }

    fn add(&mut self, kind: TermKind, names: &[&str]) {
        let known = names.iter().find_map(|name| {
            let words = text::words(name);
            let patterns = self.patterns.get(words.first()?)?;
            let same =
                patterns.iter().rfind(|p| p.words == words && self.entries[p.entry].kind == kind);
            same.map(|pattern| pattern.entry)
        });
        let entry = known.unwrap_or(self.entries.len());
        if known.is_none() {
            let concept = Concept { base: entry, sites: BTreeSet::new() };
            let name = names.first().copied().unwrap_or_default().to_owned();
            self.entries.push(Entry { kind, name, names: Vec::new(), concept });
        }
        for name in names {
            let words = text::words(name);
            let Some(first) = words.first().cloned() else { continue };
            let letters = || name.chars().filter(|c| c.is_alphabetic());
            let capitals = name.len() <= 4 && letters().all(char::is_uppercase);
            if !self.entries[entry].names.contains(&words) {
                self.entries[entry].names.push(words.clone());
                self.patterns.entry(first).or_default().push(Pattern { words, entry, capitals });
            }
        }
    }

    /// Finds the findings that are another one in a place.
    fn resolve(&mut self) {
        for entry in 0..self.entries.len() {
            let Entry { kind: TermKind::Finding, name, .. } = &self.entries[entry] else {
                continue;
            };
            let tokens = text::read(name);
            let words = tokens.iter().filter(|t| t.has_content()).count();
            let found = find(&tokens, self, Some(entry));
            let covered: usize = found.iter().map(|found| found.at.len()).sum();
            let (sites, others): (Vec<Found>, Vec<Found>) =
                found.into_iter().partition(|f| self.entries[f.entry].kind == TermKind::Site);
            if let ([base], true, true) = (&others[..], !sites.is_empty(), covered == words)
                && self.entries[base.entry].kind == TermKind::Finding
            {
                let sites = sites.iter().map(|site| site.entry).collect();
                self.entries[entry].concept = Concept { base: base.entry, sites };
            }
        }
    }
}

type Line<'a> = Result<(u64, TermKind, Vec<&'a str>), (u64, String)>;

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#')).map(
        |(line, number)| {
            let mut fields = line.split('\t').map(str::trim);
            let kind = fields.next().unwrap_or_default();
            let names: Vec<&str> = fields.filter(|name| !name.is_empty()).collect();
            let known = TermKind::parse(kind).ok_or_else(|| {
                let kinds = "medication, finding, procedure, site or measure";
                (number, format!("`{kind}` is no kind: begin the line with {kinds} and a tab"))
            })?;
            if names.is_empty() {
                return Err((number, format!("no term: write {kind}<TAB>term[<TAB>synonym...]")));
            }
            Ok((number, known, names))
        },
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_built_in_list_is_a_term() {
        let mut count = 0;
        for line in lines(BUILT_IN) {
            let (number, _, names) = line.unwrap();
            assert!(names.iter().all(|name| !text::words(name).is_empty()), "line {number}");
            count += 1;
        }
        let terms = Terms::built_in();
        assert!(count > 1300, "{count}");
        // a line whose name another line has would be lost in it
        assert_eq!(terms.entries.len(), count);
        assert!(terms.names(TermKind::Medication).count() > 500);
        assert!(terms.names(TermKind::Finding).count() > 500);
    }

    #[test]
    fn a_finding_in_a_place_is_that_finding() {
        let terms = Terms::built_in();
        let entry = |name: &str| terms.entries.iter().position(|e| e.name == name).unwrap();
        let concept = &terms.entries[entry("abdominal pain")].concept;
        assert_eq!(concept.base, entry("pain"));
        assert_eq!(concept.sites, [entry("abdomen")].into());
        assert_eq!(terms.entries[entry("fever")].concept.base, entry("fever"));
    }
}
