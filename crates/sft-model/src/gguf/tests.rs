//! What is read back is compared: each difference is found and named.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::matrix::Matrix;
use super::*;

fn matrices() -> Vec<Matrix> {
    let matrix = |name: &str, shape: [usize; 2], head_dim| {
        let values = (0..shape[0] * shape[1]).map(|i| i as f32 - 3.5).collect();
        Matrix { name: name.into(), shape, values, head_dim }
    };
    vec![
        matrix("blk.0.attn_q.weight.lora_a", [3, 5], None),
        matrix("blk.0.attn_q.weight.lora_b", [8, 3], Some(4)),
    ]
}

fn metadata(alpha: f32) -> [(&'static str, Value); 3] {
    [
        ("general.type", Value::String("adapter".into())),
        ("general.file_type", Value::U32(0)),
        ("adapter.lora.alpha", Value::F32(alpha)),
    ]
}

#[test]
fn rows_of_a_head_go_in_turns() {
    // Two heads of four: first and second half are 0 1 | 2 3 and 4 5 | 6 7.
    let values: Vec<f32> = (0..8).map(|row| row as f32).collect();
    let matrix = Matrix { name: String::new(), shape: [8, 1], values, head_dim: Some(4) };
    let permuted = matrix.permuted();
    assert_eq!(permuted, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert_eq!(matrix.restored(&permuted), matrix.values);
}

#[test]
fn what_was_written_is_read_back() {
    let bytes = file::encode(&metadata(8.0), &matrices()).unwrap();
    assert_eq!(&bytes[..8], b"GGUF\x03\0\0\0");
    file::compare(&bytes, &metadata(8.0), &matrices()).unwrap();
}

#[test]
fn every_difference_is_found() {
    let bytes = file::encode(&metadata(8.0), &matrices()).unwrap();
    let problem = |bytes: &[u8], metadata: &[(&str, Value)], matrices: &[Matrix]| {
        file::compare(bytes, metadata, matrices).unwrap_err()
    };
    assert!(problem(&bytes, &metadata(7.0), &matrices()).contains("adapter.lora.alpha"));
    assert!(problem(&bytes, &metadata(8.0)[..2], &matrices()).contains("keys"));
    assert!(problem(&bytes, &metadata(8.0), &matrices()[..1]).contains("tensors"));

    let mut shorter = matrices();
    shorter[0].shape = [5, 3];
    assert!(problem(&bytes, &metadata(8.0), &shorter).contains("lora_a is not [5, 3]"));
    let mut unpermuted = matrices();
    unpermuted[1].head_dim = None;
    assert!(problem(&bytes, &metadata(8.0), &unpermuted).contains("lora_b has other numbers"));

    let cut = &bytes[..bytes.len() - 64];
    assert!(problem(cut, &metadata(8.0), &matrices()).contains("cut short"));
    let mut second = bytes.clone();
    second[4] = 2;
    assert!(problem(&second, &metadata(8.0), &matrices()).contains("version"));
    // the data ends with 96 bytes of B
    let mut flipped = bytes;
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(problem(&flipped, &metadata(8.0), &matrices()).contains("lora_b has other numbers"));
}
