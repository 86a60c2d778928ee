//! Is a summary complete and supported? Counted on words, against the findings of its note.
//!
//! A sidecar file lists the findings of each note ([`read_jsonl`]); [`check`] compares a summary
//! with them and with the note. The rules are those of careful reading, made mechanical:
//!
//! * A **mention** is a term or an alias as whole words, whatever their case, hyphens and plural
//!   -s; `knee pain` is also found in `pain in the left knee`. The longest match wins.
//! * A **negation** (`no`, `denies`, `without`, `negative for`, ...) reaches over lists to the end
//!   of its clause; `;`, `but` and a new verb end it. `X is absent` and `X: none` look back, and
//!   `does not deny` negates nothing. It reaches results too (`showed no X`), but not the test in
//!   `no X on the Y`.
//! * A **number** belongs to the finding before it, or to the one after it (`500 mg of X`, `3-day
//!   history of X`); a bare list (`fever and cough for 3 days`) shares it. Number words are
//!   digits, units have one spelling, and `od`, `bd`, `tds` and `qds` are so many times a day. `<5`
//!   is not 5. The unit may be left out of a vital sign or a test result. Where the note left it
//!   out, a test gets none, and a vital sign of a known name one of its own.
//! * A **time in words** is read like a number: days of the week, `yesterday`, `last night`, `at
//!   bedtime`, `with meals`, `as needed` and the like, a closed list.
//! * A **side** belongs to the finding it stands before, else to the one before it.
//! * Every **other word** must be a word of the note, of the findings, or a frame word: one that
//!   states nothing by itself. One that the note only denies may not be affirmed, nor the other
//!   way round.
//!
//! Complete: each finding is mentioned with its polarity, side and details, and the text ends with
//! a full stop, behind a word that can end a sentence. Supported: no mention has another polarity,
//! side, number or time than the note gives it, no word is foreign, nothing is repeated and no
//! other text follows.
//!
//! What words cannot show, so that it passes: a finding made up from words of the note that the
//! sidecar does not list; two findings joined by a verb that relates them wrongly (`pneumonia
//! caused the fever`); a dropped `suspected`; who did what and in which order; `since Monday` for
//! `on Monday`; a time outside the closed list (`in March`, `at dawn`) that the note says of
//! another finding; a number, a time or a `no` said twice of one finding; a middle sentence that
//! states nothing; °F for °C where the note gives no unit; and that a summary is no summary but a
//! copy of its note.
//!
//! What fails although it is right: another name that is no alias (`afebrile` for `no fever`),
//! `every 8 hours` for `three times daily`, 48 hours for two days, and a time so far from its
//! finding that another one stands nearer.

mod check;
mod detail;
mod ending;
pub(crate) mod frame;
mod jsonl;
pub(crate) mod mentions;
mod negation;
pub(crate) mod quantity;
mod reading;
mod repetition;
mod times;
pub(crate) mod tokens;
mod verdict;

use serde::{Deserialize, Serialize};

pub use check::check;
pub use jsonl::read_jsonl;
pub use verdict::{Lack, Missing, Reason, Unsupported, Verdict};

/// One line of a findings sidecar: what one note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoteFindings {
    /// The id of the note's factual row.
    pub id: String,
    /// In any order.
    pub findings: Vec<Finding>,
}

/// One thing that a note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What sort of thing it is.
    pub kind: FindingKind,
    /// Its name, without the side.
    pub term: String,
    /// Other names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// `false`: the note says that it is not there.
    pub present: bool,
    /// The side of the body, if the note gives one.
    #[serde(default)]
    pub side: Option<Side>,
    /// What a summary must say about it: `500 mg`, `twice daily`, `150/90 mmHg`, `normal`.
    #[serde(default)]
    pub details: Vec<String>,
}

/// The sorts of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// What the patient feels or shows.
    Symptom,
    /// A measured vital sign.
    Vital,
    /// An examination with a result; `negative` is a result here, not a negation.
    Test,
    /// A disease.
    Diagnosis,
    /// A medication.
    Drug,
    /// Something done to the patient.
    Procedure,
    /// Something that somebody else has. A summary may leave it out; it must not be said of the
    /// patient.
    OtherPerson,
}

/// A side of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
    /// Both.
    Bilateral,
}

impl Side {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Bilateral => "bilateral",
        }
    }
}
