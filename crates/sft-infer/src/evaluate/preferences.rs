//! `--export_preferences`: pairs for preference training.

use std::collections::{BTreeMap, BTreeSet};

use sft_dataset::{Dataset, PromptTokenizer, Record};
use sft_eval::{EvalSet, Preference, Source, labelled_pairs};
use sft_inference::Generator;

use super::{Measured, Yardstick};
use crate::error::Error;
use crate::partial::PartialFile;

/// Pairs that were written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) labels: usize,
    pub(super) model: usize,
}

/// A line for each pair of labelled rows of one note, and for each summary of the model that its
/// note does not support. Rows that had to be cut to fit are left out: their prompts are not whole.
pub(super) fn write(
    file: &mut PartialFile,
    dataset: &Dataset,
    yardstick: &Yardstick<'_>,
    generator: &Generator,
    model: &Measured,
) -> Result<Written, Error> {
    let prompts = generator.prompts();
    let mut likelihoods: BTreeMap<usize, f64> = yardstick
        .set
        .records()
        .zip(&model.losses)
        .map(|(record, loss)| (record, -loss.nll))
        .collect();
    let mut records = dataset.records.clone();
    let mut pairs: Vec<(usize, usize, Source)> = labelled_pairs(&records)
        .into_iter()
        .map(|(chosen, rejected)| (chosen, rejected, Source::Labels))
        .collect();

    let mut own = own_summaries(dataset, yardstick, model);
    let found = own.len();
    let fits =
        whole_prompts(own.iter().map(|(_, record)| record), prompts, generator.max_length())?;
    let mut place = 0..;
    own.retain(|_| place.next().is_some_and(|place| fits.contains(&place)));
    let mut left_out = found - own.len();
    if !own.is_empty() {
        let first = records.len();
        let scored = Dataset {
            records: own.iter().map(|(_, record)| record.clone()).collect(),
            ..dataset.clone()
        };
        let set = EvalSet::new(&scored, prompts, generator.max_length())?;
        let losses = set.score(generator.decoder(), &mut |_, _| ())?;
        likelihoods.extend(set.records().zip(losses).map(|(at, loss)| (first + at, -loss.nll)));
        for (at, (chosen, record)) in own.into_iter().enumerate() {
            pairs.push((chosen, first + at, Source::Model));
            records.push(record);
        }
    }

    let mut written = Written::default();
    let whole = whole_prompts(&records, prompts, generator.max_length())?;
    for (chosen, rejected, source) in pairs {
        let (Some(&ref_chosen_logps), Some(&ref_rejected_logps), true) = (
            likelihoods.get(&chosen),
            likelihoods.get(&rejected),
            whole.contains(&chosen) && whole.contains(&rejected),
        ) else {
            left_out += 1;
            continue;
        };
        let completion =
            |record: &Record| prompts.template().lead().to_owned() + record.model_summary.trim();
        let preference = Preference {
            prompt: prompts.template().render(records[chosen].clinical_note.trim()),
            chosen: completion(&records[chosen]),
            rejected: completion(&records[rejected]),
            ref_chosen_logps,
            ref_rejected_logps,
            source,
            hallucination_type: records[rejected].hallucination_type.clone(),
            id: records[chosen].id.clone(),
        };
        file.write(format!("{}\n", serde_json::to_string(&preference)?).as_bytes())?;
        match source {
            Source::Labels => written.labels += 1,
            Source::Model => written.model += 1,
        }
    }
    if left_out > 0 {
        tracing::warn!(
            "{left_out} pairs were left out: they do not fit into the model's length whole"
        );
    }
    Ok(written)
}

/// The model's summaries that their notes do not support, as records, each with the place of the
/// factual record that is better.
fn own_summaries(
    dataset: &Dataset,
    yardstick: &Yardstick<'_>,
    model: &Measured,
) -> Vec<(usize, Record)> {
    let mut factual: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, record) in dataset.records.iter().enumerate().filter(|(_, r)| r.is_factual()) {
        factual.entry(&record.clinical_note).or_insert(place);
    }
    let notes = yardstick.notes.notes().iter().zip(&model.answers).zip(&model.judged);
    notes
        .filter(|((_, answer), judged)| {
            !judged.audit.unsupported.is_empty() && !answer.summary.trim().is_empty()
        })
        .filter_map(|((note, answer), judged)| {
            let chosen = *factual.get(note.note.as_str())?;
            let kinds: BTreeSet<&str> =
                judged.audit.unsupported.iter().map(|fact| fact.kind.name()).collect();
            let record = Record {
                model_summary: answer.summary.trim().to_owned(),
                label: "generated".into(),
                hallucination_type: kinds.into_iter().collect::<Vec<_>>().join("+"),
                ..dataset.records[chosen].clone()
            };
            (record.model_summary != dataset.records[chosen].model_summary)
                .then_some((chosen, record))
        })
        .collect()
}

/// The records that fit without being cut.
fn whole_prompts<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    prompts: &PromptTokenizer,
    max_length: usize,
) -> Result<BTreeSet<usize>, Error> {
    let mut whole = BTreeSet::new();
    for (place, record) in records.into_iter().enumerate() {
        let encoded =
            prompts.example(record, place as u64, max_length).map_err(Error::EvaluationCsv)?;
        if matches!(encoded, sft_dataset::Encoded::Fits { tokens_cut: 0, .. }) {
            whole.insert(place);
        }
    }
    Ok(whole)
}
