//! Closed lists of words.

/// Words of clinical prose that state nothing by themselves, so that a summary may use them even
/// where the note does not. Whatever names a finding, a grade, a course, a time, a place or a
/// person is missing here on purpose.
#[rustfmt::skip]
pub(crate) const FRAME: &[&str] = &[
    // articles, pronouns
    "a", "an", "the", "this", "that", "these", "those", "he", "she", "they", "it", "his", "her",
    "their", "its", "him", "them", "who", "which", "there", "whose", "both",
    // prepositions, conjunctions
    "of", "in", "on", "at", "to", "for", "with", "by", "from", "as", "over", "since", "and",
    "or", "but", "also", "well", "along", "plus", "while", "during", "about", "after", "into",
    "however", "although", "though", "than", "then", "where", "when", "whereas", "additionally",
    "further", "furthermore", "moreover", "too", "respectively", "including", "/",
    // auxiliaries
    "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "having", "do",
    "does", "did", "can", "could", "will", "would",
    // the patient and the account
    "patient", "history", "report", "reports", "reported", "reporting", "complain", "complains",
    "complained", "complaining", "complaint", "present", "presents", "presented", "presenting",
    "presentation", "describe", "describes", "described", "describing", "experience",
    "experiences", "experienced", "experiencing", "suffer", "suffers", "suffered", "suffering",
    "state", "states", "stated", "endorses", "endorsed", "noted", "mention", "mentions",
    "mentioned", "seen", "observed", "evident", "said", "says", "feels",
    // tests and measures
    "show", "shows", "showed", "shown", "showing", "reveal", "reveals", "revealed", "revealing",
    "demonstrate", "demonstrates", "demonstrated", "find", "finds", "found", "finding",
    "measure", "measures", "measured", "measuring", "measurement", "record", "recorded",
    "reading", "value", "result", "level", "test", "tested", "examination", "exam", "perform",
    "performs", "performed", "done", "obtained", "blood", "pressure", "temperature", "heart",
    "rate", "vital", "symptom", "sign", "side", "sided", "evidence", "indicated", "indicates",
    "detected",
    // diagnoses and treatment
    "diagnose", "diagnosed", "diagnosis", "assessment", "assessed", "take", "takes", "taken",
    "took", "taking", "start", "starts", "started", "receive", "receives", "received",
    "receiving", "treat", "treats", "treated", "treatment", "therapy", "prescribe",
    "prescribed", "prescription", "give", "gives", "given", "administered", "undergo",
    "undergoes", "undergone", "underwent", "undergoing", "use", "uses", "used", "using",
    "medication", "drug", "medicine", "dose", "dosage", "dosed", "course", "lasting", "lasted",
    "duration", "currently", "time", "procedure", "made", "put", "placed", "past", "medical",
    "due", "per", "associated",
    // negation
    "no", "not", "nor", "neither", "none", "never", "without", "deny", "denies", "denied",
    "denying", "absent", "absence", "any",
];

/// Frame words that a verb-like beginning of a new statement ends a negation with.
#[rustfmt::skip]
pub(crate) const VERBS: &[&str] = &[
    "has", "have", "had", "reports", "reported", "complains", "complained", "presents",
    "presented", "takes", "took", "taking", "started", "starts", "receives", "received",
    "underwent", "undergoes", "diagnosed", "treated", "prescribed", "given", "is", "are", "was",
    "were", "shows", "showed", "reveals", "revealed", "demonstrated", "demonstrates",
    "endorses", "admits", "describes", "described", "uses", "experiences", "found", "measured",
    "suffers", "states", "stated",
];

/// Verbs whose subject is a test or a measurement.
#[rustfmt::skip]
pub(crate) const TEST_VERBS: &[&str] = &[
    "shows", "showed", "reveals", "revealed", "demonstrates", "demonstrated", "measures",
    "measured", "found", "indicates", "indicated",
];

/// Words that end the reach of a negation.
#[rustfmt::skip]
pub(crate) const BREAKS: &[&str] =
    &[
    "but", "however", "although", "though", "except", "whereas", "yet", "while",
];

/// What joins the members of a list.
#[rustfmt::skip]
pub(crate) const JOINS: &[&str] = &[
    "and", "or", "nor", "/", "plus", "&",
];

/// Words that no sentence ends with.
#[rustfmt::skip]
pub(crate) const DANGLING: &[&str] = &[
    "a", "an", "the", "this", "his", "her", "their", "its", "of", "in", "on", "at", "to", "for",
    "with", "by", "from", "as", "since", "and", "or", "but", "plus", "while", "during", "about",
    "into", "however", "although", "though", "than", "then", "where", "when", "whereas",
    "including", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had",
    "having", "who", "which", "whose", "that", "per", "every", "not", "nor", "neither",
    "without", "denies", "takes", "reports", "receives", "shows", "showed", "revealed",
    "additionally", "furthermore", "moreover", "/",
];

/// People who are not the patient.
#[rustfmt::skip]
pub(crate) const RELATIVES: &[&str] = &[
    "mother", "father", "brother", "sister", "parent", "grandmother", "grandfather", "aunt",
    "uncle", "cousin", "family", "familial", "relative", "sibling", "son", "daughter", "wife",
    "husband", "spouse", "partner", "child", "colleague", "friend", "neighbour", "neighbor",
    "roommate", "classmate", "contact",
];

/// Labels that begin another text where a colon follows them.
#[rustfmt::skip]
pub(crate) const LABELS: &[&str] = &[
    "note", "summary", "input", "output", "response", "instruction", "question", "answer",
    "user", "assistant", "system",
];

/// States nothing by itself?
pub(crate) fn is_frame(text: &str, stem: &str) -> bool {
    FRAME.contains(&text) || FRAME.contains(&stem)
}
