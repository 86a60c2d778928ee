//! Does a model recite the summaries that it was trained on? For notes that it has not seen, text that
//! stands in a training summary and not in the note can only come from memory.

use std::collections::BTreeSet;

use crate::findings::tokens::{Token, tokens};

/// Words of a run that two people would hardly choose alike.
const RUN: usize = 8;

/// Runs of words of training summaries.
#[derive(Debug, Clone, Default)]
pub struct Recitation {
    runs: BTreeSet<Vec<String>>,
}

impl Recitation {
    /// From the summaries that a model was trained on.
    pub fn new<'s>(summaries: impl IntoIterator<Item = &'s str>) -> Self {
        let runs = summaries.into_iter().flat_map(|summary| {
            words(summary).windows(RUN).map(<[String]>::to_vec).collect::<Vec<_>>()
        });
        Self { runs: runs.collect() }
    }

    /// The share of a summary's words, 0 to 1, that lie in a run of eight words that a training
    /// summary has too and the note has not. Words are compared whatever their case; numbers, too,
    /// so that a form that all summaries share counts only with the same content.
    pub fn share(&self, note: &str, summary: &str) -> f64 {
        let (note, summary) = (words(note), words(summary));
        let in_note: BTreeSet<&[String]> = note.windows(RUN).collect();
        let mut recited = vec![false; summary.len()];
        for (at, run) in summary.windows(RUN).enumerate() {
            if self.runs.contains(run) && !in_note.contains(run) {
                recited[at..at + RUN].fill(true);
            }
        }
        let count = recited.iter().filter(|&&recited| recited).count();
        count as f64 / summary.len().max(1) as f64
    }
}

fn words(text: &str) -> Vec<String> {
    tokens(text).into_iter().filter(Token::has_content).map(|token| token.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAINED: &str =
        "The patient has fever and cough. Started on amoxicillin 500 mg three times daily.";

    #[test]
    fn what_a_training_summary_has_and_the_note_has_not_is_recited() {
        let memory = Recitation::new([TRAINED]);
        assert_eq!(memory.share("Headache since Monday.", TRAINED), 1.0);
        assert_eq!(memory.share(TRAINED, TRAINED), 0.0, "it stands in the note");
        let own =
            "The patient has headache. Started on ibuprofen 400 mg twice daily for five days.";
        assert_eq!(memory.share("Headache.", own), 0.0);
        let half = "The patient has fever and cough. Started on ibuprofen 400 mg twice daily now.";
        // nine words of the first sentences, behind which the drug differs
        let share = memory.share("Something else.", half);
        assert!((share - 8.0 / 14.0).abs() < 1e-9, "{share}");
        assert_eq!(memory.share("Note.", ""), 0.0);
        assert_eq!(Recitation::default().share("Note.", TRAINED), 0.0);
    }
}
