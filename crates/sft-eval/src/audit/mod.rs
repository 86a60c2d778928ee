//! The grounding audit: what does a summary say that its note does not support?
//!
//! It needs no model and no sidecar. Both texts are read by the same rules, and each fact of the
//! summary is looked for in the note:
//!
//! * a **term** of a list (medication, finding, procedure) that the note does not name, by any of
//!   its names, nor by its words near each other. `Pain` and `swelling` and the like are read with the place they are in;
//! * a **negation**: a finding that one text affirms and the other denies. Cues reach over lists
//!   (`denies X, Y or Z`, `no evidence of`, `w/o`), look back (`X: none`, `X was ruled out`), and
//!   `Any fever? - No.` is one too. What is conditional, of another person, or said both ways is
//!   not judged;
//! * a **side** of a place or finding of which the note gives another one, or none;
//! * a **number**, with its unit: a dose or a frequency of a medication is compared with those of
//!   the same medication where the note has any. Units are normalised (1 g is 1000 mg, q8h three
//!   times a day, two weeks 14 days), number words are numbers, and a unit may be left out;
//! * a **date**, of which all parts must stand in one date of the note.
//!
//! What it cannot see, so that it passes: findings that are in no list; relations between facts
//! (who, why, in which order); a number of the note that is said of another measurement; a term
//! that the note names of somebody else. What it may flag though it is right: a fact that follows
//! from the note without standing there (an age from a date, a count of a list), and another name
//! that the list lacks: a list of the user's own adds those.

mod amounts;
mod answers;
mod check;
mod cues;
mod dates;
mod mentions;
mod polarity;
mod reading;
mod sides;
mod spoken;
mod terms;
mod text;

use std::fmt;

use serde::Serialize;

pub use terms::{TermKind, Terms};

use crate::Overlap;
use check::Source;

/// Compares summaries with notes.
#[derive(Debug, Clone)]
pub struct Auditor {
    terms: Terms,
}

/// What the audit found in one summary.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Audit {
    /// What the note does not support, in the order of the summary.
    pub unsupported: Vec<Unsupported>,
    /// How many facts of the summary were looked for in the note.
    pub facts: usize,
}

impl Audit {
    /// How many of the facts the note supports.
    pub fn supported(&self) -> usize {
        self.facts - self.unsupported.len()
    }
}

/// One thing that a summary says and its note does not support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsupported {
    /// Its first byte in the summary.
    pub start: usize,
    /// The byte after its last one.
    pub end: usize,
    /// What sort of fact it is.
    pub kind: Kind,
    /// The words there.
    pub text: String,
    /// Why it is not supported.
    pub why: String,
}

/// The sorts of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A number with another unit or none.
    Number,
    /// How much of a medication.
    Dose,
    /// How often.
    Frequency,
    /// A date or a day.
    Date,
    /// How long, or how long ago; an age.
    Duration,
    /// Affirmed here and denied there, or the other way round.
    Negation,
    /// Left, right, both.
    Side,
    /// A medication that the note does not name.
    Medication,
    /// A finding that the note does not name.
    Finding,
    /// A procedure that the note does not name.
    Procedure,
}

impl Kind {
    /// The word for it, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Dose => "dose",
            Self::Frequency => "frequency",
            Self::Date => "date",
            Self::Duration => "duration",
            Self::Negation => "negation",
            Self::Side => "side",
            Self::Medication => "medication",
            Self::Finding => "finding",
            Self::Procedure => "procedure",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Auditor {
    /// With these terms: [`Terms::built_in`] or [`Terms::with_file`].
    pub fn new(terms: Terms) -> Self {
        Self { terms }
    }

    /// What `summary` says that `note` does not support.
    pub fn check(&self, note: &str, summary: &str) -> Audit {
        Source::new(note, &self.terms).check(summary)
    }

    /// The facts of a summary against those of a reference summary: precision is the share of its
    /// own that the reference supports, recall the share of the reference's that it supports.
    pub fn compare(&self, reference: &str, summary: &str) -> Overlap {
        let share = |audit: Audit| audit.supported() as f64 / audit.facts.max(1) as f64;
        Overlap::of_shares(
            share(self.check(reference, summary)),
            share(self.check(summary, reference)),
        )
    }
}
