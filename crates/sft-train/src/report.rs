//! What a run will do, for a reader: the settings, the data, the model, the plan, and two examples.

use std::collections::BTreeMap;
use std::fmt::Write;

use sft_dataset::{DatasetError, EncodedSet, PromptTokenizer};
use sft_model::Decoder;
use sft_trainer::Plan;

use crate::console;
use crate::data::Rows;
use crate::layers::Entry;
use crate::memory::Planned;

/// Examples that a dry run shows.
const EXAMPLES: usize = 2;

/// Every setting, its value and where the value came from; what the run will take.
pub(crate) fn settings(entries: &[Entry], memory: Option<&Planned>) -> String {
    let width = |text: fn(&Entry) -> String| {
        entries.iter().map(text).map(|text| text.chars().count()).max()
    };
    let names = width(|entry| entry.name.to_owned()).unwrap_or_default();
    // A long template or path may stand out; it need not push the origins of all others aside.
    let values = width(Entry::shown).unwrap_or_default().min(40);
    let mut text = String::from("settings:");
    for entry in entries {
        let origin =
            entry.value.as_ref().map_or("not set".to_owned(), |_| entry.origin.to_string());
        let _ = write!(text, "\n  {:names$}  {:values$}  {origin}", entry.name, entry.shown());
    }
    if let Some(memory) = memory {
        let _ = write!(text, "\n  {:names$}  {}", "memory", memory.line());
    }
    text
}

/// The files' rows, and what they are in tokens.
pub(crate) fn data(rows: &Rows, train: &EncodedSet, val: &EncodedSet) -> String {
    let mut text = String::from("data:");
    let mut line = |line: &str| {
        let _ = write!(text, "\n  {line}");
    };
    rows.report.iter().for_each(|text| line(text));
    for (name, set) in [("training", train), ("validation", val)] {
        if !set.examples.is_empty() {
            set.report.lines().iter().for_each(|text| line(&format!("{name}: {text}")));
        }
    }
    text
}

/// Size of the model, and which of its layers are trained.
pub(crate) fn model(model: &Decoder) -> String {
    let config = model.config();
    let (total, trainable) = (model.total_parameters(), model.trainable_parameters());
    let share = 100.0 * trainable as f64 / total as f64;
    let mut text = format!(
        "model:\n  {} layers, hidden size {}, vocabulary {}\n  parameters: {} in total, {} trainable ({share:.3} %)\n  adapted modules:",
        config.num_hidden_layers,
        config.hidden_size,
        config.vocab_size,
        grouped(total),
        grouped(trainable),
    );
    // [r, in] of A and [out, r] of B, by the last part of the layer's name.
    let mut shapes: BTreeMap<(String, usize), usize> = BTreeMap::new();
    for (name, var) in model.lora_parameters() {
        if let Some(module) = name.strip_suffix(".lora_A.weight") {
            let leaf = module.rsplit('.').next().unwrap_or(module);
            let r = var.dims().first().copied().unwrap_or_default();
            *shapes.entry((leaf.to_owned(), r)).or_default() += 1;
        }
    }
    for ((leaf, r), count) in shapes {
        let _ = write!(text, "\n    {leaf}: {count} layers, r {r}");
    }
    text
}

/// How long the run is.
pub(crate) fn plan(plan: &Plan, train: &EncodedSet) -> String {
    let tokens = train.report.tokens.total;
    let epochs = plan.total_steps as f64 / plan.steps_per_epoch as f64;
    format!(
        "plan:\n  {} optimizer steps, {} an epoch ({} epochs); {} examples a step\n  {} tokens an epoch, about {} in all",
        plan.total_steps,
        plan.steps_per_epoch,
        (epochs * 100.0).round() / 100.0,
        plan.window_size,
        grouped(tokens),
        grouped((tokens as f64 * epochs) as usize),
    )
}

/// The first examples as the model sees them, the trained part marked.
pub(crate) fn examples(
    train: &EncodedSet,
    tokenizer: &PromptTokenizer,
) -> Result<String, DatasetError> {
    let mut text = String::from("examples (the model learns what stands in ⟦ ⟧):");
    for example in train.examples.iter().take(EXAMPLES) {
        let _ = write!(text, "\n--- line {}\n", example.line);
        for piece in tokenizer.pieces(example)? {
            text.push_str(&if piece.trained { console::trained(&piece.text) } else { piece.text });
        }
    }
    Ok(text)
}

/// 1234567 as 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
