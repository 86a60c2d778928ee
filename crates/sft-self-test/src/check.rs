//! What is checked, and how it came out.

use std::fmt;

/// The checks, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Check {
    /// Every row begins with the tokenizer's BOS, and has no second one.
    Bos,
    /// Every row ends in the EOS, once, and it is a target.
    Eos,
    /// Training and inference build the same prompt ids.
    Prompt,
    /// With `B = 0` the logits are those of the base, bit for bit.
    FreshAdapter,
    /// Every `B` gets a gradient in the first step and every `A` from the second.
    Gradients,
    /// Two steps on one row make its loss smaller.
    LossFalls,
    /// Blocks and head compute what a second computation in f64 does.
    Reference,
    /// The gradients are those of finite differences in f64.
    FiniteDifferences,
    /// A merged layer computes what the layer with its adapter does.
    Merged,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bos => "exactly one BOS",
            Self::Eos => "exactly one EOS, and it is trained",
            Self::Prompt => "the prompt of training is that of inference",
            Self::FreshAdapter => "a fresh adapter leaves the logits equal",
            Self::Gradients => "every adapter receives a gradient",
            Self::LossFalls => "two steps lower the loss of one row",
            Self::Reference => "the model computes what an f64 reference does",
            Self::FiniteDifferences => "gradients agree with finite differences in f64",
            Self::Merged => "merged equals unmerged",
        })
    }
}

/// How a check came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What was checked.
    pub check: Check,
    /// Whether it is as it should be.
    pub passed: bool,
    /// If it passed, on what it rests; if not, what was found, what it should be, and what to do.
    pub detail: String,
}

impl CheckResult {
    /// `passed`, unless there is a problem.
    pub(crate) fn of(check: Check, problem: Option<String>, passed: String) -> Self {
        match problem {
            Some(detail) => Self { check, passed: false, detail },
            None => Self { check, passed: true, detail: passed },
        }
    }
}

/// One line: `ok   ... (...)` or `FAIL ...: ...`.
impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, passed, detail } = self;
        if *passed {
            write!(f, "ok   {check} ({detail})")
        } else {
            write!(f, "FAIL {check}: {detail}")
        }
    }
}
