//! Chat templates as transformers renders them: Jinja with a few names of its own.

use super::python;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;

/// Instructions a rendering may take. Real templates need some hundreds; a template comes from
/// wherever the model came from, and must not keep a run from starting.
const FUEL: u64 = 1_000_000;

/// Renders a chat template.
///
/// As in transformers: every line ends in `\n`, block tags take their line with them, `break` and
/// `continue` work, strings and dictionaries have Python's methods, dictionaries keep their order,
/// `tojson` is Python's, and `raise_exception` refuses.
/// `{% generation %}` marks text and changes none.
pub(super) fn render(template: &str, context: &impl Serialize) -> Result<String, Error> {
    let mut env = Environment::new();
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.set_unknown_method_callback(python::method);
    env.set_fuel(Some(FUEL));
    env.add_filter("tojson", python::tojson);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    env.add_function("strftime_now", |format: String| strftime(&format));
    let template = template.replace("\r\n", "\n").replace('\r', "\n");
    env.render_str(&without_generation_tags(&template), Value::from(Serde(context)))
}

/// `{% generation %}` becomes a condition that always holds, with the tag's white-space control.
fn without_generation_tags(template: &str) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, tag, after)) = next_tag(rest) {
        let name = tag.trim_matches(['-', '+']).trim();
        let tag = match name {
            "generation" => tag.replace(name, "if true"),
            "endgeneration" => tag.replace(name, "endif"),
            _ => tag.to_owned(),
        };
        out.extend([before, "{%", &tag, "%}"]);
        rest = after;
    }
    out + rest
}

/// The next `{% ... %}`: what stands before, inside and behind it.
fn next_tag(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{%")?;
    let (tag, after) = rest.split_once("%}")?;
    Some((before, tag, after))
}

/// Templates that write the date get this one: the day that Llama 3's templates take by default.
/// A prompt must be the same in training and generation, today and next year.
fn strftime(format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        let directive = chars.next();
        let (unpadded, directive) =
            if directive == Some('-') { (true, chars.next()) } else { (false, directive) };
        let field = match directive.unwrap_or('%') {
            'Y' => "2024",
            'y' => "24",
            'm' => "07",
            'B' => "July",
            'b' | 'h' => "Jul",
            'd' | 'e' => "26",
            'j' => "208",
            'A' => "Friday",
            'a' => "Fri",
            'H' | 'M' | 'S' => "00",
            'I' => "12",
            'p' => "AM",
            'F' => "2024-07-26",
            'D' => "07/26/24",
            'T' => "00:00:00",
            other => {
                out.push(other);
                continue;
            }
        };
        let short = field.trim_start_matches('0');
        out.push_str(match short {
            "" if unpadded => "0",
            short if unpadded => short,
            _ => field,
        });
    }
    out
}

#[cfg(test)]
#[path = "jinja_golden.rs"]
mod golden;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered(template: &str) -> String {
        render(template, &json!({ "x": { "b": [1, "é<"], "a": null }, "s": " Ab " })).unwrap()
    }

    #[test]
    fn templates_have_what_python_gives_them() {
        assert_eq!(rendered("{{ s.strip().lower().startswith('ab') }}"), "True");
        assert_eq!(rendered("{% for k, v in x.items() %}{{ k }}{% endfor %}"), "ab");
        assert_eq!(
            rendered(
                "{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
            ),
            "1"
        );
        assert_eq!(rendered("{{ [1, 2, 3][::-1][0] }}{{ 'abc'[1:] }}{{ s[-2] }}"), "3bcb");
        assert_eq!(rendered("{{ bos_token }}{{ none_such is defined }}"), "False");
        assert_eq!(
            rendered(
                "{%- macro m(t) -%}<{{ t }}>{%- endmacro -%}{%- set ns = namespace(n=0) -%}{%- for i in range(3) -%}{%- set ns.n = ns.n + i -%}{%- endfor -%}{{ m(ns.n) }}"
            ),
            "<3>"
        );
    }

    #[test]
    fn block_tags_take_their_line_with_them() {
        assert_eq!(rendered("a\n  {% if true %}\nb\n  {% endif %}\nc\n"), "a\nb\nc");
        assert_eq!(rendered("a\r\n {% if true %}\r\n{{ '\r\n' }}\r{% endif %}\r\n"), "a\n\n\n");
        assert_eq!(
            rendered(
                "a {% generation %}b{% endgeneration %} c {%- generation -%} d {%- endgeneration -%} e"
            ),
            "a b cde"
        );
    }

    #[test]
    fn the_date_never_changes() {
        assert_eq!(rendered("{{ strftime_now('%d %b %Y') }}"), "26 Jul 2024");
        assert_eq!(
            rendered("{{ strftime_now('%A, %B %-d, %H:%M 100%% %-m') }}"),
            "Friday, July 26, 00:00 100% 7"
        );
        assert_eq!(rendered("{{ strftime_now is defined }}"), "True");
    }

    #[test]
    fn a_template_that_refuses_or_does_not_end_is_an_error() {
        let refused = |template: &str| render(template, &json!({})).unwrap_err().to_string();
        assert!(refused("{{ raise_exception('no system role') }}").contains("no system role"));
        assert!(
            refused("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}")
                .contains("fuel")
        );
        assert!(refused("{% if %}").contains("syntax error"));
    }
}
