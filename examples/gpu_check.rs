//! What a GPU reaches: the matmul rate of its own library, a LoRA layer beside its frozen product, and training steps of
//! a large shape with random weights made on the device.
//!
//! ```text
//! cargo run --release --features cuda --example gpu_check -- [--layers 32] [--batches 8,16,32] [--length 300] [--steps 6]
//! ```
//!
//! Needs no files and no network. `scripts/gpu_check.sh` runs it with the tests and, where there is PyTorch, beside PEFT.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::{collections::BTreeMap, time::Instant};

use candle_core::{DType, Device, Tensor, Var};
use sft::{
    kernels::FrozenWeight,
    lora::{LoraConfig, LoraLinear},
    model::{
        Decoder, Gradients, ModelConfig, Packed, Recompute, TrainPass,
        memory::{BatchShape, Place, TrainingShape, WeightShape},
        runtime::DeviceChoice,
    },
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The numbers behind `--name value` on the command line.
struct Flags(BTreeMap<String, String>);

impl Flags {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        Self(words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
    }

    fn list(&self, name: &str, default: &str) -> Outcome<Vec<usize>> {
        let text = self.0.get(name).map_or(default, String::as_str);
        Ok(text.split(',').map(str::parse).collect::<Result<_, _>>()?)
    }

    fn one(&self, name: &str, default: &str) -> Outcome<usize> {
        Ok(self.list(name, default)?[0])
    }
}

fn main() -> Outcome<()> {
    let flags = Flags::read();
    let device = DeviceChoice::Auto.open()?;
    if device.is_cpu() {
        println!("no GPU here (or none in this build): these figures are the CPU's");
    }
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    let layers = flags.one("--layers", if device.is_cpu() { "1" } else { "32" })?;
    let size = flags.one("--matmul", if device.is_cpu() { "512" } else { "8192" })?;
    let length = flags.one("--length", if device.is_cpu() { "32" } else { "300" })?;
    let batches = flags.list("--batches", if device.is_cpu() { "2" } else { "8,16,32" })?;
    let steps = flags.one("--steps", if device.is_cpu() { "1" } else { "6" })?;

    let rate = matmul_rate(&device, dtype, if size > 0 { size } else { 8192 })?;
    println!("matmul {}: {:.1} TFLOP/s", dtype.as_str(), rate / 1e12);
    let shapes = [(4096, 4096), (11008, 4096), (4096, 11008)];
    for (out, input) in shapes.into_iter().filter(|_| size > 0) {
        let tokens = if device.is_cpu() { 64 } else { 2400 };
        let (base, lora) = layer(&device, dtype, tokens, out, input)?;
        println!(
            "LoRA r 16, {out} x {input}, {tokens} tokens, forward and backward: {:.3} ms, frozen products alone \
             {:.3} ms: {:.2}x",
            1e3 * lora,
            1e3 * base,
            lora / base
        );
    }
    if batches == [0] {
        return Ok(());
    }

    let config = llama_2_7b(layers);
    let mut model = Decoder::random(&config, dtype, &device)?;
    model.add_lora(&adapters(), 42)?;
    // The embedding is looked up, and only a fifth of the tokens meets the head.
    let embedding = (config.vocab_size * config.hidden_size) as f64;
    let parameters = model.total_parameters() as f64 - 1.8 * embedding;
    println!(
        "model: {layers} layers of the Llama-2-7B shape, {parameters:.3e} parameters a token meets"
    );
    for sequences in batches {
        for recompute in [Recompute::None, Recompute::All] {
            let memory = predicted(&config, dtype, sequences, length, recompute)?;
            match train(&model, sequences, length, steps, recompute) {
                Ok(speed) => println!(
                    "training, batch {sequences} x {length}, {recompute:?} (on a GPU {memory:.1} GB predicted): \
                     {speed:.0} tokens/s, {:.1} % of the matmul rate (4N a token; what is computed again does not count)",
                    100.0 * 4.0 * parameters * speed / rate
                ),
                Err(error) => {
                    let text = error.to_string();
                    let first = text.lines().next().unwrap_or_default();
                    println!("training, batch {sequences} x {length}, {recompute:?}: {first}");
                }
            }
        }
    }
    Ok(())
}

/// Those of the training runs.
fn adapters() -> LoraConfig {
    LoraConfig { r: 16, lora_alpha: 32.0, ..LoraConfig::default() }
}

/// Runs between two looks at the clock.
const REPEATS: usize = 20;

/// The median time of several runs, each until its result is there.
fn seconds(device: &Device, mut run: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    run()?;
    device.synchronize()?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        run()?;
        device.synchronize()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[2])
}

/// FLOP/s of the backend's own product.
fn matmul_rate(device: &Device, dtype: DType, size: usize) -> Outcome<f64> {
    let [a, b] = [random(device, dtype, size, size)?, random(device, dtype, size, size)?];
    let time = seconds(device, || {
        for _ in 0..REPEATS {
            a.matmul(&b)?;
        }
        Ok(())
    })?;
    Ok(2.0 * REPEATS as f64 * (size as f64).powi(3) / time)
}

fn random(device: &Device, dtype: DType, rows: usize, columns: usize) -> Outcome<Tensor> {
    Ok(Tensor::randn(0f32, 1.0, (rows, columns), device)?.to_dtype(dtype)?)
}

/// Seconds of forward and backward: the frozen products alone, and the layer with its adapter.
fn layer(
    device: &Device,
    dtype: DType,
    tokens: usize,
    out: usize,
    input: usize,
) -> Outcome<(f64, f64)> {
    let weight = random(device, dtype, out, input)?;
    let x = Var::from_tensor(&random(device, dtype, tokens, input)?)?;
    let dy = random(device, dtype, tokens, out)?;
    let detached = x.as_detached_tensor();
    let base = seconds(device, || {
        for _ in 0..REPEATS {
            detached.matmul(&weight.t()?)?;
            dy.matmul(&weight)?;
        }
        Ok(())
    })? / REPEATS as f64;
    let config = LoraConfig { r: 16, ..LoraConfig::default() };
    let frozen = FrozenWeight::from_tensor(&weight)?;
    let layer = LoraLinear::from_frozen(frozen, None, "layer", &config, 42)?;
    let lora = seconds(device, || {
        for _ in 0..REPEATS {
            let y = layer.forward_train(x.as_tensor(), None)?;
            sft::kernels::seed(&y, &dy)?.backward()?;
        }
        Ok(())
    })? / REPEATS as f64;
    Ok((base, lora))
}

fn llama_2_7b(layers: usize) -> ModelConfig {
    ModelConfig {
        model_type: "llama".into(),
        hidden_size: 4096,
        intermediate_size: 11008,
        num_hidden_layers: layers,
        num_attention_heads: 32,
        num_key_value_heads: 32,
        head_dim: 128,
        vocab_size: 32000,
        max_position_embeddings: 4096,
        rms_norm_eps: 1e-5,
        rope: sft::model::RopeConfig { theta: 10000.0, scaling: sft::model::RopeScaling::None },
        sliding_windows: vec![None; layers],
        qkv_bias: false,
        o_bias: false,
        qk_norm: false,
        mlp_bias: false,
        tie_word_embeddings: false,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        quantization: None,
    }
}

/// The most memory in GB that the planner expects a GPU to need.
fn predicted(
    config: &ModelConfig,
    dtype: DType,
    sequences: usize,
    length: usize,
    recompute: Recompute,
) -> Outcome<f64> {
    let weights = WeightShape {
        dtype,
        file_bytes: 0,
        can_map: false,
        quantize: None,
        stored_quantised: false,
    };
    let targets = sequences * (length / 5);
    let batch = BatchShape { tokens: sequences * length, targets, longest: length };
    let mut shape = TrainingShape::new(config, &adapters(), weights, batch)?;
    shape.place = Place::Device;
    let recomputed = if recompute == Recompute::None { 0 } else { shape.blocks() };
    Ok(shape.plan_of(recomputed).estimate.peak() as f64 / 1e9)
}

/// Tokens a second of forward and backward passes; a fifth of each sequence is targets.
fn train(
    model: &Decoder,
    sequences: usize,
    length: usize,
    steps: usize,
    recompute: Recompute,
) -> Outcome<f64> {
    let tokens = (sequences * length) as u32;
    let ids: Vec<u32> = (0..tokens).map(|i| i * 7919 % 32000).collect();
    let positions: Vec<u32> = (0..tokens).map(|i| i % length as u32).collect();
    let cu_seqlens: Vec<u32> = (0..=sequences as u32).map(|i| i * length as u32).collect();
    let example: Vec<u64> = (0..sequences as u64).collect();
    let last = length as u32 - length as u32 / 5;
    let rows = (0..tokens).filter(|i| i % length as u32 >= last);
    let targets: Vec<(u32, u32)> = rows.map(|row| (row, row * 31 % 32000)).collect();
    let input =
        Packed { ids: &ids, positions: &positions, cu_seqlens: &cu_seqlens, example: &example };
    let pass = TrainPass { dropout: None, recompute };
    let variables = model.lora_parameters();
    let zeros = |var: &Var| Var::zeros(var.shape().clone(), DType::F32, var.device());
    let mut moments = BTreeMap::new();
    for (name, var) in &variables {
        moments.insert(name.clone(), [zeros(var)?, zeros(var)?]);
    }
    let step = || -> Outcome<()> {
        let mut gradients = Gradients::default();
        let loss = model.forward_backward(&input, &targets, &pass, &mut gradients)?;
        if !loss.nll.is_finite() {
            return Err("the loss is not finite".into());
        }
        update(&variables, &moments, &gradients)
    };
    step()?;
    step()?; // kernels are compiled on first use
    model.device().synchronize()?;
    let start = Instant::now();
    for _ in 0..steps {
        step()?;
    }
    model.device().synchronize()?;
    Ok(f64::from(tokens) * steps as f64 / start.elapsed().as_secs_f64())
}

/// As the trainer: on an NVIDIA GPU all stays there but the norm. Elsewhere gradients come to the host, and moved parameters go
/// back; AdamW's arithmetic is left out.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables))]
fn update(
    variables: &BTreeMap<String, Var>,
    moments: &BTreeMap<String, [Var; 2]>,
    gradients: &Gradients,
) -> Outcome<()> {
    #[cfg(feature = "cuda")]
    if variables.values().all(|var| sft::kernels::optimizer_takes(var.device())) {
        let tensors: Vec<&Tensor> = gradients.iter().map(|(_, gradient)| gradient).collect();
        let norm = sft::kernels::sums_of_squares(&tensors)?.iter().sum::<f64>().sqrt();
        let scalars = sft::kernels::launch::AdamWScalars {
            factor: (1.0 / (norm + 1e-6)) as f32,
            decay: 1.0,
            step_size: 1e-6,
            root_correction: 1.0,
            rest1: 0.1,
            beta2: 0.999,
            rest2: 0.001,
            eps: 1e-8,
        };
        for (name, gradient) in gradients.iter() {
            let [exp_avg, exp_avg_sq] = &moments[name];
            sft::kernels::adamw(&variables[name], gradient, [exp_avg, exp_avg_sq], &scalars)?;
        }
        return Ok(());
    }
    for (name, gradient) in gradients.iter() {
        let values: Vec<f32> = gradient.flatten_all()?.to_vec1()?;
        let variable = &variables[name];
        let old: Vec<f32> = variable.flatten_all()?.to_vec1()?;
        let new = old.iter().zip(&values).map(|(p, g)| p - 1e-6 * g).collect();
        variable.set(&Tensor::from_vec(new, variable.shape(), variable.device())?)?;
    }
    Ok(())
}
