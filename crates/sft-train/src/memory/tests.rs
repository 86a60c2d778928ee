#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("16GB", 16_000_000_000),
        ("900 mb", 900_000_000),
        (" 7.5GiB ", 8_053_063_680),
        ("1TB", 1_000_000_000_000),
        ("64KiB", 65_536),
    ] {
        assert_eq!(text.parse(), Ok(MemorySize(bytes)), "{text}");
    }
    for text in ["", "16", "GB", "-1GB", "0MB", "16 GBs", "nanGB", "infGB", "much"] {
        let error = text.parse::<MemorySize>().unwrap_err();
        assert!(error.contains("16GB"), "{error}");
    }
}

#[test]
fn lines_of_the_system_are_kilobytes() {
    let text = "Name:\tx\nVmRSS:\t  3072 kB\n";
    assert_eq!(kilobytes(text, "VmRSS"), Some(3 << 20));
    assert_eq!(kilobytes(text, "VmHWM"), None);
}
