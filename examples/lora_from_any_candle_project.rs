//! LoRA in a candle program that knows nothing of this workspace: a small network of its own, with
//! adapters on the layers that the configuration names, trained by candle's autograd and saved in
//! PEFT's format.
//!
//! `cargo run --example lora_from_any_candle_project [FOLDER]`
#![allow(clippy::print_stdout)] // a program, not a library

use std::{collections::BTreeMap, path::PathBuf};

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear};
use sft_lora::{LoraConfig, LoraLinear, TargetModules, peft};

/// A layer with or without an adapter: to the network both are a `Module`.
enum Layer {
    Plain(Linear),
    Adapted(LoraLinear),
}

impl Module for Layer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain(layer) => layer.forward(x),
            Self::Adapted(layer) => layer.forward(x),
        }
    }
}

struct Network(Vec<(&'static str, Layer)>);

impl Network {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [.., (_, last)] = self.0.as_slice() else { return Ok(x.clone()) };
        let hidden = &self.0[..self.0.len() - 1];
        let x = hidden.iter().try_fold(x.clone(), |x, (_, layer)| layer.forward(&x)?.tanh())?;
        last.forward(&x)
    }

    fn parameters(&self) -> impl Iterator<Item = (String, candle_core::Var)> {
        self.0.iter().flat_map(|(_, layer)| match layer {
            Layer::Plain(_) => Vec::new(),
            Layer::Adapted(layer) => layer.parameters().to_vec(),
        })
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).map_or_else(|| "lora_adapter".into(), PathBuf::from);
    let device = Device::Cpu;

    // The network as it comes, here with random weights.
    let base = VarMap::new();
    let vb = VarBuilder::from_varmap(&base, DType::F32, &device);
    let shapes = [("encoder.fc1", 16, 64), ("encoder.fc2", 64, 64), ("head", 64, 1)];

    // Adapters on every `fc` layer.
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: TargetModules::Regex(r"encoder\.fc\d".to_owned()),
        ..LoraConfig::default()
    };
    let mut layers = Vec::new();
    for (name, inputs, outputs) in shapes {
        let layer = linear(inputs, outputs, vb.pp(name))?;
        layers.push((
            name,
            if config.targets(name, name == "head")? {
                Layer::Adapted(LoraLinear::from_linear(layer, name, &config, 42)?)
            } else {
                Layer::Plain(layer)
            },
        ));
    }
    let network = Network(layers);

    // Only the adapters are given to the optimizer.
    let variables: Vec<_> = network.parameters().map(|(_, variable)| variable).collect();
    let trainable: usize = variables.iter().map(|variable| variable.elem_count()).sum();
    println!("{trainable} trainable parameters");
    let mut optimizer = AdamW::new(variables, ParamsAdamW { lr: 1e-2, ..Default::default() })?;
    let x = Tensor::randn(0f32, 1.0, (256, 16), &device)?;
    let wanted = x.sin()?.sum_keepdim(1)?;
    for step in 0..=100 {
        let loss = (network.forward(&x)? - &wanted)?.sqr()?.mean_all()?;
        if step % 20 == 0 {
            println!("step {step:3}: loss {:.4}", loss.to_scalar::<f32>()?);
        }
        optimizer.backward_step(&loss)?;
    }

    let tensors: BTreeMap<String, Tensor> =
        network.parameters().map(|(name, variable)| (name, variable.as_tensor().clone())).collect();
    let file = peft::PeftConfig::from_lora(&config, "my-org/my-network", None, &[]);
    peft::save_adapter(&folder, &file, &tensors)?;
    println!("saved {} tensors to {}", tensors.len(), folder.display());
    Ok(())
}
