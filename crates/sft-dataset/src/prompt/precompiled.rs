//! SentencePiece's compiled normaliser in a tokenizer.json, before the tokenizer library sees it.
//!
//! The library believes what its tables say of themselves: it would reserve up to 8 GB that the file does not have, and stop the
//! program at tables that are cut, no base64, or lead out of themselves. No tokenizer of the supported models has them.

use serde::Deserialize;
use serde_json::Value;

const TYPE: &str = "Precompiled";
const KEY: &str = "precompiled_charsmap";

/// The one part of the file in which such tables can be.
#[derive(Deserialize)]
struct Parts {
    normalizer: Option<Value>,
}

/// Refuses a file with such a normaliser.
pub(super) fn check(tokenizer_json: &[u8]) -> tokenizers::Result<()> {
    // Nearly every file has none, and a large file takes a while to read. A name may be written with escapes.
    if let Ok(text) = std::str::from_utf8(tokenizer_json)
        && !text.contains(KEY)
        && !text.contains(TYPE)
        && !text.contains("\\u00")
    {
        return Ok(());
    }
    let parts: Parts = serde_json::from_slice(tokenizer_json)?;
    parts.normalizer.as_ref().map_or(Ok(()), check_value)
}

fn check_value(value: &Value) -> tokenizers::Result<()> {
    match value {
        Value::Object(fields) => {
            if fields.contains_key(KEY) || fields.get("type").is_some_and(|name| name == TYPE) {
                return Err(format!(
                    "its normalizer is of type {TYPE}, which is not supported; save the model's tokenizer in another form"
                )
                .into());
            }
            fields.values().try_for_each(check_value)
        }
        Value::Array(values) => values.iter().try_for_each(check_value),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_refused_wherever_it_stands() {
        for part in [
            json!({"type": TYPE, KEY: "/P///wAA"}),
            json!({"type": TYPE, KEY: "no base64!"}),
            json!({"type": TYPE}),
            json!({KEY: "AAAAAA=="}),
        ] {
            let within =
                json!({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, part]}});
            let refused = check(within.to_string().as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("not supported"), "{refused}");
            let escaped = within.to_string().replace("_charsmap", "\\u005fcharsmap");
            assert!(check(escaped.replace("Pre", "\\u0050re").as_bytes()).is_err());
        }
        check(json!({"normalizer": null, "x": [KEY, TYPE]}).to_string().as_bytes()).unwrap();
    }

    #[test]
    fn a_second_normaliser_hides_nothing() {
        let twice = r#"{"normalizer": {"precompiled_charsmap": "/P///wAA"}, "normalizer": null}"#;
        assert!(check(twice.as_bytes()).unwrap_err().to_string().contains("duplicate"));
    }
}
