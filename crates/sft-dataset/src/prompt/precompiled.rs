//! The tables of SentencePiece's normaliser in a tokenizer.json, before the tokenizer library sees them.
//!
//! They begin with a length that the library believes: it would reserve memory for as much as the file asks for, up to
//! 8 GB, before it looks whether there is so much.

use serde::Deserialize;
use serde_json::Value;

const KEY: &str = "precompiled_charsmap";

/// The one part of the file in which such tables can be.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
}

/// Refuses tables that are shorter than they say.
pub(super) fn check(tokenizer_json: &[u8]) -> tokenizers::Result<()> {
    // Nearly every file has no such tables, and a large file takes a while to read. A name may be written with escapes.
    if let Ok(text) = std::str::from_utf8(tokenizer_json)
        && !text.contains(KEY)
        && !text.contains("\\u00")
    {
        return Ok(());
    }
    let parts: Parts = serde_json::from_slice(tokenizer_json)?;
    parts.normalizer.as_ref().map_or(Ok(()), check_value)
}

fn check_value(value: &Value) -> tokenizers::Result<()> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match value {
            Value::String(text) if name == KEY => check_tables(text),
            value => check_value(value),
        }),
        Value::Array(values) => values.iter().try_for_each(check_value),
        _ => Ok(()),
    }
}

/// `text` is base64 of: a length in bytes (u32, little endian), so many bytes of a table, texts.
fn check_tables(text: &str) -> tokenizers::Result<()> {
    let Some(length) = first_number(text) else {
        return Ok(()); // no base64: the library says so
    };
    let there = text.len() / 4 * 3;
    if length as usize > there.saturating_sub(4) {
        return Err(format!(
            "its {KEY} says that a table of {length} bytes follows, but there are {there} bytes in all: the file is damaged"
        )
        .into());
    }
    Ok(())
}

/// The first four bytes of base64, as a number.
fn first_number(text: &str) -> Option<u32> {
    let sextets = text.bytes().take(6).map(|byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let sextets = sextets.collect::<Option<Vec<_>>>().filter(|sextets| sextets.len() == 6)?;
    let bits = sextets.iter().fold(0u64, |bits, &sextet| bits << 6 | u64::from(sextet));
    Some(((bits >> 4) as u32).swap_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_number_is_little_endian() {
        assert_eq!(first_number("/P///wAA"), Some(0xffff_fffc));
        assert_eq!(first_number("BAAAAAAAAAA="), Some(4));
        assert_eq!(first_number("BAAA"), None);
        assert_eq!(first_number("BA=AAAAA"), None);
    }

    #[test]
    fn tables_must_be_as_long_as_they_say() {
        let whole = json!({"type": "Precompiled", KEY: "BAAAAAAAAAA="});
        let bomb = json!({"type": "Precompiled", KEY: "/P///wAA"});
        let within = |value: &Value| json!({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, value]}});
        check(within(&whole).to_string().as_bytes()).unwrap();
        let refused = check(within(&bomb).to_string().as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("4294967292 bytes"), "{refused}");
        let escaped = within(&bomb).to_string().replace("_charsmap", "\\u005fcharsmap");
        assert!(check(escaped.as_bytes()).is_err());
        check(json!({"normalizer": null, "x": [KEY]}).to_string().as_bytes()).unwrap();
    }

    #[test]
    fn a_second_normaliser_hides_nothing() {
        let twice = r#"{"normalizer": {"precompiled_charsmap": "/P///wAA"}, "normalizer": null}"#;
        assert!(check(twice.as_bytes()).unwrap_err().to_string().contains("duplicate"));
    }
}
