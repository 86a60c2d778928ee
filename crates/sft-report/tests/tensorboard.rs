//! Event files, read back by a decoder that shares nothing with the encoder.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use sft_report::tensorboard::{EventFile, is_event_file};

/// What is in an event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    wall_time: f64,
    step: i64,
    version: Option<String>,
    restart: bool,
    scalars: Vec<(String, f32)>,
}

/// CRC-32C bit by bit.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(data: &[u8]) -> u32 {
    let crc = crc32c(data);
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(bytes);
    *rest = left;
    taken
}

fn number<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    take(rest, N).try_into().unwrap()
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number that does not end");
}

/// A field's number, and its content as a number or as bytes.
fn field<'a>(rest: &mut &'a [u8]) -> (u64, u64, &'a [u8]) {
    let key = varint(rest);
    match key & 7 {
        0 => (key >> 3, varint(rest), &[]),
        1 => (key >> 3, u64::from_le_bytes(number(rest)), &[]),
        2 => {
            let length = varint(rest) as usize;
            (key >> 3, 0, take(rest, length))
        }
        5 => (key >> 3, u64::from(u32::from_le_bytes(number(rest))), &[]),
        other => panic!("wire type {other}"),
    }
}

fn event(mut message: &[u8]) -> Event {
    let mut event = Event::default();
    while !message.is_empty() {
        match field(&mut message) {
            (1, bits, _) => event.wall_time = f64::from_bits(bits),
            (2, step, _) => event.step = step.cast_signed(),
            (3, _, text) => event.version = Some(String::from_utf8(text.to_vec()).unwrap()),
            (5, _, mut summary) => {
                while !summary.is_empty() {
                    let (1, _, mut value) = field(&mut summary) else { panic!("no value") };
                    let (1, _, tag) = field(&mut value) else { panic!("no tag") };
                    let (2, bits, _) = field(&mut value) else { panic!("no simple_value") };
                    assert!(value.is_empty());
                    let tag = String::from_utf8(tag.to_vec()).unwrap();
                    event.scalars.push((tag, f32::from_bits(bits as u32)));
                }
            }
            (7, _, mut log) => event.restart = matches!(field(&mut log), (1, 1, _)),
            (other, ..) => panic!("field {other}"),
        }
    }
    event
}

fn events(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = take(&mut rest, 8);
        assert_eq!(u32::from_le_bytes(number(&mut rest)), masked(length), "of the length");
        let message = take(&mut rest, u64::from_le_bytes(length.try_into().unwrap()) as usize);
        assert_eq!(u32::from_le_bytes(number(&mut rest)), masked(message), "of the data");
        events.push(event(message));
    }
    events
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_is_written_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tensorboard");
    let mut file = EventFile::create(&dir, 0).unwrap();
    file.scalars(1, &[("loss/train", 2.5), ("learning_rate", 1e-4)]).unwrap();
    file.scalars(300_000, &[("loss/eval", f64::NAN)]).unwrap();
    assert!(is_event_file(file.path()) && !is_event_file(&dir));
    let events = events(file.path());
    let [version, first, last] = &events[..] else { panic!("{events:?}") };
    assert_eq!(version.version.as_deref(), Some("brain.Event:2"));
    assert!(!version.restart && version.scalars.is_empty());
    let expected = [("loss/train".to_owned(), 2.5), ("learning_rate".to_owned(), 1e-4_f32)];
    assert_eq!((first.step, &first.scalars[..]), (1, &expected[..]));
    assert_eq!((last.step, last.scalars.len()), (300_000, 1));
    assert!(last.scalars[0].1.is_nan());
    assert!(events.windows(2).all(|pair| pair[0].wall_time <= pair[1].wall_time));
    assert!(version.wall_time > 1.6e9, "seconds since 1970");
}

#[test]
fn a_resumed_run_goes_on_in_a_new_file_that_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = EventFile::create(dir.path(), 0).unwrap();
    first.scalars(7, &[("loss/train", 1.0)]).unwrap();
    let before = std::fs::read(first.path()).unwrap();
    for steps_done in [5, 6] {
        EventFile::create(dir.path(), steps_done).unwrap();
    }
    let files = files(dir.path());
    assert_eq!(files.len(), 3);
    assert_eq!(files[0], first.path());
    assert_eq!(std::fs::read(&files[0]).unwrap(), before);
    for (file, steps_done) in files[1..].iter().zip([5, 6]) {
        let events = events(file);
        assert_eq!(events.len(), 2);
        assert!(events[1].restart);
        assert_eq!(events[1].step, steps_done + 1);
    }
}
