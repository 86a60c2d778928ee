//! The decoder against PyTorch, transformers and PEFT: `scripts/make_golden.py` is the code that made the numbers, and says
//! what each tensor of a `golden.safetensors` holds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use candle_core::{D, DType, Device, Tensor, safetensors};
use sft_kernels::DropoutStream;
use sft_lora::{
    LoraConfig,
    peft::{PeftAdapter, load_adapter},
};
use sft_model::{
    CachedInput, Decoder, Gradients, ModelDir, Packed, Passes, Recompute, TrainPass,
    runtime::DeviceChoice,
};

const ARCHITECTURES: [&str; 7] =
    ["llama2", "llama31", "llama32", "mistral", "llama_bias", "qwen2", "qwen3"];
const NO_DROPOUT: TrainPass = TrainPass { dropout: None, recompute: Recompute::None };

/// The folder that `SFT_GOLDEN` names, for a program that was copied to another machine, or the repository's.
fn folder(name: &str) -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden");
    std::env::var_os("SFT_GOLDEN").map_or_else(here, PathBuf::from).join(name)
}

/// The device that `SFT_TEST_DEVICE` names, or the CPU.
fn device() -> Device {
    std::env::var("SFT_TEST_DEVICE")
        .map_or(Device::Cpu, |name| name.parse::<DeviceChoice>().unwrap().open().unwrap())
}

/// A golden batch of three sequences of uneven length, and what PyTorch made of it.
struct Golden {
    name: &'static str,
    tensors: HashMap<String, Tensor>,
    batch: Batch,
}

/// Sequences with their targets, ready to be borrowed as a `Packed`.
#[derive(Clone)]
struct Batch {
    ids: Vec<u32>,
    positions: Vec<u32>,
    cu_seqlens: Vec<u32>,
    example: Vec<u64>,
    targets: Vec<(u32, u32)>,
}

impl Batch {
    /// Packs `(example, ids, first_target)`, in this order.
    fn pack<'a>(sequences: impl IntoIterator<Item = (u64, &'a [u32], usize)>) -> Self {
        let mut batch = Self {
            ids: vec![],
            positions: vec![],
            cu_seqlens: vec![0],
            example: vec![],
            targets: vec![],
        };
        for (example, ids, first) in sequences {
            let start = batch.ids.len();
            batch.targets.extend((first..ids.len()).map(|t| ((start + t - 1) as u32, ids[t])));
            batch.ids.extend(ids);
            batch.positions.extend(0..ids.len() as u32);
            batch.cu_seqlens.push(batch.ids.len() as u32);
            batch.example.push(example);
        }
        batch
    }

    fn packed(&self) -> Packed<'_> {
        Packed {
            ids: &self.ids,
            positions: &self.positions,
            cu_seqlens: &self.cu_seqlens,
            example: &self.example,
        }
    }

    /// The rows of sequence `i`.
    fn rows(&self, i: usize) -> Range<usize> {
        self.cu_seqlens[i] as usize..self.cu_seqlens[i + 1] as usize
    }

    fn gradients(&self, decoder: &Decoder, pass: &TrainPass) -> Gradients {
        let mut gradients = Gradients::default();
        decoder.forward_backward(&self.packed(), &self.targets, pass, &mut gradients).unwrap();
        gradients
    }
}

impl Golden {
    fn read(name: &'static str) -> Self {
        let tensors =
            safetensors::load(folder(name).join("golden.safetensors"), &Device::Cpu).unwrap();
        let mut golden = Self { name, tensors, batch: Batch::pack([]) };
        let (ids, borders) = (golden.integers("ids"), golden.integers("cu_seqlens"));
        let first = golden.integers("first_target");
        let sequences = (0..3).map(|i| {
            (i as u64, &ids[borders[i] as usize..borders[i + 1] as usize], first[i] as usize)
        });
        golden.batch = Batch::pack(sequences);
        assert_eq!(golden.batch.cu_seqlens, borders);
        golden
    }

    /// The golden sequence `i` as a batch of its own.
    fn alone(&self, i: usize) -> Batch {
        let first = self.integers("first_target")[i] as usize;
        Batch::pack([(i as u64, &self.batch.ids[self.batch.rows(i)], first)])
    }

    fn integers(&self, key: &str) -> Vec<u32> {
        self.tensors[key].to_dtype(DType::U32).unwrap().to_vec1().unwrap()
    }

    fn sum(&self, key: &str) -> f64 {
        self.tensors[key].to_vec1::<f64>().unwrap().iter().sum()
    }

    fn adapter(&self) -> PeftAdapter {
        load_adapter(&folder(self.name).join("adapter"), &Device::Cpu).unwrap()
    }

    fn base(&self) -> Decoder {
        open(&folder(self.name))
    }

    /// The base with PEFT's adapter.
    fn tuned(&self) -> Decoder {
        let mut decoder = self.base();
        decoder.load_lora(&self.adapter()).unwrap();
        decoder
    }

    /// The same with `p` of dropout.
    fn tuned_with_dropout(&self, p: f64) -> Decoder {
        let (mut decoder, mut adapter) = (self.base(), self.adapter());
        adapter.lora.lora_dropout = p;
        decoder.load_lora(&adapter).unwrap();
        decoder
    }

    fn assert_logits(&self, what: &str, logits: &Tensor, key: &str) {
        assert_within(&format!("{}: {what}", self.name), logits, &self.tensors[key], 1e-4);
    }
}

fn open(dir: &Path) -> Decoder {
    Decoder::load(&ModelDir::open(dir).unwrap(), DType::F32, &device()).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

/// No element is further than `tolerance` away; NaN is.
fn assert_within(what: &str, actual: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(actual.dims(), expected.dims(), "{what}: shape");
    for (i, (a, e)) in values(actual).into_iter().zip(values(expected)).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}: element {i} is {a} for {e}");
    }
}

/// The difference has at most `tolerance` of the expected norm.
fn assert_near_by_norm(what: &str, actual: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(actual.dims(), expected.dims(), "{what}: shape");
    let (actual, expected) = (values(actual), values(expected));
    let gap: Vec<f32> = actual.iter().zip(&expected).map(|(a, e)| a - e).collect();
    let relative = norm(&gap) / norm(&expected);
    assert!(relative <= tolerance, "{what}: off by {relative:e} of its norm {}", norm(&expected));
}

fn argmax(logits: &Tensor) -> u32 {
    logits.argmax(D::Minus1).unwrap().flatten_all().unwrap().to_vec1::<u32>().unwrap()[0]
}

#[test]
fn logits_of_the_base_and_of_the_adapter() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let mut decoder = golden.base();
        let base = decoder.logits(&golden.batch.packed(), None).unwrap();
        golden.assert_logits("base", &base, "logits.base");
        decoder.load_lora(&golden.adapter()).unwrap();
        let tuned = decoder.logits(&golden.batch.packed(), None).unwrap();
        golden.assert_logits("adapter", &tuned, "logits.adapter");

        let rows = [0, 12, 13, 39];
        let some = decoder.logits(&golden.batch.packed(), Some(&rows)).unwrap();
        let expected = tuned.index_select(&Tensor::new(&rows, tuned.device()).unwrap(), 0).unwrap();
        assert_within("chosen rows", &some, &expected, 1e-5);

        decoder.remove_lora().unwrap();
        let again = decoder.logits(&golden.batch.packed(), None).unwrap();
        assert_eq!(bits(&again), bits(&base), "{}: the base without its adapter", golden.name);
    }
}

#[test]
fn a_merged_model_gives_the_logits_of_its_adapter() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let mut decoder = golden.tuned();
        decoder.merge_lora().unwrap();
        let logits = decoder.logits(&golden.batch.packed(), None).unwrap();
        golden.assert_logits("merged", &logits, "logits.merged");
    }
}

#[test]
fn the_loss_is_that_of_the_targets_alone() {
    for golden in ARCHITECTURES.map(Golden::read) {
        for (decoder, key) in [(golden.base(), "nll.base"), (golden.tuned(), "nll.adapter")] {
            let loss = decoder.loss(&golden.batch.packed(), &golden.batch.targets).unwrap();
            assert_eq!(loss.targets, 14);
            let (mean, expected) = (loss.nll / 14.0, golden.sum(key) / 14.0);
            assert!(
                (mean - expected).abs() < 1e-4,
                "{}: {key} is {mean} for {expected}",
                golden.name
            );
            for (i, expected) in
                golden.tensors[key].to_vec1::<f64>().unwrap().into_iter().enumerate()
            {
                let alone = golden.alone(i);
                let loss = decoder.loss(&alone.packed(), &alone.targets).unwrap();
                assert!(
                    (loss.nll - expected).abs() < 1e-4 * expected,
                    "{}: sequence {i}: {} for {expected}",
                    golden.name,
                    loss.nll
                );
            }
        }
    }
}

#[test]
fn every_gradient_by_name() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let decoder = golden.tuned();
        let mut gradients = Gradients::default();
        let loss = decoder
            .forward_backward(
                &golden.batch.packed(),
                &golden.batch.targets,
                &NO_DROPOUT,
                &mut gradients,
            )
            .unwrap();
        assert_eq!(loss.targets, 14);
        assert!(
            (loss.nll - golden.sum("nll.adapter")).abs() < 1e-3,
            "{}: {}",
            golden.name,
            loss.nll
        );

        let expected: BTreeSet<_> = golden
            .tensors
            .keys()
            .filter_map(|k| k.strip_prefix("grad."))
            .map(str::to_owned)
            .collect();
        let names: BTreeSet<_> = gradients.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names, expected, "{}", golden.name);
        let layers = if golden.name == "qwen2" { 10 } else { 14 };
        assert_eq!(names.len(), 2 * layers, "{}", golden.name);
        for (name, gradient) in gradients.iter() {
            let what = format!("{}: {name}", golden.name);
            assert_near_by_norm(&what, gradient, &golden.tensors[&format!("grad.{name}")], 1e-4);
        }

        // A second pass adds to what is there.
        decoder
            .forward_backward(
                &golden.batch.packed(),
                &golden.batch.targets,
                &NO_DROPOUT,
                &mut gradients,
            )
            .unwrap();
        for (name, gradient) in gradients.iter() {
            let expected = (&golden.tensors[&format!("grad.{name}")] * 2.0).unwrap();
            assert_near_by_norm(
                &format!("{}: twice {name}", golden.name),
                gradient,
                &expected,
                1e-4,
            );
        }
    }
}

#[test]
fn a_packed_batch_is_its_sequences_alone() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let decoder = golden.tuned_with_dropout(0.2);
        let stream = DropoutStream { seed: 3, step: 5 };
        for pass in [NO_DROPOUT, TrainPass { dropout: Some(stream), recompute: Recompute::None }] {
            let together = golden.batch.gradients(&decoder, &pass);
            let mut sum = Gradients::default();
            for i in [2, 0, 1] {
                let alone = golden.alone(i);
                let logits = decoder.logits(&alone.packed(), None).unwrap();
                let rows = golden.batch.rows(i);
                let expected =
                    golden.tensors["logits.adapter"].narrow(0, rows.start, rows.len()).unwrap();
                assert_within(&format!("{}: sequence {i}", golden.name), &logits, &expected, 1e-4);
                decoder.forward_backward(&alone.packed(), &alone.targets, &pass, &mut sum).unwrap();
            }
            for (name, gradient) in together.iter() {
                let what = format!("{}: {name}", golden.name);
                // Both are sums in f32, in another order.
                assert_near_by_norm(&what, sum.get(name).unwrap(), gradient, 2e-5);
            }
        }
    }
}

#[test]
fn the_passes_written_by_hand_are_those_of_autograd() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let mut decoder = golden.tuned_with_dropout(0.2);
        let mut batch = golden.batch.clone();
        let mut targets_of = vec![batch.targets.clone()];
        // Rows that are not the last of their sequences, one of them twice, and sequences without.
        targets_of.push(vec![(1, 5), (0, 3), (1, 7)]);
        // Some of the last rows of one sequence alone.
        let last = batch.rows(1).end as u32 - 1;
        targets_of.push(vec![(last - 1, 4), (last, 9)]);
        for targets in targets_of {
            batch.targets = targets;
            for dropout in [None, Some(DropoutStream { seed: 3, step: 5 })] {
                let pass = TrainPass { dropout, recompute: Recompute::None };
                let mut run = |passes: Passes| {
                    decoder.set_passes(passes);
                    let mut gradients = Gradients::default();
                    let (input, targets) = (batch.packed(), &batch.targets);
                    let loss =
                        decoder.forward_backward(&input, targets, &pass, &mut gradients).unwrap();
                    let evaluated = decoder.loss(&input, targets).unwrap();
                    (loss.nll, evaluated.nll, decoder.logits(&input, None).unwrap(), gradients)
                };
                let exact = run(Passes::Autograd);
                for passes in [Passes::Fast, Passes::Tensors] {
                    let fast = run(passes);
                    let what = format!("{} {passes:?} {:?}", golden.name, batch.targets);
                    assert!(
                        (fast.0 / exact.0 - 1.0).abs() < 1e-6,
                        "{what}: {} {}",
                        fast.0,
                        exact.0
                    );
                    assert!(
                        (fast.1 / exact.1 - 1.0).abs() < 1e-6,
                        "{what}: {} {}",
                        fast.1,
                        exact.1
                    );
                    assert_within(&what, &fast.2, &exact.2, 1e-4);
                    let names = |gradients: &Gradients| -> Vec<String> {
                        gradients.iter().map(|(name, _)| name.to_owned()).collect()
                    };
                    assert_eq!(names(&fast.3), names(&exact.3));
                    for (name, gradient) in exact.3.iter() {
                        let what = format!("{what}: {name}");
                        // Sums in f32 in another order, of few rows and small gradients.
                        assert_near_by_norm(&what, fast.3.get(name).unwrap(), gradient, 5e-5);
                    }
                }
            }
        }
    }
}

#[test]
fn recomputation_changes_no_bit_of_a_gradient() {
    for (golden, passes) in on_every_path() {
        let mut decoder = golden.tuned_with_dropout(0.1);
        decoder.set_passes(passes);
        let plain = golden.batch.gradients(&decoder, &NO_DROPOUT);
        for dropout in [None, Some(DropoutStream { seed: 42, step: 7 })] {
            let kept = golden
                .batch
                .gradients(&decoder, &TrainPass { dropout, recompute: Recompute::None });
            for recompute in [Recompute::Blocks(1), Recompute::All] {
                let recomputed =
                    golden.batch.gradients(&decoder, &TrainPass { dropout, recompute });
                for (name, gradient) in kept.iter() {
                    let other = recomputed.get(name).unwrap();
                    assert_eq!(bits(gradient), bits(other), "{}: {name}", golden.name);
                    let as_without = bits(gradient) == bits(plain.get(name).unwrap());
                    let what = format!("{}: {name} under dropout", golden.name);
                    assert_eq!(as_without, dropout.is_none(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_fresh_adapter_changes_no_bit_and_b_learns_first() {
    for golden in ARCHITECTURES.map(Golden::read) {
        let mut decoder = golden.base();
        let base = decoder.logits(&golden.batch.packed(), None).unwrap();
        decoder.add_lora(&LoraConfig { r: 3, ..LoraConfig::default() }, 42).unwrap();
        let fresh = decoder.logits(&golden.batch.packed(), None).unwrap();
        assert_eq!(bits(&fresh), bits(&base), "{}", golden.name);
        let gradients = golden.batch.gradients(&decoder, &NO_DROPOUT);
        assert_eq!(gradients.iter().count(), 2 * 14);
        for (name, gradient) in gradients.iter() {
            let size = norm(&values(gradient));
            assert_eq!(
                size == 0.0,
                name.ends_with("lora_A.weight"),
                "{}: {name}: {size}",
                golden.name
            );
        }
    }
}

/// How a model's passes may be computed.
const PASSES: [Passes; 3] = [Passes::Fast, Passes::Tensors, Passes::Autograd];

/// Every architecture, through every form of the passes.
fn on_every_path() -> impl Iterator<Item = (Golden, Passes)> {
    ARCHITECTURES.into_iter().flat_map(|name| PASSES.map(|passes| (Golden::read(name), passes)))
}

/// Three sequences grow in a shared cache: prompts of uneven length together, then a chunk, then token by token while the
/// shorter ones drop out. Each returned row is the row that the whole forward pass has there.
#[test]
fn a_cached_forward_is_the_whole_forward() {
    for (golden, passes) in on_every_path() {
        let mut decoder = golden.tuned();
        decoder.set_passes(passes);
        let mut cache = decoder.new_cache(3);
        let slots = [2, 0, 1];
        let mut done = [0_usize; 3];
        let lengths = [0, 1, 2].map(|i| golden.batch.rows(i).len());
        // How many tokens each sequence appends in each call.
        let mut calls = vec![[7, 2, 4], [1, 0, 9], [2, 1, 3]];
        calls.extend([[1, 1, 1]; 13]);
        for appended in calls {
            let mut ids = vec![];
            let mut cu_seqlens = vec![0];
            let mut present = vec![];
            for i in 0..3 {
                let count = appended[i].min(lengths[i] - done[i]);
                if count > 0 {
                    let start = golden.batch.rows(i).start + done[i];
                    ids.extend(&golden.batch.ids[start..start + count]);
                    cu_seqlens.push(ids.len() as u32);
                    done[i] += count;
                    present.push(i);
                }
            }
            if present.is_empty() {
                continue;
            }
            let chosen: Vec<_> = present.iter().map(|&i| slots[i]).collect();
            let input = CachedInput { ids: &ids, cu_seqlens: &cu_seqlens, slots: &chosen };
            let logits = decoder.forward_cached(&input, &mut cache).unwrap();
            assert_eq!(logits.dims(), [present.len(), 67]);
            for (row, &i) in present.iter().enumerate() {
                let at = golden.batch.rows(i).start + done[i] - 1;
                let expected = golden.tensors["logits.adapter"].narrow(0, at, 1).unwrap();
                let what = format!("{}: sequence {i} after {} tokens", golden.name, done[i]);
                assert_within(&what, &logits.narrow(0, row, 1).unwrap(), &expected, 1e-4);
                assert_eq!(cache.len(slots[i]), done[i], "{what}");
            }
        }
        assert_eq!(done, lengths);
    }
}

/// Continuations of uneven length, an empty one among them, of prefixes of one token and of several.
#[test]
fn continuations_of_one_prefix_have_the_losses_that_they_have_alone() {
    for (golden, passes) in on_every_path() {
        let mut decoder = golden.tuned();
        decoder.set_passes(passes);
        let ids = &golden.batch.ids[golden.batch.rows(0)];
        for prefix in [1, 5] {
            let (prefix, rest) = ids.split_at(prefix);
            let other = [9, 33, 7];
            let continuations = [rest, &other[..], &[][..], &rest[..2], &other[..1]];
            let losses = decoder.continuation_losses(prefix, &continuations).unwrap();
            for (continuation, loss) in continuations.iter().zip(&losses) {
                let whole = [prefix, continuation].concat();
                let n = whole.len() as u32;
                let positions: Vec<u32> = (0..n).collect();
                let alone = Packed {
                    ids: &whole,
                    positions: &positions,
                    cu_seqlens: &[0, n],
                    example: &[0],
                };
                let logits = decoder.logits(&alone, None).unwrap();
                let expected: f64 = (prefix.len()..whole.len())
                    .map(|at| {
                        let row = values(&logits.narrow(0, at - 1, 1).unwrap());
                        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
                        sum.ln() - f64::from(row[whole[at] as usize])
                    })
                    .sum();
                assert_eq!(loss.targets, continuation.len());
                let gap = (loss.nll - expected).abs();
                assert!(gap <= 1e-4 * expected.max(1.0), "{}: {gap}", golden.name);
            }
        }
        assert!(decoder.continuation_losses(&[], &[&[3][..]]).is_err());
    }
}

#[test]
fn greedy_tokens_from_the_cache() {
    for (golden, passes) in on_every_path() {
        let mut decoder = golden.tuned();
        decoder.set_passes(passes);
        let expected = golden.integers("greedy.tokens");
        assert_eq!(expected.len(), 50);
        let mut cache = decoder.new_cache(1);
        // The second round finds the slot cleared, not fresh.
        for _ in 0..2 {
            let mut next = golden.integers("greedy.prompt");
            let mut tokens = vec![];
            while tokens.len() < expected.len() {
                let input =
                    CachedInput { ids: &next, cu_seqlens: &[0, next.len() as u32], slots: &[0] };
                tokens.push(argmax(&decoder.forward_cached(&input, &mut cache).unwrap()));
                next = vec![tokens[tokens.len() - 1]];
            }
            assert_eq!(tokens, expected, "{}", golden.name);
            cache.clear_slot(0);
        }
    }
}

/// Two sequences, a token at a time, far beyond what a cache takes at first: together they are what each is alone, and
/// both are the whole forward pass.
#[test]
fn a_cache_grows_and_is_cleared() {
    for (golden, passes) in on_every_path().take(12) {
        let mut decoder = golden.tuned();
        decoder.set_passes(passes);
        let ids: Vec<Vec<u32>> =
            [150, 145].map(|n| (0..n).map(|i| (i * i + 7 * n) % 60 + 3).collect()).into();
        let run = |chosen: &[usize]| {
            let mut cache = decoder.new_cache(2);
            let mut rows = vec![];
            for done in (0..145).step_by(5) {
                // Five tokens at a time, or one by one.
                let step = if done == 40 { 5 } else { 1 };
                for from in (done..done + 5).step_by(step) {
                    let new: Vec<u32> =
                        chosen.iter().flat_map(|&i| &ids[i][from..from + step]).copied().collect();
                    let cu_seqlens: Vec<u32> =
                        (0..=chosen.len()).map(|i| (i * step) as u32).collect();
                    let input = CachedInput { ids: &new, cu_seqlens: &cu_seqlens, slots: chosen };
                    rows.push(decoder.forward_cached(&input, &mut cache).unwrap());
                }
            }
            assert!(chosen.iter().all(|&slot| cache.len(slot) == 145));
            cache.clear_slot(chosen[0]);
            assert_eq!((cache.len(chosen[0]), cache.is_empty()), (0, chosen.len() == 1));
            rows
        };
        let (together, alone) = (run(&[1, 0]), run(&[0]));
        let whole = Batch::pack([(0, &ids[0][..145], 1)]);
        let whole = decoder.logits(&whole.packed(), None).unwrap();
        let mut at = 0;
        for (both, one) in together.iter().zip(&alone) {
            let what = format!("{} {passes:?}: {at}", golden.name);
            assert_within(&what, &both.narrow(0, 1, 1).unwrap(), one, 1e-5);
            at += if at == 40 { 5 } else { 1 };
            assert_within(&what, one, &whole.narrow(0, at - 1, 1).unwrap(), 1e-4);
        }
        let twice = CachedInput { ids: &[3, 4], cu_seqlens: &[0, 1, 2], slots: &[1, 1] };
        let refused = decoder.forward_cached(&twice, &mut decoder.new_cache(2)).unwrap_err();
        assert!(refused.to_string().contains("slots [1, 1]"), "{refused}");
    }
}

#[test]
fn configs_in_the_older_keys_mean_the_same() {
    for name in ["llama32", "mistral"] {
        let golden = Golden::read(name);
        let dir = tempfile::tempdir().unwrap();
        fs::copy(folder(name).join("model.safetensors"), dir.path().join("model.safetensors"))
            .unwrap();
        let old = fs::read_to_string(folder(name).join("config.old.json")).unwrap();
        fs::write(dir.path().join("config.json"), &old).unwrap();
        let logits = open(dir.path()).logits(&golden.batch.packed(), None).unwrap();
        golden.assert_logits("older config", &logits, "logits.base");

        let mut config: serde_json::Value = serde_json::from_str(&old).unwrap();
        config.as_object_mut().unwrap().remove("rope_theta").unwrap();
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let error = ModelDir::open(dir.path()).expect_err("a config without a theta").to_string();
        assert!(error.contains("rope_theta"), "{error}");
    }
}

#[test]
fn weights_from_a_pickle_and_from_shards_are_the_same() {
    let golden = Golden::read("llama32");
    let expected = bits(&golden.base().logits(&golden.batch.packed(), None).unwrap());
    let source = folder("llama32");

    let pickle = tempfile::tempdir().unwrap();
    for file in ["config.json", "pytorch_model.bin"] {
        fs::copy(source.join(file), pickle.path().join(file)).unwrap();
    }
    let logits = open(pickle.path()).logits(&golden.batch.packed(), None).unwrap();
    assert_eq!(bits(&logits), expected, "pytorch_model.bin");

    let sharded = tempfile::tempdir().unwrap();
    fs::copy(source.join("config.json"), sharded.path().join("config.json")).unwrap();
    let weights = safetensors::load(source.join("model.safetensors"), &Device::Cpu).unwrap();
    let (first, second): (HashMap<_, _>, HashMap<_, _>) = weights
        .into_iter()
        .partition(|(name, _)| name.contains("layers.0") || name.contains("embed"));
    let mut weight_map = serde_json::Map::new();
    for (shard, tensors) in [("model-00001-of-00002", first), ("model-00002-of-00002", second)] {
        let file = format!("{shard}.safetensors");
        weight_map.extend(tensors.keys().map(|name| (name.clone(), file.clone().into())));
        safetensors::save(&tensors, sharded.path().join(file)).unwrap();
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
    fs::write(sharded.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let logits = open(sharded.path()).logits(&golden.batch.packed(), None).unwrap();
    assert_eq!(bits(&logits), expected, "shards");
}

#[test]
fn an_adapter_from_a_pickle_is_the_same() {
    let [new, old] = ["adapter", "adapter_bin"]
        .map(|d| load_adapter(&folder("llama2").join(d), &Device::Cpu).unwrap());
    assert_eq!(new.tensors.len(), 2 * 14);
    assert!(new.tensors.keys().eq(old.tensors.keys()));
    for (name, tensor) in &new.tensors {
        assert_eq!(tensor.dims(), old.tensors[name].dims(), "{name}");
        assert_eq!(bits(tensor), bits(&old.tensors[name]), "{name}");
    }
}
