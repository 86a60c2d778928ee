//! What a layer computes, and what it learns from.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::Linear;
use common::{MODULE, assert_close, bits, config, layer, numbers, values};
use sft_kernels::{Dropout, DropoutStream, FrozenWeight, Rows, frozen_linear};
use sft_lora::{LoraConfig, LoraError, LoraLinear};

const STREAM: DropoutStream = DropoutStream { seed: 5, step: 9 };
// Two sequences of uneven length, 3 + 2 rows.
const EXAMPLE: [u64; 5] = [17, 17, 17, 4, 4];
const POSITION: [u32; 5] = [0, 1, 2, 0, 1];
const ROWS: Rows<'_> = Rows { example: &EXAMPLE, position: &POSITION };

#[test]
fn a_fresh_adapter_changes_no_bit() {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let (w, bias) = (numbers(1, &[4, 6], dtype), numbers(2, &[4], dtype));
        let linear = Linear::new(w.clone(), Some(bias.clone()));
        let lora = LoraLinear::from_linear(linear.clone(), MODULE, &config(), 42).unwrap();
        // a zero row: x W^T is 0 there, and 0 + s * 0 must keep its sign
        let x = Tensor::cat(
            &[numbers(5, &[5, 6], dtype), numbers(6, &[1, 6], dtype).zeros_like().unwrap()],
            0,
        )
        .unwrap();
        let frozen = FrozenWeight::from_tensor(&w).unwrap();
        let expected = bits(&frozen_linear(&x, &frozen, Some(&bias)).unwrap());
        assert_eq!(bits(&lora.forward_eval(&x).unwrap()), expected, "{dtype:?}");
        assert_eq!(bits(&lora.forward(&x).unwrap()), expected, "{dtype:?}");
        assert_eq!(bits(&lora.forward_train(&x, None).unwrap()), expected, "{dtype:?}");
        assert_eq!(bits(&linear.forward(&x).unwrap()), expected, "candle's own layer, {dtype:?}");
        assert_eq!(lora.forward(&x).unwrap().dtype(), dtype);
        let narrow = dtype != DType::F64;
        assert_eq!(lora.lora_a().dtype(), if narrow { DType::F32 } else { dtype });

        let unbiased =
            LoraLinear::from_linear(Linear::new(w, None), MODULE, &config(), 42).unwrap();
        let expected = bits(&frozen_linear(&x, &frozen, None).unwrap());
        assert_eq!(
            bits(
                &unbiased
                    .forward_train(
                        &x,
                        Some((STREAM, Rows { example: &[1; 6], position: &[0, 1, 2, 3, 4, 5] }))
                    )
                    .unwrap()
            ),
            expected
        );
    }
}

#[test]
fn a_is_kaiming_uniform_and_seeded_by_module() {
    let fresh = |module: &str, seed| {
        let linear = Linear::new(Tensor::zeros((8, 400), DType::F32, &Device::Cpu).unwrap(), None);
        let config = LoraConfig { r: 32, ..config() };
        LoraLinear::from_linear(linear, module, &config, seed).unwrap()
    };
    let lora = fresh(MODULE, 42);
    assert_eq!(
        (lora.lora_a().dims(), lora.lora_b().dims()),
        ([32, 400].as_slice(), [8, 32].as_slice())
    );
    let a = values(lora.lora_a());
    let bound = 1.0 / 400f64.sqrt();
    assert!(a.iter().all(|value| value.abs() <= bound));
    let (min, max) = a.iter().fold((0f64, 0f64), |(min, max), &a| (min.min(a), max.max(a)));
    assert!(min < -0.99 * bound && max > 0.99 * bound, "{min} {max}");
    let variance = a.iter().map(|a| a * a).sum::<f64>() / a.len() as f64;
    assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.03, "uniform: {variance}");
    assert!(values(lora.lora_b()).iter().all(|&b| b == 0.0));
    assert_eq!(bits(fresh(MODULE, 42).lora_a()), bits(lora.lora_a()));
    assert_ne!(bits(fresh(MODULE, 43).lora_a()), bits(lora.lora_a()));
    assert_ne!(bits(fresh("model.layers.1.self_attn.q_proj", 42).lora_a()), bits(lora.lora_a()));
}

/// The definition, written with plain candle operations.
fn reference(lora: &LoraLinear, x: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let base = x.matmul(&lora.base().to_tensor().unwrap().t().unwrap()).unwrap();
    let base = base.broadcast_add(lora.bias().unwrap()).unwrap();
    let input = mask.map_or_else(|| x.clone(), |mask| (x * mask).unwrap());
    let hidden = input.matmul(&lora.lora_a().t().unwrap()).unwrap();
    let delta = hidden.matmul(&lora.lora_b().t().unwrap()).unwrap();
    (base + (delta * (7.0 / 3.0)).unwrap()).unwrap()
}

#[test]
fn dropout_is_on_the_adapters_input_alone() {
    let lora = layer(DType::F64);
    let x = numbers(7, &[5, 6], DType::F64);
    let dropout = Dropout::new(STREAM, MODULE, ROWS, 0.4).unwrap();
    let mask = dropout.mask(6, DType::F64, &Device::Cpu).unwrap();
    let dropped = values(&mask).iter().filter(|&&m| m == 0.0).count();
    assert!((3..27).contains(&dropped), "{dropped} of 30");
    assert!(values(&mask).iter().all(|&m| m == 0.0 || (m - 1.0 / 0.6).abs() < 1e-6));

    let train = lora.forward_train(&x, Some((STREAM, ROWS))).unwrap();
    assert_close(&values(&train), &values(&reference(&lora, &x, Some(&mask))), 1e-12, "train");
    let plain = values(&reference(&lora, &x, None));
    assert_close(&values(&lora.forward_eval(&x).unwrap()), &plain, 1e-12, "eval");
    assert_close(&values(&lora.forward_train(&x, None).unwrap()), &plain, 1e-12, "no stream");
    assert_close(&values(&lora.forward(&x).unwrap()), &plain, 1e-12, "module");
    assert_ne!(bits(&train), bits(&lora.forward_eval(&x).unwrap()));
}

#[test]
fn dropout_replays_and_ignores_batching() {
    let lora = layer(DType::F32);
    let x = numbers(7, &[5, 6], DType::F32);
    let run =
        |stream, x: &Tensor, rows| bits(&lora.forward_train(x, Some((stream, rows))).unwrap());
    let together = run(STREAM, &x, ROWS);
    assert_eq!(run(STREAM, &x, ROWS), together, "replay");
    assert_ne!(run(DropoutStream { step: 10, ..STREAM }, &x, ROWS), together);
    assert_ne!(run(DropoutStream { seed: 6, ..STREAM }, &x, ROWS), together);

    let alone = |start, len| {
        let rows =
            Rows { example: &EXAMPLE[start..start + len], position: &POSITION[start..start + len] };
        run(STREAM, &x.narrow(0, start, len).unwrap(), rows)
    };
    assert_eq!([alone(0, 3), alone(3, 2)].concat(), together);

    // another shape of the same rows
    let cube = numbers(8, &[2, 2, 6], DType::F32);
    let rows = Rows { example: &[1, 1, 2, 2], position: &[0, 1, 0, 1] };
    let y = lora.forward_train(&cube, Some((STREAM, rows))).unwrap();
    assert_eq!(y.dims(), [2, 2, 4]);
    assert_eq!(bits(&y), run(STREAM, &cube.flatten_to(1).unwrap(), rows));
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let lora = layer(DType::F64);
    let x = Var::from_tensor(&numbers(7, &[5, 6], DType::F64)).unwrap();
    let dy = numbers(8, &[5, 4], DType::F64);
    let loss = || {
        // not linear in y, so that a gradient that ignores y is found out
        let y = lora.forward_train(&x, Some((STREAM, ROWS))).unwrap();
        (y.sqr().unwrap() * &dy).unwrap().sum_all().unwrap()
    };
    let grads = loss().backward().unwrap();
    for (name, var) in [("x", &x), ("A", lora.lora_a()), ("B", lora.lora_b())] {
        let shape = var.shape().clone();
        let start = values(var);
        let found = values(grads.get(var).unwrap_or_else(|| panic!("no gradient for {name}")));
        let at = |index: usize, change: f64| {
            let mut moved = start.clone();
            moved[index] += change;
            var.set(&Tensor::from_vec(moved, &shape, &Device::Cpu).unwrap()).unwrap();
            loss().to_scalar::<f64>().unwrap()
        };
        let expected: Vec<f64> =
            (0..start.len()).map(|i| (at(i, 1e-5) - at(i, -1e-5)) / 2e-5).collect();
        var.set(&Tensor::from_vec(start.clone(), &shape, &Device::Cpu).unwrap()).unwrap();
        assert!(expected.iter().any(|g| g.abs() > 0.1), "{name}: nothing to compare");
        assert_close(&found, &expected, 1e-8, name);
    }
}

#[test]
fn the_first_step_moves_b_alone() {
    let linear = Linear::new(numbers(1, &[4, 6], DType::F32), None);
    let lora = LoraLinear::from_linear(linear, MODULE, &config(), 1).unwrap();
    let x = numbers(7, &[5, 6], DType::F32);
    let grads = || {
        lora.forward_train(&x, None).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap()
    };
    let first = grads();
    assert!(values(first.get(lora.lora_a()).unwrap()).iter().all(|&g| g == 0.0));
    let db = first.get(lora.lora_b()).unwrap().clone();
    assert!(values(&db).iter().all(|&g| g != 0.0));
    lora.lora_b().set(&(db * -0.1).unwrap()).unwrap();
    assert!(values(grads().get(lora.lora_a()).unwrap()).iter().all(|&g| g != 0.0));
}

#[test]
fn evaluation_tracks_the_input_alone() {
    let lora = layer(DType::F32);
    let x = Var::from_tensor(&numbers(7, &[5, 6], DType::F32)).unwrap();
    let grads = lora.forward_eval(&x).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_some());
    assert!(grads.get(lora.lora_a()).is_none() && grads.get(lora.lora_b()).is_none());
}

#[test]
fn merging_equals_the_adapter_and_can_be_taken_back() {
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6), (DType::BF16, 2e-2)] {
        let mut lora = layer(dtype);
        let x = numbers(7, &[5, 6], dtype);
        let base = bits(&lora.base().to_tensor().unwrap());
        let apart = lora.forward_eval(&x).unwrap();
        assert!(matches!(lora.unmerge(), Err(LoraError::NotMerged { .. })));

        lora.merge().unwrap();
        assert!(lora.is_merged());
        let merged = lora.base().to_tensor().unwrap();
        assert_eq!(merged.dtype(), dtype);
        assert_close(
            &values(&lora.forward_eval(&x).unwrap()),
            &values(&apart),
            tolerance,
            "merged",
        );
        let own = frozen_linear(&x, lora.base(), lora.bias()).unwrap();
        assert_eq!(bits(&lora.forward(&x).unwrap()), bits(&own), "the base weight alone");
        let error = lora.merge().unwrap_err();
        assert!(error.to_string().contains(MODULE), "{error}");
        let error = lora.forward_train(&x, None).unwrap_err();
        assert!(error.to_string().contains("unmerge"), "{error}");
        assert_eq!(
            bits(&lora.base().to_tensor().unwrap()),
            bits(&merged),
            "a failed merge changes nothing"
        );

        lora.unmerge().unwrap();
        assert_eq!(bits(&lora.base().to_tensor().unwrap()), base);
        assert_eq!(bits(&lora.forward_eval(&x).unwrap()), bits(&apart));
    }
}

#[test]
fn a_narrow_base_keeps_a_wide_adapter() {
    for dtype in [DType::BF16, DType::F16] {
        let mut lora = layer(dtype);
        assert_eq!(lora.lora_a().dtype(), DType::F32);
        assert_eq!(lora.delta().unwrap().dtype(), DType::F32);
        let x = numbers(7, &[5, 6], dtype);
        // base product in its own type, update and sum in f32, rounded once
        let base = frozen_linear(&x, lora.base(), lora.bias()).unwrap();
        let wide = x.to_dtype(DType::F32).unwrap();
        let hidden = wide.matmul(&lora.lora_a().t().unwrap()).unwrap();
        let delta = (hidden.matmul(&lora.lora_b().t().unwrap()).unwrap() * (7.0 / 3.0)).unwrap();
        let y = (base.to_dtype(DType::F32).unwrap() + delta).unwrap().to_dtype(dtype).unwrap();
        assert_eq!(bits(&lora.forward_eval(&x).unwrap()), bits(&y), "{dtype:?}");

        let once = (lora.base().to_tensor().unwrap().to_dtype(DType::F32).unwrap()
            + lora.delta().unwrap())
        .unwrap();
        lora.merge().unwrap();
        assert_eq!(bits(&lora.base().to_tensor().unwrap()), bits(&once.to_dtype(dtype).unwrap()));

        // gradients reach the wide parameters through the narrow output
        lora.unmerge().unwrap();
        let grads = lora.forward_train(&x, None).unwrap().sum_all().unwrap().backward().unwrap();
        let da = grads.get(lora.lora_a()).unwrap();
        assert_eq!(da.dtype(), DType::F32);
        assert!(values(da).iter().any(|&g| g != 0.0));
    }
}

#[test]
fn shapes_follow_the_modules_own_rank() {
    let base = FrozenWeight::from_tensor(&numbers(1, &[4, 6], DType::F32)).unwrap();
    let mut config = config();
    config.rank_pattern.insert("q_proj".into(), 2);
    let fresh = LoraLinear::from_frozen(base.clone(), None, MODULE, &config, 1).unwrap();
    assert_eq!((fresh.rank(), fresh.scale()), (2, 3.5));
    assert_eq!(
        fresh.parameters().map(|(name, var)| (name, var.dims().to_vec())),
        [
            (format!("{MODULE}.lora_A.weight"), vec![2, 6]),
            (format!("{MODULE}.lora_B.weight"), vec![4, 2]),
        ]
    );
    let with = |a: &[usize], b: &[usize]| {
        let (a, b) = (numbers(3, a, DType::F32), numbers(4, b, DType::F32));
        LoraLinear::with_weights(base.clone(), None, MODULE, &config, a, b)
    };
    assert!(with(&[2, 6], &[4, 2]).is_ok());
    for (a, b, wrong) in [
        (&[3, 6], &[4, 2], "lora_A"),
        (&[2, 5], &[4, 2], "lora_A"),
        (&[2, 6], &[4, 3], "lora_B"),
        (&[2, 6], &[5, 2], "lora_B"),
    ] {
        let error = with(a, b).unwrap_err().to_string();
        assert!(error.contains(wrong) && error.contains(MODULE), "{error}");
    }
    let bad = LoraConfig { r: 0, ..config };
    assert!(matches!(
        LoraLinear::from_frozen(base, None, MODULE, &bad, 1),
        Err(LoraError::Config { .. })
    ));
}

#[test]
fn parameters_are_the_layers_own() {
    let (a, b) = (
        Var::from_tensor(&numbers(3, &[3, 6], DType::F32)).unwrap(),
        numbers(4, &[4, 3], DType::F32),
    );
    let base = FrozenWeight::from_tensor(&numbers(1, &[4, 6], DType::F32)).unwrap();
    let lora =
        LoraLinear::with_weights(base, None, MODULE, &config(), a.as_tensor().clone(), b).unwrap();
    let x = numbers(7, &[5, 6], DType::F32);
    let before = bits(&lora.forward_eval(&x).unwrap());
    a.set(&a.zeros_like().unwrap()).unwrap();
    assert_eq!(bits(&lora.forward_eval(&x).unwrap()), before, "the caller's variable was copied");
    let [(_, a), _] = lora.parameters();
    a.set(&a.zeros_like().unwrap()).unwrap();
    assert_ne!(bits(&lora.forward_eval(&x).unwrap()), before, "the layer's own was not");
}

#[test]
fn a_rank_beyond_the_layer_is_refused_before_anything_is_allocated() {
    let fresh = |r| {
        let base = FrozenWeight::from_tensor(&numbers(1, &[4, 6], DType::F32)).unwrap();
        LoraLinear::from_frozen(base, None, MODULE, &LoraConfig { r, ..config() }, 1)
    };
    assert_eq!(fresh(6).unwrap().rank(), 6);
    for r in [7, 999_999_999_999, usize::MAX] {
        let error = fresh(r).unwrap_err();
        assert!(matches!(error, LoraError::Rank { .. }), "{error}");
        let message = error.to_string();
        for text in [&r.to_string(), MODULE, "6 to 4", "at most 6"] {
            assert!(message.contains(text), "{text} is missing in: {message}");
        }
    }
}
