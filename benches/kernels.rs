//! Every kernel of the CPU, with its share of what this machine can do at most.
//!
//! Products are compared with the fastest rate of the instruction they are made of, and operations
//! that touch each number a few times with the rate at which memory is read; both are measured first.
//! The numbers that such an operation reads and writes are counted once each. The sizes are those of a
//! block of a 135 M model with 1,024 tokens in sequences of 128.
//!
//! `SFT_KERNELS=portable|avx2|avx512|avx512bf16|neon` chooses an instruction set, `RAYON_NUM_THREADS`
//! the threads.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use rayon::prelude::*;
use sft::kernels::{
    AttentionSpec, DropoutStream, Rows,
    cpu::{
        self, AttentionShape, Buffers, Dropout, Linear, Lora, Turn, linear_backward_input,
        linear_forward, lora_gradients,
    },
    matmul::{Matrix, Product, Quantised, Start, matmul, peak_flops},
    random::uniform,
};

const TOKENS: usize = 1024;
const LENGTH: usize = 128;
const HIDDEN: usize = 576;
const INNER: usize = 1536;
const HEADS: [usize; 2] = [9, 3];
const HEAD_DIM: usize = 64;
const RANK: usize = 16;

/// What bounds a kernel.
#[derive(Clone, Copy)]
enum Bound {
    /// Floating-point operations of f32, and of bf16 weights.
    Flops,
    HalfFlops,
    /// Bytes.
    Memory,
}

struct Limits {
    flops: f64,
    half_flops: f64,
    memory: f64,
}

impl Limits {
    fn measure() -> Self {
        let half = [bf16::ONE];
        let flops = peak_flops(&Matrix::f32(&[1.0], 1, 1).unwrap()).unwrap();
        let half_flops = peak_flops(&Matrix::bf16(&half, 1, 1).unwrap()).unwrap();
        let data = vec![1u64; 32 << 20];
        let read = || {
            let start = Instant::now();
            let sum = |x: &[u64]| x.iter().fold(0u64, |sum, x| sum.wrapping_add(*x));
            black_box(data.par_chunks(1 << 16).map(sum).reduce(|| 0, u64::wrapping_add));
            size_of_val(&data[..]) as f64 / start.elapsed().as_secs_f64()
        };
        let memory = (0..5).map(|_| read()).fold(0.0, f64::max);
        println!(
            "limits: {:.0} GFLOP/s in f32, {:.0} with bf16 weights, {:.0} GB/s",
            flops / 1e9,
            half_flops / 1e9,
            memory / 1e9
        );
        Self { flops, half_flops, memory }
    }

    fn of(&self, bound: Bound) -> f64 {
        match bound {
            Bound::Flops => self.flops,
            Bound::HalfFlops => self.half_flops,
            Bound::Memory => self.memory,
        }
    }
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    limits: Limits,
}

impl Bench<'_> {
    /// Measures `step`, which is so much work.
    fn run(&mut self, name: &str, bound: Bound, work: usize, mut step: impl FnMut()) {
        let mut best = f64::INFINITY;
        let mut group = self.criterion.benchmark_group("kernels");
        group.sample_size(10);
        group.warm_up_time(Duration::from_millis(50));
        group.measurement_time(Duration::from_millis(300));
        group.throughput(match bound {
            Bound::Memory => Throughput::Bytes(work as u64),
            _ => Throughput::Elements(work as u64),
        });
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let start = Instant::now();
                (0..rounds).for_each(|_| step());
                let time = start.elapsed();
                best = best.min(time.as_secs_f64() / rounds as f64);
                time
            });
        });
        group.finish();
        if best.is_finite() {
            let share = work as f64 / best / self.limits.of(bound);
            println!("kernels/{name}: {:.0} % of the limit at its best", 100.0 * share);
        }
    }
}

fn products(bench: &mut Bench<'_>) {
    for (rows, cols) in [(HIDDEN, HIDDEN), (INNER, HIDDEN), (2048, 2048)] {
        let values = uniform(1, 1, rows * cols);
        let half: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
        let nf4 = Quantised::nf4(&values, rows, cols).unwrap();
        let int8 = Quantised::int8(&values, rows, cols).unwrap();
        for (storage, w, bound, bytes) in [
            ("f32", Matrix::f32(&values, rows, cols).unwrap(), Bound::Flops, 4.0),
            ("bf16", Matrix::bf16(&half, rows, cols).unwrap(), Bound::HalfFlops, 2.0),
            ("int8", int8.matrix(), Bound::HalfFlops, 1.03),
            ("nf4", nf4.matrix(), Bound::HalfFlops, 0.52),
        ] {
            let (x, dy) = (uniform(1, 2, TOKENS * cols), uniform(1, 3, TOKENS * rows));
            let (mut y, mut dx) = (vec![0.0; TOKENS * rows], vec![0.0; TOKENS * cols]);
            let work = 2 * TOKENS * rows * cols;
            bench.run(&format!("{storage} {rows}x{cols} forward"), bound, work, || {
                matmul(vec![Product::nt(&x, TOKENS, w, Start::Zero, &mut y)]).unwrap();
            });
            bench.run(&format!("{storage} {rows}x{cols} gradient"), bound, work, || {
                matmul(vec![Product::nn(&dy, TOKENS, w, Start::Zero, &mut dx)]).unwrap();
            });
            if rows == 2048 {
                // Larger than the caches, as the weights of a model are from token to token.
                let copies = 16;
                let many: Vec<f32> = uniform(1, 4, copies * rows * cols);
                let half: Vec<bf16> = many.iter().map(|&x| bf16::from_f32(x)).collect();
                let rows = copies * rows;
                let quantised = match storage {
                    "nf4" => Some(Quantised::nf4(&many, rows, cols).unwrap()),
                    "int8" => Some(Quantised::int8(&many, rows, cols).unwrap()),
                    _ => None,
                };
                let w = match (&quantised, storage) {
                    (Some(quantised), _) => quantised.matrix(),
                    (None, "f32") => Matrix::f32(&many, rows, cols).unwrap(),
                    _ => Matrix::bf16(&half, rows, cols).unwrap(),
                };
                let mut y = vec![0.0; rows];
                let bytes = ((rows * cols) as f64 * bytes) as usize;
                bench.run(&format!("{storage} one token"), Bound::Memory, bytes, || {
                    matmul(vec![Product::nt(&x[..cols], 1, w, Start::Zero, &mut y)]).unwrap();
                });
            }
        }
    }
}

fn lora(bench: &mut Bench<'_>) {
    let (out, input) = (INNER, HIDDEN);
    let (values, a, b) =
        (uniform(2, 1, out * input), uniform(2, 2, RANK * input), uniform(2, 3, out * RANK));
    let (x, dy) = (uniform(2, 4, TOKENS * input), uniform(2, 5, TOKENS * out));
    let (mut y, mut dx) = (vec![0.0; TOKENS * out], vec![0.0; TOKENS * input]);
    let buffers = Buffers::default();
    let adapter = Lora { a: &a, b: &b, r: RANK, scale: 2.0, dropout: None };
    let layer = Linear { w: Matrix::f32(&values, out, input).unwrap(), lora: Some(adapter) };
    let narrow = RANK * (out + input);
    let mut downs = Vec::new();
    bench.run(
        "lora f32 1536x576 forward",
        Bound::Flops,
        2 * TOKENS * (out * input + narrow),
        || {
            downs =
                linear_forward(&x, TOKENS, vec![(layer, Start::Zero, &mut y)], &buffers).unwrap();
        },
    );
    if downs.is_empty() {
        return; // filtered out
    }
    let work = 2 * TOKENS * (out * input + 2 * narrow);
    bench.run("lora f32 1536x576 backward", Bound::Flops, work, || {
        let layers = [(layer, &dy[..], downs[0].as_deref())];
        let dx = Some((Start::Zero, &mut dx[..]));
        let narrow = linear_backward_input(TOKENS, &layers, dx, &buffers).unwrap();
        let layers = std::iter::once(layer);
        black_box(lora_gradients(&x, TOKENS, layers, narrow, &buffers).unwrap());
    });
}

fn attention(bench: &mut Bench<'_>) {
    let [heads, kv_heads] = HEADS;
    let borders: Vec<u32> = (0..=TOKENS).step_by(LENGTH).map(|at| at as u32).collect();
    let spec =
        AttentionSpec { cu_seqlens_q: &borders, cu_seqlens_k: &borders, sliding_window: None };
    let shape = AttentionShape::new(heads, kv_heads, HEAD_DIM, &spec).unwrap();
    let len = |heads: usize| TOKENS * heads * HEAD_DIM;
    let (q, dy) = (uniform(3, 1, len(heads)), uniform(3, 2, len(heads)));
    let (k, v) = (uniform(3, 3, len(kv_heads)), uniform(3, 4, len(kv_heads)));
    let [mut y, mut dq] = [(); 2].map(|()| vec![0.0; len(heads)]);
    let [mut dk, mut dv] = [(); 2].map(|()| vec![0.0; len(kv_heads)]);
    // Pairs of a query and a key that it sees.
    let pairs = TOKENS * (LENGTH + 1) / 2 * heads;
    bench.run("attention forward", Bound::Flops, 4 * pairs * HEAD_DIM, || {
        cpu::attention(&shape, [&q, &k, &v], &mut y).unwrap();
    });
    bench.run("attention backward", Bound::Flops, 10 * pairs * HEAD_DIM, || {
        let gradients = [&mut dq[..], &mut dk[..], &mut dv[..]];
        cpu::attention_backward(&shape, [&q, &k, &v], &dy, gradients, None).unwrap();
    });
}

fn small(bench: &mut Bench<'_>) {
    let numbers = TOKENS * HIDDEN;
    let (x, dy, weight) = (uniform(4, 1, numbers), uniform(4, 2, numbers), uniform(4, 3, HIDDEN));
    let mut y = vec![0.0; numbers];
    bench.run("rms_norm forward", Bound::Memory, 8 * numbers, || {
        cpu::rms_norm(&x, &weight, 1e-5, &mut y);
    });
    bench.run("rms_norm backward", Bound::Memory, 16 * numbers, || {
        cpu::rms_norm_backward(&x, &weight, 1e-5, &dy, &mut y);
    });
    let (cos, sin) = (vec![0.6; TOKENS * HEAD_DIM / 2], vec![0.8; TOKENS * HEAD_DIM / 2]);
    bench.run("rope", Bound::Memory, 8 * numbers, || {
        cpu::rope(&mut y, &cos, &sin, HIDDEN, Turn::Forward);
    });

    let wide = TOKENS * INNER;
    let (gate, up) = (uniform(4, 4, wide), uniform(4, 5, wide));
    let mut inner = vec![0.0; wide];
    bench.run("swiglu forward", Bound::Memory, 12 * wide, || cpu::swiglu(&gate, &up, &mut inner));
    let [mut gate_half, mut up_half] = [(); 2].map(|()| vec![bf16::ZERO; wide]);
    bench.run("swiglu forward, rounding", Bound::Memory, 16 * wide, || {
        cpu::swiglu_rounding(&gate, &up, &mut inner, [&mut gate_half, &mut up_half]);
    });
    let (mut dgate, mut dup) = (gate.clone(), up.clone());
    bench.run("swiglu backward", Bound::Memory, 20 * wide, || {
        cpu::swiglu_backward(&mut dgate, &mut dup, &inner);
    });

    let vocab = 32_000;
    let logits = uniform(4, 6, 128 * vocab);
    let labels: Vec<u32> = (0..128).map(|i| i * 97 % vocab as u32).collect();
    let mut work = logits.clone();
    bench.run("cross_entropy with its gradient", Bound::Memory, 8 * work.len(), || {
        black_box(cpu::cross_entropy(&mut work, &labels, vocab, true));
        cpu::copy(&logits, &mut work);
    });
    let example: Vec<u64> = (0..TOKENS as u64).collect();
    let position: Vec<u32> = (0..TOKENS as u32).collect();
    let rows = Rows { example: &example, position: &position };
    let stream = DropoutStream { seed: 1, step: 2 };
    let dropout = Dropout::new(stream, "model.layers.0.mlp.up_proj", rows, 0.05).unwrap();
    bench.run("dropout", Bound::Memory, 8 * numbers, || {
        dropout.apply(HIDDEN, &x, &mut y).unwrap();
    });
}

fn kernels(criterion: &mut Criterion) {
    let mut bench = Bench { criterion, limits: Limits::measure() };
    products(&mut bench);
    lora(&mut bench);
    attention(&mut bench);
    small(&mut bench);
}

criterion_group!(benches, kernels);
criterion_main!(benches);
