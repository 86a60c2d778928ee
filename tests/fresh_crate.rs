//! A crate elsewhere that depends on `sft-lora` alone puts an adapter on its own candle layer, trains
//! it, saves it and loads it: the library stands on its own, outside this workspace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::Path, process::Command};

const PROGRAM: &str = r#"
use candle_core::{Device, Module, Result, Tensor};
use candle_nn::{Linear, Optimizer, SGD};
use sft_lora::{LoraConfig, LoraLinear, peft};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let numbers = |rows: usize, columns: usize, step: f32| -> Result<Tensor> {
        let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * step).sin()).collect();
        Tensor::from_vec(values, (rows, columns), &device)
    };
    let linear = Linear::new(numbers(5, 8, 0.7)?, None);
    let x = numbers(20, 8, 1.3)?;
    let wanted = (linear.forward(&x)? + numbers(20, 5, 2.1)?)?;

    let config = LoraConfig { r: 3, lora_alpha: 7.0, lora_dropout: 0.0, ..LoraConfig::default() };
    let layer = LoraLinear::from_linear(linear, "net.proj", &config, 1)?;
    let parameters = layer.parameters();
    let variables = parameters.iter().map(|(_, variable)| variable.clone()).collect();
    let mut optimizer = SGD::new(variables, 0.1)?;
    let loss = || (layer.forward(&x)? - &wanted)?.sqr()?.mean_all();
    let before = loss()?.to_scalar::<f32>()?;
    for _ in 0..50 {
        optimizer.backward_step(&loss()?)?;
    }
    let after = loss()?.to_scalar::<f32>()?;
    assert!(after < 0.9 * before, "{before} -> {after}");

    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("no folder")?);
    let tensors = parameters.map(|(name, v)| (name, v.as_tensor().clone())).into();
    let file = peft::PeftConfig::from_lora(&config, "base", None, &["proj".to_owned()]);
    peft::save_adapter(&folder, &file, &tensors)?;

    let adapter = peft::load_adapter(&folder, &device)?;
    let [a, b] = ["A", "B"].map(|m| adapter.tensors[&format!("net.proj.lora_{m}.weight")].clone());
    let base = layer.base().clone();
    let again = LoraLinear::with_weights(base, None, "net.proj", &adapter.lora, a, b)?;
    assert_eq!(again.forward(&x)?.to_vec2::<f32>()?, layer.forward(&x)?.to_vec2::<f32>()?);
    println!("trained, saved and loaded");
    Ok(())
}
"#;

#[test]
fn a_crate_elsewhere_uses_sft_lora_alone() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root: String = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
    let version = |name: &str| {
        let line = root.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
        line.to_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let manifest = format!(
        r#"
[workspace]

[package]
name = "elsewhere"
version = "0.0.0"
edition = "2024"

[dependencies]
{}
{}
sft-lora = {{ path = {:?} }}

# Three small matrices: a quick build is worth more than a quick program.
[profile.dev]
debug = false
"#,
        version("candle-core"),
        version("candle-nn"),
        workspace.join("crates/sft-lora"),
    );
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(dir.path().join("src/main.rs"), PROGRAM).unwrap();
    fs::copy(workspace.join("Cargo.lock"), dir.path().join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();

    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet", "--"])
        .arg(dir.path().join("adapter"))
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.trim(), "trained, saved and loaded");
    for file in ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"] {
        assert!(dir.path().join("adapter").join(file).is_file(), "{file}");
    }
}
