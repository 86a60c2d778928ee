//! What a model writes for the notes of a file: every distinct note once.

use std::collections::BTreeMap;

use serde::Serialize;
use sft_dataset::{PromptTemplate, Record};

use crate::audit::{Audit, Auditor, Kind};
use crate::findings::{NoteFindings, check};
use crate::quality::{Quality, quality};
use crate::rouge::rouge;
use crate::{Bootstrap, Interval, Overlap};

/// Where a template takes the note.
const PLACEHOLDER: &str = "{clinical_note}";

/// Words of a note that no summary repeats whole.
const ECHO: usize = 10;

/// Bytes of a template's line that a summary would not have by chance.
const SHORTEST_PART: usize = 8;

/// Distinct notes, in the order of their rows, with what is known of each.
#[derive(Debug, Clone, Default)]
pub struct NoteSet {
    notes: Vec<EvalNote>,
    /// Lines of the prompt's template, which belong into no summary.
    template: Vec<String>,
    /// Line breaks of the reference that has most of them.
    line_breaks: Option<usize>,
    /// Whether references are copies of their notes as a rule.
    echoes: bool,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct EvalNote {
    /// The id of its first row.
    pub id: String,
    /// The 1-based line of its first row.
    pub line: u64,
    /// The text.
    pub note: String,
    /// Its factual summaries.
    pub references: Vec<String>,
    /// What a complete summary says, where a sidecar lists it.
    pub findings: Option<NoteFindings>,
}

/// What a model wrote for one note.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text.
    pub summary: String,
    /// Whether it ended by itself, rather than at its limit.
    pub ended: bool,
}

/// What is to be said of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// F1 of ROUGE-1, 2 and L (words stemmed), of the best reference each; none without one.
    pub rouge: Option<[f64; 3]>,
    /// Length, copying, repetition; the length ratio is to the first reference.
    pub quality: Quality,
    /// Whether it has the form of the references and nothing of the prompt; none without any reference.
    pub in_format: Option<bool>,
    /// What the note does not support.
    pub audit: Audit,
    /// The facts of the answer against those of the first reference.
    pub facts: Option<Overlap>,
    /// It ended, has the form of the references, says nothing that the note does not support, and
    /// leaves out no fact of a reference.
    pub faithful: Option<bool>,
    /// It is complete and supported by the sidecar's count; none without a sidecar.
    pub complete_and_supported: Option<bool>,
}

/// Figures of a model's summaries, each a mean over notes with its 95 % bootstrap interval over
/// notes. `None` (`null`) where no note has what it needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryFigures {
    /// Notes that were summarised.
    pub notes: usize,
    /// Those of them with a factual summary to compare with.
    pub with_reference: usize,
    /// F1 of ROUGE-1, stemmed.
    pub rouge1: Option<Interval>,
    /// F1 of ROUGE-2, stemmed.
    pub rouge2: Option<Interval>,
    /// F1 of ROUGE-L, stemmed.
    pub rouge_l: Option<Interval>,
    /// Words for each word of the reference.
    pub length_ratio: Option<Interval>,
    /// Share of summaries that ended by themselves.
    pub eos_rate: Option<Interval>,
    /// Share of a summary's words that lie in a fragment copied from the note.
    pub copy_rate: Option<Interval>,
    /// Share of a summary's runs of four words that it had before.
    pub repetition: Option<Interval>,
    /// Share of summaries with some text, nothing of the prompt's template, no more lines than the
    /// references have, and not nearly all of the note in one piece.
    pub in_format: Option<Interval>,
    /// Share of summaries in which every fact that was looked for is in the note.
    pub grounded: Option<Interval>,
    /// Facts of all summaries that were looked for in their notes.
    pub facts: usize,
    /// Those that the notes do not support, by kind.
    pub unsupported: BTreeMap<Kind, usize>,
    /// Share of a summary's facts that its reference has.
    pub fact_precision: Option<Interval>,
    /// Share of a reference's facts that its summary has.
    pub fact_recall: Option<Interval>,
    /// Share of summaries that ended, have the form of the references, say nothing unsupported and
    /// leave out no fact of a reference. An echo of the note is grounded, but has another form.
    pub faithful: Option<Interval>,
    /// Share of summaries that are complete and supported by the sidecar's count, ...
    pub complete_and_supported: Option<Interval>,
    /// ... of so many notes that it lists.
    pub with_findings: usize,
}

impl NoteSet {
    /// The distinct notes of these rows, for a model that is asked with this template.
    pub fn new(records: &[Record], template: &PromptTemplate) -> Self {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut notes: Vec<EvalNote> = Vec::new();
        for record in records {
            let place = *places.entry(&record.clinical_note).or_insert(notes.len());
            if place == notes.len() {
                notes.push(EvalNote {
                    id: record.id.clone(),
                    line: record.line,
                    note: record.clinical_note.clone(),
                    references: Vec::new(),
                    findings: None,
                });
            }
            if record.is_factual() {
                notes[place].references.push(record.model_summary.clone());
            }
        }
        let references = notes.iter().flat_map(|note| &note.references);
        let line_breaks = references.map(|text| text.matches('\n').count()).max();
        let parts = template.text().replace(PLACEHOLDER, "\n");
        let parts = parts.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_PART);
        let template = parts.map(str::to_owned).collect();
        let first = |note: &EvalNote| {
            note.references.first().map(|reference| is_echo(&note.note, reference))
        };
        let echoes: Vec<bool> = notes.iter().filter_map(first).collect();
        let echoes = 2 * echoes.iter().filter(|&&echo| echo).count() > echoes.len();
        Self { notes, template, line_breaks, echoes }
    }

    /// Whether a summary has the form of the references: some text, nothing of the prompt's template,
    /// no more lines than the longest of them, and no echo of its note where the references are none.
    fn in_format(&self, note: &EvalNote, summary: &str) -> Option<bool> {
        let most = self.line_breaks?;
        let text = summary.trim();
        let as_references = !text.is_empty()
            && !self.template.iter().any(|part| text.contains(part.as_str()))
            && text.matches('\n').count() <= most;
        Some(as_references && (self.echoes || !is_echo(&note.note, text)))
    }

    /// Adds what a sidecar lists, by the ids of `records`; gives how many notes have
    /// something.
    pub fn add_findings(&mut self, records: &[Record], findings: &[NoteFindings]) -> usize {
        let by_id: BTreeMap<&str, &NoteFindings> =
            findings.iter().map(|note| (note.id.as_str(), note)).collect();
        let of_note: BTreeMap<&str, &NoteFindings> = records
            .iter()
            .filter_map(|record| {
                Some((record.clinical_note.as_str(), *by_id.get(record.id.as_str())?))
            })
            .collect();
        for note in &mut self.notes {
            note.findings = of_note.get(note.note.as_str()).map(|found| (*found).clone());
        }
        self.notes.iter().filter(|note| note.findings.is_some()).count()
    }

    /// Keeps the notes for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&EvalNote) -> bool) {
        self.notes.retain(keep);
    }

    /// The notes.
    pub fn notes(&self) -> &[EvalNote] {
        &self.notes
    }

    /// Judges an answer to each of the notes, in their order.
    pub fn judge(&self, answers: &[Answer], auditor: &Auditor) -> Vec<Judged> {
        let judge = |(note, answer): (&EvalNote, &Answer)| {
            note.judge(answer, auditor, self.in_format(note, &answer.summary))
        };
        self.notes.iter().zip(answers).map(judge).collect()
    }
}

/// Whether a summary has nearly all of its note in one piece; of a note of a few words it may.
fn is_echo(note: &str, summary: &str) -> bool {
    let words = quality("", note, None, true).words;
    words >= ECHO && 10 * quality(note, summary, None, true).longest_copy >= 9 * words
}

impl EvalNote {
    fn judge(&self, answer: &Answer, auditor: &Auditor, in_format: Option<bool>) -> Judged {
        let summary = answer.summary.as_str();
        let first = self.references.first().map(String::as_str);
        let audit = auditor.check(&self.note, summary);
        let grounded = answer.ended && in_format == Some(true) && audit.unsupported.is_empty();
        let scores = self.references.iter().map(|reference| {
            let scores = rouge(reference, summary, true);
            [scores.rouge1.f1, scores.rouge2.f1, scores.rouge_l.f1]
        });
        let best = |a: [f64; 3], b: [f64; 3]| std::array::from_fn(|i| a[i].max(b[i]));
        let has_all = |reference: &String| auditor.compare(reference, summary).recall >= 1.0;
        Judged {
            rouge: scores.reduce(best),
            in_format,
            quality: quality(&self.note, summary, first, answer.ended),
            facts: first.map(|reference| auditor.compare(reference, summary)),
            faithful: first.map(|_| grounded && self.references.iter().any(has_all)),
            complete_and_supported: self.findings.as_ref().map(|findings| {
                let verdict = check(&self.note, &findings.findings, summary);
                answer.ended && verdict.complete() && verdict.supported()
            }),
            audit,
        }
    }
}

/// The value of one figure in one answer.
type Value = fn(&Judged) -> Option<f64>;

/// The figures that are means over notes, by name.
const MEANS: [(&str, Value); 13] = [
    ("rouge1", |judged| judged.rouge.map(|f1| f1[0])),
    ("rouge2", |judged| judged.rouge.map(|f1| f1[1])),
    ("rouge_l", |judged| judged.rouge.map(|f1| f1[2])),
    ("length_ratio", |judged| judged.quality.length_ratio),
    ("eos_rate", |judged| share(judged.quality.ended)),
    ("copy_rate", |judged| Some(judged.quality.coverage)),
    ("repetition", |judged| Some(judged.quality.repetition)),
    ("in_format", |judged| judged.in_format.and_then(share)),
    ("grounded", |judged| share(judged.audit.unsupported.is_empty())),
    ("fact_precision", |judged| judged.facts.map(|facts| facts.precision)),
    ("fact_recall", |judged| judged.facts.map(|facts| facts.recall)),
    ("faithful", |judged| judged.faithful.and_then(share)),
    ("complete_and_supported", |judged| judged.complete_and_supported.and_then(share)),
];

#[allow(clippy::unnecessary_wraps)] // as the others are
fn share(holds: bool) -> Option<f64> {
    Some(f64::from(u8::from(holds)))
}

fn mean(judged: &[Judged], name: &str) -> Option<Interval> {
    let (_, value) = MEANS.iter().find(|(known, _)| *known == name)?;
    let values: Vec<f64> = judged.iter().filter_map(value).collect();
    Bootstrap::default().mean(&values, &(0..values.len()).collect::<Vec<_>>())
}

impl SummaryFigures {
    /// Of the answers to distinct notes.
    pub fn new(judged: &[Judged]) -> Self {
        let mean = |name| mean(judged, name);
        let mut unsupported = BTreeMap::new();
        for fact in judged.iter().flat_map(|judged| &judged.audit.unsupported) {
            *unsupported.entry(fact.kind).or_insert(0) += 1;
        }
        Self {
            notes: judged.len(),
            with_reference: judged.iter().filter(|judged| judged.rouge.is_some()).count(),
            rouge1: mean("rouge1"),
            rouge2: mean("rouge2"),
            rouge_l: mean("rouge_l"),
            length_ratio: mean("length_ratio"),
            eos_rate: mean("eos_rate"),
            copy_rate: mean("copy_rate"),
            repetition: mean("repetition"),
            in_format: mean("in_format"),
            grounded: mean("grounded"),
            facts: judged.iter().map(|judged| judged.audit.facts).sum(),
            unsupported,
            fact_precision: mean("fact_precision"),
            fact_recall: mean("fact_recall"),
            faithful: mean("faithful"),
            complete_and_supported: mean("complete_and_supported"),
            with_findings: judged.iter().filter(|j| j.complete_and_supported.is_some()).count(),
        }
    }
}

/// What `after` gains over `before` on the same notes: the mean difference of each figure, with its
/// interval.
pub fn gains(before: &[Judged], after: &[Judged]) -> BTreeMap<String, Interval> {
    let gain = |(name, value): &(&str, Value)| {
        let pairs = before.iter().zip(after).filter_map(|(b, a)| Some((value(b)?, value(a)?)));
        let (before, after): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let notes: Vec<usize> = (0..before.len()).collect();
        let gain = Bootstrap::default().paired_difference(&before, &after, &notes)?;
        Some(((*name).to_owned(), gain))
    };
    MEANS.iter().filter_map(gain).collect()
}
