//! The CUDA kernels in an emulator, called as on a GPU, against the same operations composed of candle's in f64.
//!
//! This holds arithmetic, indices, barriers and the order of arguments on machines without a GPU. It needs a C++
//! compiler (`c++`, or what `CXX` names) and says so where there is none.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::type_complexity)]

mod common;

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use candle_core::{DType, Device, Tensor, Var};
use common::random;
use half::{bf16, f16};
use sft_kernels::{
    AttentionSpec, Dropout, DropoutStream, FrozenWeight, LoraOperands, Rows, causal_attention,
    cpu::AttentionShape,
    launch::{self, AdamWScalars, Arg, Borders, Call, DropoutArgs, Kind, Low},
    linear_cross_entropy, lora_linear, rms_norm, rope, swiglu,
};

/// The emulator, compiled once; `None` where there is no compiler.
fn emulator() -> Option<&'static PathBuf> {
    static EMULATOR: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cuda-emulator");
        let run = Command::new(&compiler)
            .args(["-O2", "-std=c++17", "-ffp-contract=off", "-Wno-unknown-pragmas"])
            .args(["-DSFT_EMULATED", "-o"])
            .arg(&program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda/emulate.cpp"))
            .output();
        match run {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(program)
            }
            Err(error) => {
                println!("skipped, no C++ compiler: {compiler}: {error}");
                None
            }
        }
    };
    EMULATOR.get_or_init(compile).as_ref()
}

const KINDS: [Kind; 3] = [Kind::F32, Kind::BF16, Kind::F16];

fn dtype(kind: Kind) -> DType {
    match kind {
        Kind::F32 => DType::F32,
        Kind::BF16 => DType::BF16,
        Kind::F16 => DType::F16,
    }
}

/// What one rounding of each type may cost, relative to the whole.
fn bound(kind: Kind) -> f64 {
    match kind {
        Kind::F32 => 1e-6,
        Kind::BF16 => 6e-3,
        Kind::F16 => 8e-4,
    }
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.flatten_all().unwrap();
    match tensor.dtype() {
        DType::F32 => flat.to_vec1::<f32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::BF16 => {
            flat.to_vec1::<bf16>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DType::F16 => flat.to_vec1::<f16>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F64 => flat.to_vec1::<f64>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U32 => flat.to_vec1::<u32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
        other => panic!("{other:?}"),
    }
}

/// Runs a call with the threads in both orders; the buffers afterwards.
fn emulate(call: Call<&Tensor>) -> Vec<Tensor> {
    assert_eq!(call.block % 32, 0, "{}: whole warps", call.kernel);
    assert!(call.shared <= 164 << 10, "{}: {} bytes of shared memory", call.kernel, call.shared);
    let mut input = Vec::new();
    let mut buffers = Vec::new();
    for arg in &call.args {
        match arg {
            Arg::Buffer(tensor) => {
                let bytes = bytes(tensor);
                input.push(b'b');
                input.extend((bytes.len() as u64).to_le_bytes());
                input.extend(bytes);
                buffers.push(*tensor);
            }
            Arg::Null => input.push(b'n'),
            Arg::U32(value) => input.extend([&b"u"[..], &value.to_le_bytes()].concat()),
            Arg::Size(value) => input.extend([&b"z"[..], &value.to_le_bytes()].concat()),
            Arg::F32(value) => input.extend([&b"f"[..], &value.to_le_bytes()].concat()),
        }
    }
    let run = |order: &str| {
        let numbers = call.grid.iter().chain([&call.block]).map(ToString::to_string);
        let mut child = Command::new(emulator().unwrap())
            .arg(&call.kernel)
            .args(numbers)
            .arg(order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {message}", call.kernel);
        output.stdout
    };
    let found = run("forwards");
    assert!(found == run("backwards"), "{}: depends on the order of threads", call.kernel);
    let mut rest = &found[..];
    let mut results = Vec::new();
    for buffer in buffers {
        let (now, later) = rest.split_at(buffer.elem_count() * buffer.dtype().size_in_bytes());
        rest = later;
        let (dtype, dims) = (buffer.dtype(), buffer.dims());
        results.push(Tensor::from_raw_buffer(now, dtype, dims, &Device::Cpu).unwrap());
    }
    results
}

/// The last `n` buffers.
fn last<const N: usize>(buffers: Vec<Tensor>, n: [usize; N]) -> [Tensor; N] {
    n.map(|i| buffers[i].clone())
}

fn near(what: &str, found: &Tensor, exact: &Tensor, bound: f64) {
    let numbers = |t: &Tensor| -> Vec<f64> {
        t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (found, exact) = (numbers(found), numbers(exact));
    assert_eq!(found.len(), exact.len(), "{what}");
    let gap = found.iter().zip(&exact).map(|(f, e)| (f - e).powi(2)).sum::<f64>().sqrt();
    let size = exact.iter().map(|e| e * e).sum::<f64>().sqrt();
    assert!(gap <= bound * size, "{what}: off by {:e}", gap / size);
    assert!(size > 1e-3, "{what}: nothing to compare");
}

/// Random numbers that the type has, and room for results.
fn input(kind: Kind, stream: u64, shape: &[usize]) -> Tensor {
    random(stream, shape).to_dtype(dtype(kind)).unwrap()
}

fn room(dtype: DType, shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, dtype, &Device::Cpu).unwrap()
}

/// Value and gradients in f64 of what the kernels are given.
fn exact(
    inputs: &[&Tensor],
    dy: &Tensor,
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let dy = dy.to_dtype(DType::F64).unwrap();
    let store = (&y * dy).unwrap().sum_all().unwrap().backward().unwrap();
    (y.detach(), vars.iter().map(|var| store.get(var).unwrap().clone()).collect())
}

#[test]
fn rms_norm_and_its_gradient() {
    if emulator().is_none() {
        return;
    }
    for kind in KINDS {
        for (rows, width) in [(1, 4), (5, 136), (3, 1100)] {
            let [x, dy] = [1, 2].map(|stream| input(kind, stream, &[rows, width]));
            let weight = (input(kind, 3, &[width]) + 1.5).unwrap();
            let (y, dx) =
                exact(&[&x], &dy, |x| rms_norm(&x[0], &weight.to_dtype(DType::F64)?, 1e-3));
            let out = room(dtype(kind), x.dims());
            let call = launch::rms_norm(kind, [&x, &weight, &out], rows, width, 1e-3);
            let [found] = last(emulate(call), [2]);
            near("rms_norm", &found, &y, bound(kind));
            let buffers = [&x, &weight, &dy, &out];
            let [found] =
                last(emulate(launch::rms_norm_backward(kind, buffers, rows, width, 1e-3)), [3]);
            near("rms_norm backward", &found, &dx[0], bound(kind));
        }
    }
}

#[test]
fn rope_forward_and_back() {
    if emulator().is_none() {
        return;
    }
    let (tokens, heads, half) = (7, 3, 6);
    for kind in KINDS {
        let [x, dy] = [1, 2].map(|stream| input(kind, stream, &[tokens, heads, 2 * half]));
        let [cos, sin] = [3, 4].map(|stream| input(kind, stream, &[tokens, half]));
        let wide = |t: &Tensor| t.to_dtype(DType::F64);
        let (y, dx) = exact(&[&x], &dy, |x| rope(&x[0], &wide(&cos)?, &wide(&sin)?));
        let out = room(dtype(kind), x.dims());
        for (given, turn, expected) in [(&x, 1.0, &y), (&dy, -1.0, &dx[0])] {
            let buffers = [given, &cos, &sin, &out];
            let [found] =
                last(emulate(launch::rope(kind, buffers, tokens, heads, half, turn)), [3]);
            near("rope", &found, expected, bound(kind));
        }
    }
}

#[test]
fn swiglu_and_its_gradients() {
    if emulator().is_none() {
        return;
    }
    let count = 1100;
    for kind in KINDS {
        let [gate, up, dy] = [1, 2, 3].map(|stream| (input(kind, stream, &[count]) * 4.0).unwrap());
        let (y, gradients) = exact(&[&gate, &up], &dy, |x| swiglu(&x[0], &x[1]));
        let out = room(dtype(kind), &[count]);
        let [found] = last(emulate(launch::swiglu(kind, [&gate, &up, &out], count)), [2]);
        near("swiglu", &found, &y, bound(kind));
        let buffers = [&gate, &up, &dy, &out, &out];
        let [dgate, dup] = last(emulate(launch::swiglu_backward(kind, buffers, count)), [3, 4]);
        near("swiglu dgate", &dgate, &gradients[0], bound(kind));
        near("swiglu dup", &dup, &gradients[1], bound(kind));
    }
}

#[test]
fn cross_entropy_and_its_gradient() {
    if emulator().is_none() {
        return;
    }
    let (rows, vocab) = (4, 1301);
    let labels = [0u32, 1300, 17, 5];
    // With the identity as the head the logits are the hidden states.
    let head = FrozenWeight::from_tensor(&Tensor::eye(vocab, DType::F64, &Device::Cpu).unwrap());
    for kind in KINDS {
        let logits = (input(kind, 1, &[rows, vocab]) * 5.0).unwrap();
        let wide = logits.to_dtype(DType::F64).unwrap();
        let expected = linear_cross_entropy(&wide, head.as_ref().unwrap(), &labels, true).unwrap();
        let (given, nll) = (Tensor::new(&labels, &Device::Cpu).unwrap(), room(DType::F32, &[rows]));
        let call = launch::cross_entropy(kind, [&logits, &given, &nll], rows, vocab, true);
        let [gradient, nll] = last(emulate(call), [0, 2]);
        let sum: f32 = nll.sum_all().unwrap().to_scalar().unwrap();
        assert!((f64::from(sum) / expected.nll - 1.0).abs() < 1e-6);
        near("cross_entropy gradient", &gradient, &expected.dhidden.unwrap(), bound(kind));
        let given = Tensor::new(&labels, &Device::Cpu).unwrap();
        let call = launch::cross_entropy(kind, [&logits, &given, &nll], rows, vocab, false);
        let [untouched, again] = last(emulate(call), [0, 2]);
        assert_eq!(bytes(&untouched), bytes(&logits));
        assert_eq!(bytes(&again), bytes(&nll));
    }
}

#[test]
fn lora_with_dropout_and_its_gradients() {
    if emulator().is_none() {
        return;
    }
    for (kind, tokens, width, out, r) in [
        (Kind::F32, 37, 136, 520, 8),
        (Kind::BF16, 300, 72, 64, 20),
        (Kind::F16, 5, 520, 36, 3),
        (Kind::F32, 1, 64, 64, 16),
    ] {
        let [x, base, dx] =
            [(1, width), (2, out), (3, width)].map(|(s, w)| input(kind, s, &[tokens, w]));
        let dy = input(kind, 4, &[tokens, out]);
        let (a, b) = (input(Kind::F32, 5, &[r, width]), input(Kind::F32, 6, &[out, r]));
        let example: Vec<u64> = (0..tokens as u64).map(|t| t / 9 + (1 << 40)).collect();
        let position: Vec<u32> = (0..tokens as u32).map(|t| t % 9).collect();
        let stream = DropoutStream { seed: 3, step: 4 };
        let rows = Rows { example: &example, position: &position };
        let dropout = Dropout::new(stream, "m", rows, 0.3).unwrap();
        let (key, threshold, keep) = dropout.bits();
        let counters = Tensor::from_vec(dropout.counters().concat(), (tokens, 3), &Device::Cpu);
        let counters = counters.unwrap();
        for dropped in [false, true] {
            let dropout = dropped.then_some(dropout);
            let drop = || {
                dropped.then_some(DropoutArgs {
                    rows: &counters,
                    key,
                    threshold: threshold as u32,
                    keep,
                })
            };
            let scale = 1.75;
            let zero = FrozenWeight::from_tensor(&room(DType::F64, &[out, width])).unwrap();
            let (y, gradients) = exact(&[&x, &a, &b], &dy, |t| {
                let lora = LoraOperands { a: &t[1], b: &t[2], scale, dropout };
                lora_linear(&t[0], &zero, None, &lora)
            });
            let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
            let on_input = Low { tokens, width, r, transposed: false };
            let on_output = Low { tokens, width: out, r, transposed: true };
            let small = room(DType::F32, &[tokens, r]);

            let [u] = last(
                emulate(launch::lora_down(kind, [&x, &a, &small], on_input, scale, drop())),
                [2],
            );
            let [sum] = last(emulate(launch::lora_up(kind, [&u, &b, &base], on_output, None)), [2]);
            near("lora y", &sum, &(wide(&base) + y).unwrap(), bound(kind));

            let [t] = last(
                emulate(launch::lora_down(kind, [&dy, &b, &small], on_output, scale, None)),
                [2],
            );
            let [sum] = last(emulate(launch::lora_up(kind, [&t, &a, &dx], on_input, drop())), [2]);
            near("lora dx", &sum, &(wide(&dx) + &gradients[0]).unwrap(), bound(kind));

            let gradient = |small: &Tensor, wide: &Tensor, low: Low, drop| {
                let (count, shares) = (r * low.width, low.shares());
                let parts = room(DType::F32, &[shares, count]);
                let call = launch::lora_gradient(kind, [small, wide, &parts], low, drop);
                let [parts] = last(emulate(call), [2]);
                let sum = room(DType::F32, &[count]);
                let call = launch::sum_of_parts([&parts, &sum], count, shares);
                let [sum] = last(emulate(call), [1]);
                sum
            };
            near("lora dA", &gradient(&t, &x, on_input, drop()), &gradients[1], 2e-6);
            near("lora dB", &gradient(&u, &dy, on_output, None), &gradients[2], 2e-6);
        }
    }
}

#[test]
fn attention_and_its_gradients() {
    if emulator().is_none() {
        return;
    }
    // Heads, key/value heads, width of a head, window, queries and keys of each sequence.
    let cases: [(usize, usize, usize, Option<usize>, &[u32], &[u32]); 4] = [
        (4, 2, 16, None, &[70, 5, 33], &[70, 5, 33]),
        (6, 2, 20, Some(9), &[40, 1, 130], &[40, 1, 130]),
        (2, 1, 128, None, &[3, 20, 1], &[50, 20, 9]),
        (2, 2, 64, Some(33), &[65], &[100]),
    ];
    for kind in KINDS {
        for (heads, kv_heads, head_dim, sliding_window, queries, keys) in cases {
            let borders = |lengths: &[u32]| {
                let mut borders = vec![0];
                borders.extend(lengths.iter().scan(0, |end, length| {
                    *end += length;
                    Some(*end)
                }));
                borders
            };
            let (cu_q, cu_k) = (borders(queries), borders(keys));
            let (rows, key_rows) = (*cu_q.last().unwrap() as usize, *cu_k.last().unwrap() as usize);
            let spec = AttentionSpec { cu_seqlens_q: &cu_q, cu_seqlens_k: &cu_k, sliding_window };
            let of_queries = |stream| input(kind, stream, &[rows, heads, head_dim]);
            let of_keys = |stream| input(kind, stream, &[key_rows, kv_heads, head_dim]);
            let (q, dy, k, v) =
                ((of_queries(1) * 3.0).unwrap(), of_queries(2), of_keys(3), of_keys(4));
            let (y, gradients) =
                exact(&[&q, &k, &v], &dy, |x| causal_attention(&x[0], &x[1], &x[2], &spec));

            let shape = AttentionShape::new(heads, kv_heads, head_dim, &spec).unwrap();
            let [cu_q, cu_k] = [cu_q, cu_k].map(|b| Tensor::new(b, &Device::Cpu).unwrap());
            let borders = Borders { q: &cu_q, k: &cu_k };
            let (out, lse) = (room(dtype(kind), q.dims()), room(DType::F32, &[rows, heads]));
            let call = launch::attention(kind, [&q, &k, &v, &out, &lse], borders, &shape);
            let [out, lse] = last(emulate(call), [3, 4]);
            near("attention", &out, &y, bound(kind));

            let delta = room(DType::F32, &[rows, heads]);
            let call = launch::attention_delta(kind, [&out, &dy, &delta], rows * heads, head_dim);
            let [delta] = last(emulate(call), [2]);
            let room = [q.dims(), k.dims(), k.dims()].map(|dims| room(dtype(kind), dims));
            let buffers = [&q, &k, &v, &dy, &lse, &delta, &room[0]];
            let [dq] = last(emulate(launch::attention_dq(kind, buffers, borders, &shape)), [6]);
            let buffers = [&q, &k, &v, &dy, &lse, &delta, &room[1], &room[2]];
            let [dk, dv] =
                last(emulate(launch::attention_dkv(kind, buffers, borders, &shape)), [6, 7]);
            for (what, found, exact) in
                [("dq", dq, &gradients[0]), ("dk", dk, &gradients[1]), ("dv", dv, &gradients[2])]
            {
                near(&format!("attention {what}"), &found, exact, bound(kind));
            }
        }
    }
}

#[test]
fn adamw_moves_as_on_the_cpu() {
    if emulator().is_none() {
        return;
    }
    let count = 300;
    let [p, g, m] = [1, 2, 3].map(|stream| input(Kind::F32, stream, &[count]));
    let v = m.sqr().unwrap();
    let scalars = AdamWScalars {
        factor: 0.37,
        decay: 0.998,
        step_size: 1e-3,
        root_correction: 0.7,
        rest1: 0.1,
        beta2: 0.999,
        rest2: 0.002,
        eps: 1e-8,
    };
    let [found_p, found_m, found_v] =
        last(emulate(launch::adamw([&p, &g, &m, &v], count, &scalars)), [0, 2, 3]);
    let numbers = |t: &Tensor| t.to_vec1::<f32>().unwrap();
    let AdamWScalars { factor, decay, step_size, root_correction, rest1, beta2, rest2, eps } =
        scalars;
    for i in 0..count {
        let (p, g, m, v) = (numbers(&p)[i], numbers(&g)[i], numbers(&m)[i], numbers(&v)[i]);
        let g = g * factor;
        let m = m + rest1 * (g - m);
        let v = v * beta2 + rest2 * g * g;
        let p = p * decay - step_size * m / (v.sqrt() / root_correction + eps);
        assert_eq!((numbers(&found_p)[i], numbers(&found_m)[i], numbers(&found_v)[i]), (p, m, v));
    }
}

#[test]
fn squares_are_summed_in_parts() {
    if emulator().is_none() {
        return;
    }
    // Squares that f32 cannot hold: too large and too small.
    for (count, size) in [(1, 1e25), (300, 1e-25), (4096, 1e25), (4097, 1e-25), (9000, 1e25)] {
        let x = (input(Kind::F32, 1, &[count]) * size).unwrap();
        let parts = room(DType::F64, &[launch::parts_of_squares(count)]);
        let [parts] = last(emulate(launch::sum_of_squares([&x, &parts], count)), [1]);
        let parts: Vec<f64> = parts.to_vec1().unwrap();
        let x: Vec<f32> = x.to_vec1().unwrap();
        let shares: Vec<&[f32]> = x.chunks(4096).collect();
        assert_eq!(parts.len(), shares.len());
        for (part, share) in parts.iter().zip(shares) {
            let exact: f64 = share.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((part / exact - 1.0).abs() < 1e-14, "{count}: {part} for {exact}");
        }
    }
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = vec![1.0; 5000];
        values[4500] = bad;
        let x = Tensor::from_vec(values, 5000, &Device::Cpu).unwrap();
        let parts = room(DType::F64, &[2]);
        let [parts] = last(emulate(launch::sum_of_squares([&x, &parts], 5000)), [1]);
        let parts: Vec<f64> = parts.to_vec1().unwrap();
        assert_eq!(parts[0], 4096.0);
        assert!(!parts[1].is_finite());
    }
}
