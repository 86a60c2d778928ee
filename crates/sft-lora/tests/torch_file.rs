//! Files of `torch.save`: the ones PyTorch writes are read, and no file makes the reader panic, hang
//! or execute something.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use common::{numbers, values};
use proptest::prelude::*;
use sft_lora::{LoraError, torch_file};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const GOLDEN: &[u8] = include_bytes!("golden/peft_bin/adapter_model.bin");

fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, LoraError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.bin");
    std::fs::write(&path, bytes).unwrap();
    torch_file::read(&path, &Device::Cpu)
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read_program(program: &[u8]) -> Result<BTreeMap<String, Tensor>, LoraError> {
    let storage: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    read(&archive(&[("data.pkl", program), ("data/0", &storage)]))
}

/// `{"w": _rebuild_tensor_v2(storage of `len` elements, offset, shape, stride, False, OrderedDict())}`
fn tensor_program(class: &str, len: u8, offset: u8, shape: &[u8], stride: &[u8]) -> Vec<u8> {
    let ints = |values: &[u8]| -> Vec<u8> {
        let items = values.iter().flat_map(|&value| [b'K', value]);
        b"(".iter().copied().chain(items).chain(*b"t").collect()
    };
    [
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n",
        class.as_bytes(),
        b"\nX\x01\0\0\x000X\x06\0\0\0cuda:0K",
        &[len],
        b"tQK",
        &[offset],
        &ints(shape),
        &ints(stride),
        b"\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat()
}

#[test]
fn what_is_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.bin");
    let tensors: BTreeMap<String, Tensor> =
        [("b", vec![300, 5]), ("a", vec![7]), ("é", vec![2, 3, 4]), ("s", vec![])]
            .into_iter()
            .enumerate()
            .map(|(i, (name, shape))| (name.to_owned(), numbers(i as u64, &shape, DType::F32)))
            .collect();
    torch_file::write(&path, &tensors).unwrap();
    let found = torch_file::read(&path, &Device::Cpu).unwrap();
    assert_eq!(found.len(), 4);
    for (name, tensor) in &tensors {
        assert_eq!(found[name].dims(), tensor.dims());
        assert_eq!(values(&found[name]), values(tensor), "{name}");
    }
    // as PyTorch lays it out, for readers that map the file
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names[0], "archive/data.pkl");
    for name in &names {
        let entry = zip.by_name(name).unwrap();
        assert_eq!(entry.compression(), CompressionMethod::Stored);
        assert_eq!(entry.data_start().unwrap() % 64, 0, "{name}");
    }
}

#[test]
fn tensors_are_views_of_storages() {
    let read = |offset, shape: &[u8], stride: &[u8]| {
        read_program(&tensor_program("FloatStorage", 6, offset, shape, stride))
            .map(|tensors| (tensors["w"].dims().to_vec(), values(&tensors["w"])))
    };
    assert_eq!(read(0, &[2, 3], &[3, 1]).unwrap(), (vec![2, 3], vec![0., 1., 2., 3., 4., 5.]));
    assert_eq!(read(2, &[2, 2], &[2, 1]).unwrap(), (vec![2, 2], vec![2., 3., 4., 5.]));
    assert_eq!(read(0, &[3, 2], &[1, 3]).unwrap(), (vec![3, 2], vec![0., 3., 1., 4., 2., 5.]));
    assert_eq!(read(1, &[2], &[3]).unwrap(), (vec![2], vec![1., 4.]));
    assert_eq!(read(5, &[], &[]).unwrap(), (vec![], vec![5.]));
    for (offset, shape, stride) in [
        (1, [2, 3], [3, 1]),
        (0, [3, 3], [3, 1]),
        (6, [1, 1], [1, 1]),
        (0, [255, 255], [0, 0]), // expanded: more elements than are stored
        (0, [2, 2], [5, 1]),
    ] {
        let error = read(offset, &shape, &stride).unwrap_err().to_string();
        assert!(error.contains("tensor w") && error.contains("storage"), "{error}");
    }
    assert!(read(0, &[2], &[3, 1]).is_err());
}

#[test]
fn narrow_types_keep_theirs() {
    let halves = archive(&[
        ("data.pkl", &tensor_program("BFloat16Storage", 2, 0, &[2], &[1])),
        ("data/0", &[0x80, 0x3f, 0, 0xc0]),
    ]);
    let tensors = read(&halves).unwrap();
    assert_eq!(tensors["w"].dtype(), DType::BF16);
    assert_eq!(values(&tensors["w"]), [1.0, -2.0]);
}

#[test]
fn nothing_else_is_called() {
    // {"w": os.system("echo")}
    let program = b"\x80\x02}X\x01\0\0\0wcposix\nsystem\nX\x04\0\0\0echo\x85Rs.";
    let error = read_program(program).unwrap_err().to_string();
    assert!(
        error.contains("posix.system") && error.contains("nothing of it was executed"),
        "{error}"
    );
    for (program, part) in [
        (b"\x80\x02}X\x01\0\0\0wK\x01s.".as_slice(), "w is not a tensor"),
        (b"\x80\x02}K\x01K\x01s.", "not a text"),
        (b"\x80\x02K\x01.", "no dictionary"),
        (b"\x80\x02.", "no dictionary"),
        (b"\x80\x04\x95.", "op-code 0x95"),
        (b"\x80\x02}X\xff\xff\xff\xffw.", "cut short"),
        (b"\x80\x02}X\x01\0\0\0\xffN.", "utf-8"),
        (b"\x80\x02}(K\x01u.", "without a value"),
        (b"\x80\x02u.", "no mark"),
        (b"\x80\x02h\x07.", "memo"),
        (b"\x80\x02}", "cut short"),
        (b"", "cut short"),
    ] {
        let error = read_program(program).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("weights.bin"), "{part}: {error}");
    }
    let error = read_program(&tensor_program("ComplexFloatStorage", 6, 0, &[2], &[1])).unwrap_err();
    assert!(error.to_string().contains("torch.ComplexFloatStorage"), "{error}");
}

#[test]
fn programs_that_try_to_exhaust_memory_or_stack() {
    // tuples nested a million deep
    let deep = [b"\x80\x02N".as_slice(), &[0x85].repeat(1_000_000), b"."].concat();
    assert!(read_program(&deep).is_err());
    // each of 100,000 tuples holds the one before twice
    let doubling = [b"\x80\x02Nq\0".as_slice(), &b"h\0\x86q\0".repeat(100_000), b"."].concat();
    assert!(read_program(&doubling).is_err());
    // dictionaries within dictionaries
    let dicts =
        [b"\x80\x02".as_slice(), &b"}K\x01".repeat(100_000), b"N", &b"s".repeat(100_000), b"."]
            .concat();
    assert!(read_program(&dicts).is_err());
    // a shape whose product overflows
    let mut huge = b"(".to_vec();
    for _ in 0..9 {
        huge.extend_from_slice(b"J\xff\xff\xff\x7f");
    }
    huge.push(b't');
    let program = tensor_program("FloatStorage", 6, 0, &[9], &[9]);
    let at = program.windows(4).position(|window| window == b"(K\x09t").unwrap();
    let program = [&program[..at], &huge, &huge, &program[at + 8..]].concat();
    assert!(read_program(&program).unwrap_err().to_string().contains("out of range"));
}

#[test]
fn archives_without_a_state_dict() {
    for (bytes, part) in [
        (archive(&[("version", b"3\n")]), "no entry data.pkl"),
        (archive(&[("data.pkl", b"\x80\x02}."), ("byteorder", b"big")]), "big endian"),
        (archive(&[("data.pkl", &tensor_program("FloatStorage", 6, 0, &[2], &[1]))]), "data/0"),
        (
            archive(&[
                ("data.pkl", &tensor_program("FloatStorage", 7, 0, &[2], &[1])),
                ("data/0", &[0; 24]),
            ]),
            "24 bytes instead of 28",
        ),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "PyTorch 1.6"),
    ] {
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("weights.bin"), "{part}: {error}");
    }
    assert!(matches!(
        torch_file::read(Path::new("no/such/file.bin"), &Device::Cpu),
        Err(LoraError::Io { .. })
    ));
}

#[test]
fn every_truncation_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights.bin");
    for len in 0..GOLDEN.len() {
        std::fs::write(&path, &GOLDEN[..len]).unwrap();
        assert!(torch_file::read(&path, &Device::Cpu).is_err(), "{len} bytes");
    }
    assert_eq!(read(GOLDEN).unwrap().len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((0..GOLDEN.len(), 1u8..), 1..4)) {
        let mut bytes = GOLDEN.to_vec();
        for (at, flip) in flips {
            bytes[at] ^= flip;
        }
        let _ = read(&bytes);
    }

    /// Past the archive's checksums, which catch most flips: damage to the program itself.
    #[test]
    fn damaged_programs_never_panic(
        flips in prop::collection::vec((0usize..130, any::<u8>()), 1..4),
        cut in 0usize..140,
    ) {
        let mut program = tensor_program("FloatStorage", 6, 0, &[2, 3], &[3, 1]);
        for (at, byte) in flips {
            let len = program.len();
            program[at % len] = byte;
        }
        program.truncate(cut.max(1));
        let _ = read_program(&program);
    }

    #[test]
    fn arbitrary_programs_never_panic(program in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read_program(&program);
    }
}
