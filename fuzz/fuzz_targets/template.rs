#![no_main]

#[path = "../parsers.rs"]
mod parsers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, parser) = parsers::PARSERS.iter().find(|(name, _)| *name == "template").expect("a parser");
    parser(folder.path(), bytes);
});
