#![allow(clippy::unwrap_used)]

use super::*;

const LOGITS: [f32; 10] = [1.5, -0.7, 3.2, 0.4, 2.9, -2.0, 1.5, 0.0, 2.2, -1.1];

fn seen() -> BTreeSet<u32> {
    [2, 5, 2, 6].into()
}

fn params(
    penalty: f64,
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
) -> GenerationParams {
    GenerationParams {
        temperature,
        top_p,
        top_k,
        repetition_penalty: penalty,
        ..GenerationParams::default()
    }
}

/// Probabilities after all processors, by id.
fn probabilities(params: &GenerationParams) -> Vec<f64> {
    let mut logits = LOGITS;
    penalise(&mut logits, &seen(), params.repetition_penalty as f32);
    let candidates = distribution(&logits, params).unwrap();
    let total: f64 = candidates.iter().map(|c| c.1).sum();
    let mut all = vec![0.0; logits.len()];
    for (id, weight) in candidates {
        all[id as usize] = weight / total;
    }
    all
}

// ```python
// # transformers 5.23, PyTorch 2.15
// from transformers.generation.logits_process import *
// ids = torch.tensor([[2, 5, 2, 6]]); s = torch.tensor([LOGITS])
// s = RepetitionPenaltyLogitsProcessor(penalty)(ids, s); s = TemperatureLogitsWarper(t)(ids, s)
// s = TopKLogitsWarper(k)(ids, s); s = TopPLogitsWarper(p)(ids, s); s.softmax(-1)
// ```
#[test]
fn distributions_are_those_of_transformers() {
    #[rustfmt::skip]
    let cases: [(GenerationParams, [f64; 10]); 7] = [
        (params(1.3, 1.0, None, None), [0.089_688_31, 0.009_937_75, 0.234_599_29, 0.029_854_65, 0.363_704_06, 0.001_486_38, 0.063_445_84, 0.020_012_17, 0.180_610_08, 0.006_661_47]),
        (params(1.0, 0.7, None, None), [0.041_929_87, 0.001_809_66, 0.475_596_61, 0.008_710_86, 0.309_822_26, 0.000_282_52, 0.041_929_87, 0.004_919_18, 0.113_977_22, 0.001_021_95]),
        // the fourth and fifth largest are equal: both stay
        (params(1.0, 0.7, Some(4), None), [0.042_643_9, 0.0, 0.483_695_72, 0.0, 0.315_098_35, 0.0, 0.042_643_9, 0.0, 0.115_918_17, 0.0]),
        (params(1.0, 1.4, None, Some(0.8)), [0.102_723_29, 0.0, 0.345_960_5, 0.0, 0.279_230_89, 0.0, 0.102_723_29, 0.0, 0.169_362_07, 0.0]),
        (params(1.3, 0.7, Some(5), Some(0.75)), [0.0, 0.0, 0.280_973_97, 0.0, 0.525_650_14, 0.0, 0.0, 0.0, 0.193_375_84, 0.0]),
        (params(1.0, 1.0, Some(3), None), [0.0, 0.0, 0.474_226_36, 0.0, 0.351_315_56, 0.0, 0.0, 0.0, 0.174_458_13, 0.0]),
        (params(1.0, 1.0, None, Some(0.05)), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ];
    for (params, expected) in cases {
        let ours = probabilities(&params);
        for (id, (a, b)) in ours.iter().zip(expected).enumerate() {
            assert!((a - b).abs() < 2e-7, "{params:?}: id {id}: {a} and not {b}");
        }
    }
}

#[test]
fn the_penalty_applies_once_to_an_id_and_by_sign() {
    let mut logits = LOGITS;
    penalise(&mut logits, &seen(), 1.3);
    assert_eq!(logits, [1.5, -0.7, 3.2 / 1.3, 0.4, 2.9, -2.6, 1.5 / 1.3, 0.0, 2.2, -1.1]);
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    let greedy = GenerationParams::default();
    let next = |logits: &mut [f32]| next_token(logits, &seen(), &greedy, 0, 0);
    assert_eq!(next(&mut [1.0, 3.0, 3.0, -1.0]), Some(1));
    assert_eq!(next(&mut [f32::NEG_INFINITY, -5.0]), Some(1));
    assert_eq!(next(&mut [f32::NAN, 1.0]), None);
    assert_eq!(next(&mut [1.0, f32::INFINITY]), None);
    assert_eq!(next(&mut [f32::NEG_INFINITY; 2]), None);
    // the penalty works on the greedy choice too
    assert_eq!(
        next_token(&mut LOGITS.clone(), &seen(), &params(1.3, 0.0, None, None), 0, 0),
        Some(4)
    );
}

#[test]
fn frequencies_follow_the_distribution() {
    let params = params(1.3, 0.7, Some(5), Some(0.95));
    let expected = probabilities(&params);
    let draws = 20_000;
    let mut counts = [0_u32; 10];
    for step in 0..draws {
        let id = next_token(&mut LOGITS.clone(), &seen(), &params, 3, step).unwrap();
        counts[id as usize] += 1;
    }
    for (count, p) in counts.iter().zip(expected) {
        let frequency = f64::from(*count) / draws as f64;
        // four standard deviations
        assert!(
            (frequency - p).abs() <= 4.0 * (p * (1.0 - p) / draws as f64).sqrt(),
            "{frequency} and not {p}"
        );
    }
}

#[test]
fn a_draw_depends_on_seed_note_and_step() {
    let draw = |seed, note| -> Vec<u32> {
        let params = GenerationParams { seed, ..params(1.0, 1.0, None, None) };
        (0..32)
            .map(|step| next_token(&mut LOGITS.clone(), &seen(), &params, note, step).unwrap())
            .collect()
    };
    assert_eq!(draw(1, 2), draw(1, 2));
    assert_ne!(draw(1, 2), draw(2, 2));
    assert_ne!(draw(1, 2), draw(1, 1));
    assert!(draw(1, 2).iter().any(|&id| id != draw(1, 2)[0]));
}

#[test]
fn a_tiny_temperature_is_greedy_and_a_large_top_k_is_none() {
    for seed in 0..20 {
        let params = GenerationParams { seed, ..params(1.0, 1e-300, Some(1_000_000), None) };
        assert_eq!(next_token(&mut LOGITS.clone(), &seen(), &params, 0, 0), Some(2));
    }
}

#[test]
fn a_pick_never_has_probability_zero() {
    assert_eq!(pick(&[(4, 0.0), (7, 1.0), (9, 0.0)], 0.0), 7);
    assert_eq!(pick(&[(4, 0.0), (7, 1.0), (9, 0.0)], 1.0 - f64::EPSILON / 2.0), 7);
    assert_eq!(pick(&[(4, 1.0), (7, 1.0)], 0.5), 7);
}
