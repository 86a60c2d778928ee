//! The ids of the training rows: BOS, EOS, and the border between prompt and summary.

use std::collections::BTreeSet;
use std::path::Path;

use sft_dataset::{Batch, EncodedSet, Example, PromptTokenizer, Record, SftConfig};

use crate::{Check, CheckResult, Result};

/// The training rows, as text and as ids.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The rows that were encoded.
    pub records: &'a [Record],
    /// What they became.
    pub set: &'a EncodedSet,
    /// What made it.
    pub tokenizer: &'a PromptTokenizer,
    /// The tokenizer's file, which inference will read.
    pub tokenizer_json: &'a Path,
    /// What is saved beside the adapter, from which inference will build its prompts.
    pub saved: &'a SftConfig,
    /// The BOS of `config.json`, for tokenizers that add none.
    pub bos_id: Option<u32>,
}

/// Checks every training row: [`Check::Bos`], [`Check::Eos`], [`Check::Prompt`].
///
/// `on_result` hears each result as soon as it is there. No message holds text of a note.
///
/// # Errors
/// When the tokenizer fails.
pub fn check_text(
    text: &Text<'_>,
    on_result: &mut dyn FnMut(&CheckResult),
) -> Result<Vec<CheckResult>> {
    let mut results = Vec::new();
    let mut report = |result: CheckResult| {
        on_result(&result);
        results.push(result);
    };
    report(bos(text));
    report(eos(text));
    report(prompt(text)?);
    Ok(results)
}

fn bos(text: &Text<'_>) -> CheckResult {
    let prefix = text.tokenizer.prefix();
    let rows = text.set.examples.len();
    let Some(&bos) = prefix.first() else {
        // Nobody adds a BOS; a template may write it, and a chat template may write it at every turn.
        let doubled =
            |example: &Example| text.bos_id.is_some_and(|bos| example.ids.starts_with(&[bos, bos]));
        let problem = first(text, doubled, |_| {
            "begins with two BOS: take one of them out of the prompt template".to_owned()
        });
        let passed = format!("the tokenizer adds none, {rows} rows");
        return CheckResult::of(Check::Bos, problem, passed);
    };
    let expected = prefix.iter().filter(|&&id| id == bos).count();
    // Where EOS and BOS are one id, the last of a row is the EOS.
    let count = |example: &Example| {
        let ids = &example.ids[..example.ids.len().saturating_sub(1)];
        ids.iter().filter(|&&id| id == bos).count()
    };
    let wrong = |example: &Example| count(example) != expected || !example.ids.starts_with(prefix);
    let problem = first(text, wrong, |example| match count(example) {
        0 => format!(
            "has no BOS (id {bos}), which the tokenizer adds: rows and tokenizer do not belong together"
        ),
        found if found > expected => format!(
            "has {found} BOS (id {bos}): the tokenizer adds {expected} and the prompt template writes more; take BOS \
             out of the template"
        ),
        _ => format!(
            "has its BOS (id {bos}) not at the beginning; take it out of the prompt template"
        ),
    });
    CheckResult::of(Check::Bos, problem, format!("id {bos}, {rows} rows"))
}

fn eos(text: &Text<'_>) -> CheckResult {
    let eos = text.tokenizer.eos_id();
    let labels = |example: &Example| -> Vec<u32> {
        Batch::pack([example]).targets.iter().map(|target| target.label).collect()
    };
    let count = |labels: &[u32]| labels.iter().filter(|&&label| label == eos).count();
    let wrong = |example: &Example| {
        let labels = labels(example);
        count(&labels) != 1 || labels.last() != Some(&eos)
    };
    let problem = first(text, wrong, |example| match count(&labels(example)) {
        0 => format!(
            "does not train the EOS (id {eos}): it is masked or missing, and the model would never stop; the last \
             target must be the EOS"
        ),
        1 => format!(
            "trains the EOS (id {eos}) before the end of the summary; take it out of the summary"
        ),
        found => format!("trains the EOS (id {eos}) {found} times; take it out of the summary"),
    });
    let passed = format!("id {eos}, {} rows", text.set.examples.len());
    CheckResult::of(Check::Eos, problem, passed)
}

/// Inference reads tokenizer and template from files; a note it never shortens.
fn prompt(text: &Text<'_>) -> Result<CheckResult> {
    let inference = PromptTokenizer::from_file(
        text.tokenizer_json,
        text.saved.template()?,
        text.saved.eos_token_id,
    )?;
    let cut: BTreeSet<u64> = text.set.report.truncated.iter().map(|row| row.line).collect();
    let mut compared = 0;
    let mut wrong = BTreeSet::new();
    for example in text.set.examples.iter().filter(|example| !cut.contains(&example.line)) {
        if let Some(record) = text.records.get(example.index as usize) {
            compared += 1;
            let given = &example.ids[..example.first_target.min(example.ids.len())];
            if given != inference.prompt_ids(&record.clinical_note)? {
                wrong.insert(example.line);
            }
        }
    }
    if compared == 0 {
        let detail = "every note is shortened in training, and inference shortens none: no prompt is the same; raise \
                      --max_length";
        return Ok(CheckResult::of(Check::Prompt, Some(detail.to_owned()), String::new()));
    }
    let problem = first(
        text,
        |example| wrong.contains(&example.line),
        |_| {
            "has other prompt ids in training than inference will build from tokenizer.json and sft_config.json; take \
         rows, template and tokenizer of one run"
            .to_owned()
        },
    );
    let passed = match cut.len() {
        0 => format!("{compared} rows"),
        cut => format!("{compared} rows, without {cut} with a shortened note"),
    };
    Ok(CheckResult::of(Check::Prompt, problem, passed))
}

/// What is wrong with the first of the wrong rows, and how many there are.
fn first(
    text: &Text<'_>,
    wrong: impl Fn(&Example) -> bool,
    say: impl Fn(&Example) -> String,
) -> Option<String> {
    let examples = &text.set.examples;
    let found: Vec<&Example> = examples.iter().filter(|example| wrong(example)).collect();
    let example = found.first()?;
    Some(format!(
        "{} of {} rows are wrong; the row of line {} {}",
        found.len(),
        examples.len(),
        example.line,
        say(example)
    ))
}
