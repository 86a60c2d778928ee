//! A weight inside a mapped file beside the same weight in memory.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor, Var};
use common::{flat, random};
use sft_kernels::{
    FrozenWeight, LoraOperands, MappedFile, frozen_linear, linear_cross_entropy, lora_linear,
    matmul::{Start, matmul_nn, matmul_nt},
};

const OUT: usize = 37;
const IN: usize = 53;

/// The little-endian bytes of a tensor of f32 or bf16.
fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.flatten_all().unwrap();
    match tensor.dtype() {
        DType::BF16 => {
            flat.to_vec1::<half::bf16>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        _ => flat.to_vec1::<f32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

fn map(path: &Path) -> Arc<MappedFile> {
    Arc::new(MappedFile::open(path).unwrap())
}

/// A weight as a tensor, in memory, and in a file `skip` bytes from its begin.
fn weights(dtype: DType, dir: &Path, skip: usize) -> (Tensor, FrozenWeight, Option<FrozenWeight>) {
    let tensor = random(1, &[OUT, IN]).to_dtype(dtype).unwrap();
    let path = dir.join(format!("{}.{skip}", dtype.as_str()));
    fs::write(&path, [vec![7; skip], bytes(&tensor), vec![7; 5]].concat()).unwrap();
    let mapped = FrozenWeight::from_map(&map(&path), skip, dtype, [OUT, IN]);
    let dense = FrozenWeight::from_tensor(&tensor).unwrap();
    (tensor, dense, mapped)
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    flat(tensor).into_iter().map(f64::to_bits).collect()
}

/// Everything that is computed with a weight.
fn results(w: &FrozenWeight) -> Vec<Vec<u64>> {
    let var = |stream, shape: &[usize]| {
        Var::from_tensor(&random(stream, shape).to_dtype(DType::F32).unwrap()).unwrap()
    };
    let mut results = Vec::new();
    for t in [1, 11, 40] {
        let (x, a, b) = (var(2, &[t, IN]), var(3, &[4, IN]), var(4, &[OUT, 4]));
        let lora = LoraOperands { a: &a, b: &b, scale: 1.75, dropout: None };
        for y in [frozen_linear(&x, w, None).unwrap(), lora_linear(&x, w, None, &lora).unwrap()] {
            let dy = random(5, y.dims()).to_dtype(DType::F32).unwrap();
            let store = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
            results.push(bits(&y));
            results.extend([&x, &a, &b].iter().filter_map(|var| store.get(var)).map(bits));
        }
        let labels: Vec<u32> = (0..t as u32).map(|i| i % OUT as u32).collect();
        let loss = linear_cross_entropy(&x, w, &labels, true).unwrap();
        results.push(vec![loss.nll.to_bits()]);
        results.push(bits(&loss.dhidden.unwrap()));

        let x: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
        let (mut y, mut dx) = (vec![0.5f32; t * OUT], vec![0f32; t * IN]);
        let locked = w.lock();
        let matrix = locked.matrix().unwrap();
        matmul_nt(&x, t, &matrix, Start::Existing, &mut y).unwrap();
        matmul_nn(&y, t, &matrix, Start::Zero, &mut dx).unwrap();
        results.push(y.iter().chain(&dx).map(|x| u64::from(x.to_bits())).collect());
    }
    results
}

#[test]
fn every_result_is_that_of_the_dense_weight() {
    let dir = tempfile::tempdir().unwrap();
    for dtype in [DType::F32, DType::BF16] {
        let (tensor, dense, mapped) = weights(dtype, dir.path(), 8);
        let mapped = mapped.unwrap();
        assert!(mapped.is_mapped() && !dense.is_mapped());
        assert_eq!((mapped.out_features(), mapped.in_features()), (OUT, IN));
        assert_eq!(mapped.dtype(), dtype);
        assert!(mapped.device().is_cpu());
        assert_eq!(mapped.to_tensor().unwrap().dtype(), dtype);
        assert_eq!(bits(&mapped.to_tensor().unwrap()), bits(&tensor));
        let ids = Tensor::new(&[36u32, 0, 0, 7], &Device::Cpu).unwrap();
        let [rows, expected] = [&mapped, &dense].map(|w| w.gather_rows(&ids).unwrap());
        assert_eq!((rows.dims(), rows.dtype()), (&[4, IN][..], dtype));
        assert_eq!(bits(&rows), bits(&expected));
        assert!(mapped.gather_rows(&Tensor::new(&[37u32], &Device::Cpu).unwrap()).is_err());
        assert_eq!(results(&mapped), results(&dense), "{dtype:?}");
    }
}

#[test]
fn what_cannot_be_read_in_place_is_left_to_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    for (dtype, skip, fits) in [
        (DType::F32, 12, true),
        (DType::F32, 10, false),
        (DType::F32, 9, false),
        (DType::BF16, 10, true),
        (DType::BF16, 9, false),
    ] {
        assert_eq!(weights(dtype, dir.path(), skip).2.is_some(), fits, "{dtype:?} at {skip}");
    }
    let path = dir.path().join("short");
    fs::write(&path, vec![0; 64]).unwrap();
    let file = map(&path);
    let of = |start, dtype, shape| FrozenWeight::from_map(&file, start, dtype, shape).is_some();
    assert!(of(0, DType::F32, [4, 4]) && of(32, DType::BF16, [4, 4]));
    assert!(
        !of(4, DType::F32, [4, 4]) && !of(0, DType::F32, [4, 5]) && !of(65, DType::F32, [0, 1])
    );
    assert!(!of(0, DType::F32, [usize::MAX, 2]) && !of(usize::MAX - 3, DType::F32, [1, 1]));
    assert!(!of(0, DType::F16, [4, 4]) && !of(0, DType::F64, [2, 2]));
}

#[test]
fn a_file_that_is_replaced_stays_and_one_that_is_written_to_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (tensor, _, mapped) = weights(DType::F32, dir.path(), 8);
    let (path, other) = (dir.path().join("f32.8"), dir.path().join("other"));
    let file = map(&path);
    assert!(file.is_unchanged().unwrap());
    fs::write(&other, b"shorter").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(file.is_unchanged().unwrap());
    assert_eq!(bits(&mapped.unwrap().to_tensor().unwrap()), bits(&tensor));

    let file = map(&path);
    fs::write(&path, b"longer than it was").unwrap();
    assert!(!file.is_unchanged().unwrap());
}
