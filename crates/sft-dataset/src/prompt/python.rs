//! What templates take from Python that minijinja has not: methods of strings, and JSON.

use minijinja::value::{Kwargs, Tuple, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::fmt::Write;
use std::io;

/// A method that minijinja does not know: those of this file, then those of `pycompat`.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = value.as_str().and_then(|text| string_method(text, name, args));
    own.unwrap_or_else(|| {
        minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
    })
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "removeprefix" => {
            from_args(args).map(|(cut,): (&str,)| text.strip_prefix(cut).unwrap_or(text).into())
        }
        "removesuffix" => {
            from_args(args).map(|(cut,): (&str,)| text.strip_suffix(cut).unwrap_or(text).into())
        }
        "index" => from_args(args).and_then(|(part,): (&str,)| index(text, text.find(part))),
        "rindex" => from_args(args).and_then(|(part,): (&str,)| index(text, text.rfind(part))),
        "partition" => separator(args).map(|by| match text.split_once(by) {
            Some((before, after)) => three(before, by, after),
            None => three(text, "", ""),
        }),
        "rpartition" => separator(args).map(|by| match text.rsplit_once(by) {
            Some((before, after)) => three(before, by, after),
            None => three("", "", text),
        }),
        "rsplit" => rsplit(text, args),
        _ => return None,
    })
}

/// A place in characters.
fn index(text: &str, byte: Option<usize>) -> Result<Value, Error> {
    let byte = byte.ok_or_else(|| invalid("substring not found"))?;
    Ok(text[..byte].chars().count().into())
}

fn separator(args: &[Value]) -> Result<&str, Error> {
    match from_args(args)? {
        ("",) => Err(invalid("empty separator")),
        (by,) => Ok(by),
    }
}

fn three(before: &str, by: &str, after: &str) -> Value {
    Value::from(Tuple::from([before, by, after].map(Value::from)))
}

fn rsplit(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (by, limit): (Option<&str>, Option<i64>) = from_args(args)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    match by {
        Some("") => return Err(invalid("empty separator")),
        Some(by) => parts.extend(text.rsplitn(limit.saturating_add(1), by)),
        None => {
            let mut rest = text.trim_end();
            while parts.len() < limit
                && let Some((before, part)) = rest.rsplit_once(char::is_whitespace)
            {
                parts.push(part);
                rest = before.trim_end();
            }
            parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
        }
    }
    Ok(parts.into_iter().rev().map(Value::from).collect())
}

fn invalid(problem: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

/// The filter `tojson` of transformers: `json.dumps`, with `ensure_ascii` (false) and `indent`.
pub(super) fn tojson(value: Value, options: Kwargs) -> Result<String, Error> {
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let text = match indent {
        None => dumps(&value, Spaced)?,
        Some(width) => dumps(&value, PrettyFormatter::with_indent(" ".repeat(width).as_bytes()))?,
    };
    Ok(if ensure_ascii == Some(true) { escaped(&text) } else { text })
}

fn dumps(value: &Value, formatter: impl Formatter) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What is not ASCII stands only inside strings.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for char in json.chars() {
        if char.is_ascii() && char != '\u{7F}' {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}"); // a String takes everything
        }
    }
    out
}

/// JSON with a space behind each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::prompt::jinja::render;
    use serde_json::json;

    #[test]
    fn strings_have_the_methods_of_python() {
        for (expression, expected) in [
            ("'a.b.c'.rsplit('.', 1)|join('|')", "a.b|c"),
            ("'a.b.c'.rsplit('.')|join('|')", "a|b|c"),
            ("' a  b c '.rsplit(none, 1)|join('|')", " a  b|c"),
            ("' a  b c '.rsplit()|join('|')", "a|b|c"),
            ("''.rsplit()|length", "0"),
            ("'a.b.c'.partition('.')|join('|')", "a|.|b.c"),
            ("'a.b.c'.rpartition('.')|join('|')", "a.b|.|c"),
            ("'abc'.partition('.')|join('|')", "abc||"),
            ("'abc'.rpartition('.')|join('|')", "||abc"),
            ("'aé.b.'.index('.')", "2"),
            ("'aé.b.'.rindex('.')", "4"),
            ("'abc'.removeprefix('a') ~ 'abc'.removeprefix('b')", "bcabc"),
            ("'abc'.removesuffix('c') ~ 'abc'.removesuffix('b')", "ababc"),
            ("'a b'.split(' ')[1].upper()", "B"),
        ] {
            let template = format!("{{{{ {expression} }}}}");
            assert_eq!(render(&template, &json!({})).unwrap(), expected, "{expression}");
        }
        for (expression, problem) in [
            ("'abc'.index('x')", "substring not found"),
            ("'abc'.partition('')", "empty separator"),
            ("'abc'.rsplit('')", "empty separator"),
            ("'abc'.casefold()", "casefold"),
            ("'abc'|tojson(sort_keys=true)", "sort_keys"),
        ] {
            let template = format!("{{{{ {expression} }}}}");
            let message = render(&template, &json!({})).unwrap_err().to_string();
            assert!(message.contains(problem), "{expression}: {message}");
        }
    }

    #[test]
    fn json_is_that_of_python() {
        let value = "{'b': [1, 'é😀<'], 'a': {}, 'c': []}";
        for (options, expected) in [
            ("", r#"{"b": [1, "é😀<"], "a": {}, "c": []}"#),
            ("(ensure_ascii=true)", r#"{"b": [1, "\u00e9\ud83d\ude00<"], "a": {}, "c": []}"#),
            (
                "(indent=2)",
                "{\n  \"b\": [\n    1,\n    \"é😀<\"\n  ],\n  \"a\": {},\n  \"c\": []\n}",
            ),
        ] {
            let template = format!("{{{{ {value} | tojson{options} }}}}");
            assert_eq!(render(&template, &json!({})).unwrap(), expected, "{options}");
        }
    }
}
