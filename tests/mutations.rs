//! A short, repeatable form of the fuzz targets: small changes of a corpus, which no reader may panic at.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../fuzz/parsers.rs"]
mod parsers;

use std::{fs, path::Path};

use parsers::PARSERS;
use sft::kernels::random::philox4x32;

/// The files of a reader's corpus, in order.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut paths: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Bytes that mean something to some reader.
const WORDS: [&[u8]; 16] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\0",
    b"\xff",
    b"-1",
    b"1e308",
    b"99999999999999999999",
    b"null",
    b"\\ud800",
    b"../",
    b"{clinical_note}",
];

/// A few edits of `seed`: bytes changed, taken out, doubled, words put in, the end cut.
fn mutated(seed: &[u8], stream: u32, number: u32) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let [edits, ..] = philox4x32([number, 0, stream, 0], [7, 7]);
    for edit in 1..=1 + edits % 4 {
        let [what, place, value, length] = philox4x32([number, edit, stream, 0], [7, 7]);
        let at = place as usize % (bytes.len() + 1);
        let end = (at + 1 + length as usize % 8).min(bytes.len());
        match what % 6 {
            0 if at < bytes.len() => bytes[at] = value as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << (value % 8),
            2 => drop(bytes.drain(at..end.max(at))),
            3 => {
                let piece = bytes[at..end.max(at)].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => drop(bytes.splice(at..at, WORDS[value as usize % WORDS.len()].iter().copied())),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// Every reader on so many changes of its corpus.
fn feed(executions: u32) {
    let folder = tempfile::tempdir().unwrap();
    for (stream, (name, parser)) in PARSERS.iter().enumerate() {
        let folder = folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        let seeds = corpus(name);
        for seed in &seeds {
            parser(&folder, seed);
        }
        for number in 0..executions {
            let seed = &seeds[number as usize % seeds.len()];
            parser(&folder, &mutated(seed, stream as u32, number));
        }
        println!("{name}: {executions} inputs");
    }
}

#[test]
fn no_reader_panics() {
    feed(400);
}

/// The figure in the README: `cargo survive`.
#[test]
#[ignore = "takes some minutes"]
fn a_million_inputs() {
    feed(100_000);
}
