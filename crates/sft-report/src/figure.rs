//! A number of the page with the place it comes from.

use minijinja::Value as Html;
use serde_json::Value;

/// How a number is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// A whole number, in groups of three digits.
    Count,
    /// So many digits after the point.
    Fixed(usize),
    /// Two digits after the point and a power of ten.
    Power,
    /// Seconds, as hours and minutes, or minutes and seconds.
    Duration,
}

/// The number at the JSON pointer `key` of `root`, as HTML that names this key (tests compare every such number with its
/// source); a dash where there is none.
pub(crate) fn figure(root: &Value, key: &str, form: Form) -> Html {
    let Some(value) = root.pointer(key).and_then(Value::as_f64) else {
        return Html::from("–");
    };
    let key = key.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let text = written(value, form);
    Html::from_safe_string(format!("<span class=\"figure\" data-key=\"{key}\">{text}</span>"))
}

/// A step of a JSON pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

pub(crate) fn written(value: f64, form: Form) -> String {
    match form {
        Form::Count => grouped(value.round() as u64),
        Form::Fixed(digits) => format!("{value:.digits$}"),
        Form::Power => format!("{value:.2e}"),
        Form::Duration => duration(value),
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(seconds: f64) -> String {
    if seconds < 59.5 {
        return format!("{seconds:.1} s");
    }
    if seconds < 3570.0 {
        let whole = seconds.round() as u64;
        return format!("{} min {} s", whole / 60, whole % 60);
    }
    let minutes = (seconds / 60.0).round() as u64;
    format!("{} h {} min", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (value, form, text) in [
            (1_234_567.0, Form::Count, "1,234,567"),
            (0.0, Form::Count, "0"),
            (0.123_46, Form::Fixed(3), "0.123"),
            (2e-4, Form::Power, "2.00e-4"),
            (8.26, Form::Duration, "8.3 s"),
            (119.6, Form::Duration, "2 min 0 s"),
            (3_569.0, Form::Duration, "59 min 29 s"),
            (3_570.0, Form::Duration, "1 h 0 min"),
            (7_384.0, Form::Duration, "2 h 3 min"),
        ] {
            assert_eq!(written(value, form), text);
        }
    }

    #[test]
    fn a_figure_names_its_source_and_nothing_gives_a_dash() {
        let root = serde_json::json!({"a": {"b": [1.5, null]}});
        let html = figure(&root, "/a/b/0", Form::Fixed(1)).to_string();
        assert_eq!(html, "<span class=\"figure\" data-key=\"/a/b/0\">1.5</span>");
        for key in ["/a/b/1", "/a/b/2", "/c"] {
            assert_eq!(figure(&root, key, Form::Count).to_string(), "–");
        }
    }
}
