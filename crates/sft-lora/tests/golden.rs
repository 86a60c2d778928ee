//! Against values computed by PEFT (`golden/make_golden.py`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device, Tensor, Var};
use common::{assert_close, bits, values};
use sft_kernels::FrozenWeight;
use sft_lora::{LoraConfig, LoraLinear, peft};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    dtype: String,
    options: LoraConfig,
    x: Vec<Vec<f32>>,
    modules: BTreeMap<String, Golden>,
}

#[derive(serde::Deserialize)]
struct Golden {
    weight: Vec<Vec<f32>>,
    bias: Option<Vec<f32>>,
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
    dy: Vec<Vec<f32>>,
    y: Vec<Vec<f32>>,
    grad_x: Vec<Vec<f32>>,
    grad_a: Vec<Vec<f32>>,
    grad_b: Vec<Vec<f32>>,
    merged: Vec<Vec<f32>>,
}

fn tensor(rows: &[Vec<f32>], dtype: DType) -> Tensor {
    Tensor::new(rows.to_vec(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn wide(rows: &[Vec<f32>]) -> Vec<f64> {
    rows.iter().flatten().map(|&value| f64::from(value)).collect()
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/golden.json")).unwrap()
}

#[test]
fn forward_gradients_and_merge_are_pefts() {
    let mut checked = 0;
    for case in cases() {
        // bf16 has 8 bits; sums in another order may round the other way
        let (dtype, tolerance) = match case.dtype.as_str() {
            "float32" => (DType::F32, 1e-6),
            "bfloat16" => (DType::BF16, 1e-2),
            other => panic!("{other}"),
        };
        for (module, golden) in &case.modules {
            let what = |part: &str| format!("{} {module} {part}", case.name);
            let base = FrozenWeight::from_tensor(&tensor(&golden.weight, dtype)).unwrap();
            let bias = golden.bias.as_ref().map(|bias| {
                Tensor::new(bias.as_slice(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
            });
            let (a, b) = (tensor(&golden.a, DType::F32), tensor(&golden.b, DType::F32));
            let mut lora =
                LoraLinear::with_weights(base, bias, module, &case.options, a, b).unwrap();
            let x = Var::from_tensor(&tensor(&case.x, dtype)).unwrap();
            let y = lora.forward_train(&x, None).unwrap();
            assert_close(&values(&y), &wide(&golden.y), tolerance, &what("y"));
            let loss = (&y * tensor(&golden.dy, dtype)).unwrap().sum_all().unwrap();
            let grads = loss.backward().unwrap();
            for (part, var, expected) in [
                ("dx", &x, &golden.grad_x),
                ("dA", lora.lora_a(), &golden.grad_a),
                ("dB", lora.lora_b(), &golden.grad_b),
            ] {
                let found = values(grads.get(var).unwrap());
                assert_close(&found, &wide(expected), tolerance, &what(part));
            }
            lora.merge().unwrap();
            let merged = values(&lora.base().to_tensor().unwrap());
            match dtype {
                // in f32 and rounded once: nothing is left to chance
                DType::BF16 => assert_eq!(merged, wide(&golden.merged), "{}", what("merged")),
                _ => assert_close(&merged, &wide(&golden.merged), 1e-6, &what("merged")),
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 10);
}

#[test]
fn adapters_that_peft_saved_load() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let case = cases().into_iter().find(|case| case.name == "patterns").unwrap();
    for folder in ["peft_safetensors", "peft_bin"] {
        let adapter = peft::load_adapter(&golden.join(folder), &Device::Cpu).unwrap();
        assert_eq!(adapter.config.base_model_name_or_path.as_deref(), Some("tiny"));
        assert_eq!((adapter.lora.r, adapter.lora.lora_alpha), (3, 7.0));
        assert_eq!(adapter.lora.rank_pattern["up_proj"], 2);
        assert_eq!(adapter.tensors.len(), 4);
        for (module, golden) in &case.modules {
            let [a, b] = ["A", "B"].map(|m| &adapter.tensors[&format!("{module}.lora_{m}.weight")]);
            assert_eq!(bits(a), bits(&tensor(&golden.a, DType::F32)), "{folder} {module}");
            assert_eq!(bits(b), bits(&tensor(&golden.b, DType::F32)), "{folder} {module}");
            assert_eq!(adapter.lora.scale_for(module), case.options.scale_for(module));
        }
    }
}
