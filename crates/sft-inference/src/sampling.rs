//! From logits to the next token.

use std::collections::BTreeSet;

use sft_kernels::random::philox4x32;

use crate::GenerationParams;

/// The next token of one sequence, or `None` if the logits hold a NaN, an infinity or no number
/// above minus infinity.
///
/// `seen` are the ids of the prompt and of the summary so far; `note` and `step` name the draw.
pub(crate) fn next_token(
    logits: &mut [f32], // [vocab]
    seen: &BTreeSet<u32>,
    params: &GenerationParams,
    note: usize,
    step: usize,
) -> Option<u32> {
    if logits.iter().any(|x| x.is_nan() || *x == f32::INFINITY) {
        return None;
    }
    penalise(logits, seen, params.repetition_penalty as f32);
    if params.is_greedy() {
        return argmax(logits);
    }
    let candidates = distribution(logits, params)?;
    Some(pick(&candidates, uniform(params.seed, note, step)))
}

/// Divides the positive logits of the ids in `seen` and multiplies the negative ones, each once
/// (Keskar et al., "CTRL", 2019, with the sign rule of `transformers`).
fn penalise(logits: &mut [f32], seen: &BTreeSet<u32>, penalty: f32) {
    if penalty == 1.0 {
        return;
    }
    for &id in seen {
        if let Some(x) = logits.get_mut(id as usize) {
            *x = if *x < 0.0 { *x * penalty } else { *x / penalty };
        }
    }
}

/// The lowest id among the highest logits.
fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (id, &x) in logits.iter().enumerate() {
        if x > best.map_or(f32::NEG_INFINITY, |(_, max)| max) {
            best = Some((id, x));
        }
    }
    best.map(|(id, _)| id as u32)
}

/// The ids that may be drawn with their weights (not normalised), in the order of the ids.
fn distribution(logits: &[f32], params: &GenerationParams) -> Option<Vec<(u32, f64)>> {
    let max = f64::from(logits[argmax(logits)? as usize]);
    let threshold = params.top_k.map_or(f32::NEG_INFINITY, |k| kth_largest(logits, k));
    let mut candidates: Vec<(u32, f64)> = logits
        .iter()
        .enumerate()
        .filter(|&(_, &x)| x >= threshold && x > f32::NEG_INFINITY)
        .map(|(id, &x)| (id as u32, ((f64::from(x) - max) / params.temperature).exp()))
        .collect();
    if let Some(top_p) = params.top_p.filter(|&p| p < 1.0) {
        keep_nucleus(&mut candidates, top_p);
    }
    Some(candidates)
}

/// The `k`-th largest logit, the smallest if there are fewer.
fn kth_largest(logits: &[f32], k: usize) -> f32 {
    let mut sorted = logits.to_vec();
    let index = k.min(sorted.len()).saturating_sub(1);
    *sorted.select_nth_unstable_by(index, |a, b| b.total_cmp(a)).1
}

/// Keeps a candidate if less than `top_p` of the probability lies on likelier ones (Holtzman et
/// al., "The Curious Case of Neural Text Degeneration", 2020); among equals the lower id is first.
fn keep_nucleus(candidates: &mut Vec<(u32, f64)>, top_p: f64) {
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut before = 0.0;
    let kept = candidates
        .iter()
        .take_while(|c| {
            let keep = before < top_p * total;
            before += c.1;
            keep
        })
        .count();
    candidates.truncate(kept.max(1));
    candidates.sort_by_key(|c| c.0);
}

/// Inverse of the cumulative distribution at `u` in `[0, 1)`.
fn pick(candidates: &[(u32, f64)], u: f64) -> u32 {
    let target = u * candidates.iter().map(|c| c.1).sum::<f64>();
    let mut sum = 0.0;
    let mut last = 0;
    for &(id, weight) in candidates.iter().filter(|c| c.1 > 0.0) {
        sum += weight;
        last = id;
        if sum > target {
            break;
        }
    }
    last
}

/// A number in `[0, 1)` with 53 bits that depends on nothing but its arguments.
fn uniform(seed: u64, note: usize, step: usize) -> f64 {
    let halves = |x: u64| [x as u32, (x >> 32) as u32];
    let ([n0, n1], [s0, s1]) = (halves(note as u64), halves(step as u64));
    let [low, high, ..] = philox4x32([n0, n1, s0, s1], halves(seed));
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
