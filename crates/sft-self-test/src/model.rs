//! The numbers of the decoder and its adapters.

use sft_dataset::Example;
use sft_model::{Decoder, ModelDir};

use crate::adapters::{Adapters, is_b};
use crate::piece::Piece;
use crate::{Check, CheckResult, Result, blocks, learning, reference};

/// What is tested.
pub struct Subject<'a> {
    /// The base with its adapters, not merged.
    pub decoder: &'a mut Decoder,
    /// The folder it was loaded from.
    pub folder: &'a ModelDir,
    /// The training rows.
    pub examples: &'a [Example],
    /// Whether the adapters are as they were initialised: `A` random, `B` zero.
    pub fresh: bool,
    /// The highest learning rate of the run.
    pub learning_rate: f64,
}

/// Checks the model: [`Check::FreshAdapter`] to [`Check::Merged`].
///
/// `on_result` hears each result as soon as it is there. Adapters that were switched off are on afterwards, with the
/// values that they had, bit for bit, even after an error.
///
/// # Errors
/// When there is no row or no adapter, or a computation fails.
pub fn check_model(
    subject: Subject<'_>,
    on_result: &mut dyn FnMut(&CheckResult),
) -> Result<Vec<CheckResult>> {
    let adapters = Adapters::of(subject.decoder)?;
    let mut results = Vec::new();
    let mut report = |result: CheckResult| {
        on_result(&result);
        results.push(result);
    };
    let made = make_checks(subject, &adapters, &mut report);
    adapters.restore()?;
    made.map(|()| results)
}

fn make_checks(
    subject: Subject<'_>,
    adapters: &Adapters,
    report: &mut dyn FnMut(CheckResult),
) -> Result<()> {
    let Subject { decoder, folder, examples, fresh, learning_rate } = subject;
    let piece = Piece::of(examples)?;
    report(fresh_adapter(decoder, adapters, &piece, fresh)?);
    adapters.restore()?;
    learning::check(decoder, adapters, examples, fresh, learning_rate)?
        .into_iter()
        .for_each(&mut *report);
    blocks::check(decoder, folder, adapters, &piece)?.into_iter().for_each(report);
    Ok(())
}

/// A loaded adapter becomes a fresh one when its `B` is cleared.
fn fresh_adapter(
    decoder: &mut Decoder,
    adapters: &Adapters,
    piece: &Piece,
    fresh: bool,
) -> Result<CheckResult> {
    if !fresh {
        adapters.clear_b()?;
    }
    decoder.set_lora_enabled(false);
    let base = decoder.logits(&piece.packed(), None);
    decoder.set_lora_enabled(true);
    let base = reference::vector(&base?)?;
    let adapted = reference::vector(&decoder.logits(&piece.packed(), None)?)?;
    let gaps: Vec<f64> = adapted
        .iter()
        .zip(&base)
        .filter(|(adapted, base)| adapted.to_bits() != base.to_bits())
        .map(|(adapted, base)| (adapted - base).abs())
        .collect();
    let problem = if gaps.is_empty() {
        None
    } else {
        let largest = gaps.iter().copied().fold(0.0, f64::max);
        let found =
            format!("{} of {} logits change, by up to {largest:.1e}", gaps.len(), base.len());
        let mut not_zero = None;
        for (name, var) in adapters.vars.iter().filter(|(name, _)| is_b(name)) {
            if reference::vector(var)?.iter().any(|&b| b != 0.0) {
                not_zero = Some(name);
                break;
            }
        }
        Some(match not_zero {
            Some(name) => format!("{found}: {name} is not zero; initialise every B with zeros"),
            None => format!(
                "{found}, although every B is zero: the scale of an adapter (alpha / r) must multiply its update B A x \
                 alone, and not its base's output"
            ),
        })
    };
    let passed = format!("{} logits, bit for bit", base.len());
    Ok(CheckResult::of(Check::FreshAdapter, problem, passed))
}
