//! Gradients of one row, and two steps along them.

use std::collections::BTreeSet;

use candle_core::Tensor;
use sft_dataset::{Batch, Example};
use sft_model::{Decoder, Gradients, LossSum, Packed, TrainPass};

use crate::adapters::Adapters;
use crate::{Check, CheckResult, Result, SelfTestError, reference};

/// Adam's, beside the size of a gradient.
const EPS: f64 = 1e-8;

/// The rate of a step that no model overshoots with, whatever the run's is.
const SMALL_STEP: f64 = 1e-4;

/// [`Check::Gradients`] and [`Check::LossFalls`], on the shortest row, without dropout. The adapters are as before
/// afterwards.
pub(crate) fn check(
    decoder: &Decoder,
    adapters: &Adapters,
    examples: &[Example],
    fresh: bool,
    learning_rate: f64,
) -> Result<[CheckResult; 2]> {
    let row =
        examples.iter().min_by_key(|example| example.ids.len()).ok_or(SelfTestError::NoExample)?;
    let row = Row { batch: Batch::pack([row]), line: row.line };
    let (before, first) = row.backward(decoder)?;
    step(adapters, &first, SMALL_STEP)?;
    let (_, second) = row.backward(decoder)?;
    adapters.restore()?;
    step(adapters, &first, learning_rate)?;
    let (_, next) = row.backward(decoder)?;
    step(adapters, &next, learning_rate)?;
    let after = decoder.loss(&row.packed(), &row.targets())?;
    adapters.restore()?;

    let modules = adapters.modules();
    let gradients = missing(&modules, &first)
        .map_or_else(|| dead(&modules, &first, &second, fresh), |problem| Ok(Some(problem)))?;
    let [before, after] = [before, after].map(|loss| loss.nll / loss.targets as f64);
    let falls = (after.is_nan() || after >= before).then(|| {
        let other = if (after - before).abs() < 1e-6 * before { "raise" } else { "lower" };
        format!(
            "the loss of the row of line {} was {before:.6} and is {after:.6} after two steps at rate {learning_rate:e}; \
             {other} --learning_rate, and if that does not help, do not train with this model",
            row.line
        )
    });
    Ok([
        CheckResult::of(Check::Gradients, gradients, format!("{} modules", modules.len())),
        CheckResult::of(
            Check::LossFalls,
            falls,
            format!("{before:.4} to {after:.4} at rate {learning_rate:e}"),
        ),
    ])
}

struct Row {
    batch: Batch,
    line: u64,
}

impl Row {
    fn packed(&self) -> Packed<'_> {
        let Batch { ids, positions, cu_seqlens, example, .. } = &self.batch;
        Packed { ids, positions, cu_seqlens, example }
    }

    fn targets(&self) -> Vec<(u32, u32)> {
        self.batch.targets.iter().map(|target| (target.row, target.label)).collect()
    }

    fn backward(&self, decoder: &Decoder) -> Result<(LossSum, Gradients)> {
        let mut gradients = Gradients::default();
        let pass = TrainPass::default();
        let loss =
            decoder.forward_backward(&self.packed(), &self.targets(), &pass, &mut gradients)?;
        Ok((loss, gradients))
    }
}

/// The first step of Adam: each number by about the rate, against the sign of its gradient.
fn step(adapters: &Adapters, gradients: &Gradients, rate: f64) -> Result<()> {
    for (name, gradient) in gradients.iter() {
        if let Some(var) = adapters.vars.get(name) {
            let direction = (gradient / (gradient.abs()? + EPS)?)?;
            let moved: Tensor = (var.as_tensor() - (direction * rate)?)?;
            var.set(&moved.detach())?;
        }
    }
    Ok(())
}

/// Modules whose adapters the backward pass does not reach.
fn missing(modules: &[&str], gradients: &Gradients) -> Option<String> {
    let parts = |module: &str| ["lora_A", "lora_B"].map(|part| format!("{module}.{part}.weight"));
    let is_missing = |module: &&str| parts(module).iter().any(|name| gradients.get(name).is_none());
    let (cut, reached): (Vec<&str>, Vec<&str>) =
        modules.iter().partition(|module| is_missing(module));
    let (cut_names, reached_names) = (leaves(&cut), leaves(&reached));
    let first = cut.first()?;
    let rotated = ["q_proj", "k_proj"];
    let cause = if cut_names.iter().all(|name| rotated.contains(name))
        && !rotated.iter().any(|name| reached_names.contains(name))
    {
        "what these have in common is the rotary embedding: it cuts the gradient"
    } else {
        "the way from the loss to them is cut"
    };
    Some(format!(
        "none reaches {} of {} modules ({}; the first is {first}): {cause}; do not train, they would never learn",
        cut.len(),
        modules.len(),
        cut_names.into_iter().collect::<Vec<_>>().join(", "),
    ))
}

/// Adapters that are reached and would learn nothing, or learn the wrong way round.
fn dead(
    modules: &[&str],
    first: &Gradients,
    second: &Gradients,
    fresh: bool,
) -> Result<Option<String>> {
    let norms = |part: &str, gradients: &Gradients| -> Result<Vec<f64>> {
        let norm = |module: &&str| match gradients.get(&format!("{module}.{part}.weight")) {
            Some(gradient) => {
                Ok(reference::vector(gradient)?.iter().map(|g| g * g).sum::<f64>().sqrt())
            }
            None => Ok(0.0),
        };
        modules.iter().map(norm).collect()
    };
    let [a, b] = [norms("lora_A", first)?, norms("lora_B", first)?];
    let later = norms("lora_A", second)?;
    let find = |wrong: &dyn Fn(usize) -> bool| -> Option<(usize, &str)> {
        let found: Vec<usize> = (0..modules.len()).filter(|&i| wrong(i)).collect();
        Some((found.len(), modules[*found.first()?]))
    };
    let all = modules.len();
    let problems: [(Option<(usize, &str)>, &str); 5] = [
        (
            find(&|i| !a[i].is_finite() || !b[i].is_finite()),
            "the gradient is not finite; the weights of the base are damaged, or too large for the data type",
        ),
        (
            find(&|i| fresh && b[i] == 0.0 && a[i] != 0.0),
            "in the first step A gets a gradient and B none: A and B are swapped in the initialisation; make A random \
             and B zero",
        ),
        (
            find(&|i| b[i] == 0.0),
            "the gradient of B is zero: what A or the base hands on is zero; do not train",
        ),
        (
            find(&|i| fresh && a[i] != 0.0),
            "the gradient of A is not zero in the first step: B is not zero; make A random and B zero",
        ),
        (
            find(&|i| later[i] == 0.0),
            "the gradient of A is zero after a step: it would never learn; do not train",
        ),
    ];
    let problem = problems.into_iter().find_map(|(found, say)| found.map(|found| (found, say)));
    Ok(problem.map(|((count, module), say)| {
        format!("{count} of {all} modules ({module} is the first): {say}")
    }))
}

/// The last parts of modules' names.
fn leaves<'a>(modules: &[&'a str]) -> BTreeSet<&'a str> {
    modules.iter().filter_map(|module| module.rsplit('.').next()).collect()
}
