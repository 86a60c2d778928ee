//! Closed lists of words that decide whether a text affirms or denies.

/// Words that deny what follows them.
#[rustfmt::skip]
pub(crate) const NEGATIONS: &[&str] = &[
    "no", "nor", "neither", "never", "without", "denies", "denied", "deny", "denying",
    "denial", "absence", "lacks", "absent", "nil",
];

/// Words after `not` that let it deny what follows them.
#[rustfmt::skip]
pub(crate) const DENIABLE: &[&str] = &[
    "have", "has", "had", "having", "any", "report", "reported", "complain", "complaining",
    "experience", "experienced", "experiencing", "notice", "noticed", "feel", "feeling",
    "felt", "take", "taking", "took", "taken", "use", "using", "used", "seen", "been", "on",
    "a", "an", "currently", "smoke", "drink", "show", "reveal", "demonstrate", "endorse",
    "known", "develop", "diagnosed", "allergic", "aware", "suffer", "get", "getting",
    "really", "ever", "in",
];

/// `no relief with X`, `no other X`: X itself is not denied.
#[rustfmt::skip]
pub(crate) const QUALIFIERS: &[&str] = &[
    "change", "improvement", "relief", "response", "increase", "decrease", "effect", "help",
    "difference", "longer", "further", "additional", "other", "more", "need", "prior",
    "previous", "only", "doubt", "one", "similar", "complication", "complications",
    "problem", "problems", "issue", "issues", "lot", "abnormal", "related", "else",
    "besides",
];

/// `no severe X`
#[rustfmt::skip]
pub(crate) const DEGREES: &[&str] = &[
    "acute", "significant", "major", "severe", "new", "much", "sudden", "serious", "marked",
    "worsening", "persistent", "constant",
];

/// Behind these, what is denied is not what follows: `no relief with X`.
#[rustfmt::skip]
pub(crate) const MEANS: &[&str] = &[
    "despite", "after", "because", "due", "from", "with", "by", "on", "until", "before",
    "when", "since", "secondary", "during",
];

/// A new statement begins.
#[rustfmt::skip]
pub(crate) const SUBJECTS: &[&str] = &[
    "he", "she", "i", "they", "we", "patient", "you", "positive", "it",
];

/// A relative who does this speaks of the patient.
#[rustfmt::skip]
pub(crate) const REPORTS: &[&str] = &[
    "reports", "reported", "report", "states", "stated", "says", "said", "describes",
    "described", "describe", "denies", "denied", "notes", "noted", "noticed", "notices",
    "complains", "worried", "concerned", "brought", "brings", "endorses", "thinks", "gives",
    "is", "are",
];

/// What follows may be or not.
#[rustfmt::skip]
pub(crate) const CONDITIONS: &[&str] = &[
    "if", "unless", "whether",
];

/// Before an answer.
#[rustfmt::skip]
pub(crate) const FILLERS: &[&str] = &[
    "um", "uh", "oh", "well", "ah", "hm", "hmm", "so", "actually", "honestly", "thankfully",
    "okay", "ok", "i", "he", "she", "they", "we", "you", "it", "would", "say", "think",
    "really", "thank", "god", "fortunately", "luckily", "that's", "that", "a",
];

/// An answer that affirms.
#[rustfmt::skip]
pub(crate) const YES: &[&str] = &[
    "yes", "yeah", "yep", "yup", "yea", "correct", "right", "sure", "definitely",
    "absolutely", "sometimes", "occasionally", "affirmative", "exactly",
];

/// An answer that affirms if nothing follows.
#[rustfmt::skip]
pub(crate) const SHORT: &[&str] = &[
    "do", "did", "does", "am", "have", "has", "is",
];

/// An answer that denies.
#[rustfmt::skip]
pub(crate) const NO: &[&str] = &[
    "no", "nope", "nah", "never", "none", "not", "negative", "neither", "nothing", "denies",
];

/// Between a finding and what denies it: `X and Y are absent`.
#[rustfmt::skip]
pub(crate) const LINKS: &[&str] = &[
    "is", "are", "was", "were", "has", "have", "been", "also", "both",
];
