//! `layers_to_transform`, `layers_pattern` and `exclude_modules`: they leave out some of the modules
//! that `target_modules` names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::options::at_rest;
use crate::TargetModules;

const LAYERS: &str = "layers_to_transform";
const LAYERS_PATTERN: &str = "layers_pattern";
const EXCLUDE: &str = "exclude_modules";

/// The options that [`narrowed`] reads.
pub(super) const OPTIONS: [&str; 3] = [LAYERS, LAYERS_PATTERN, EXCLUDE];

/// The modules that `targets` names, without those that the other options leave out, as PEFT finds
/// them (`check_target_module_exists` in its `tuners/tuners_utils.py`). Where there is something to
/// leave out, the result is a regular expression, in terms that Python knows too.
///
/// # Errors
/// One sentence an option that cannot be read.
pub(super) fn narrowed(
    targets: TargetModules,
    options: &BTreeMap<String, Value>,
) -> Result<TargetModules, Vec<String>> {
    let set = |option: &str| options.get(option).filter(|value| !at_rest(value));
    let (layers, pattern, excluded) = (set(LAYERS), set(LAYERS_PATTERN), set(EXCLUDE));
    let mut problems = Vec::new();
    let mut refuse = |option: &str, value: Option<&Value>, remedy: &str| {
        problems.extend(value.map(|value| format!("{option} is {value}: {remedy}")));
        String::new()
    };

    let excluded = match excluded {
        None => String::new(),
        Some(Value::String(pattern)) => format!("(?!(?:{pattern})$)"),
        Some(value) => match texts(value) {
            Some(names) => format!(r"(?!(?:.*\.)?(?:{})$)", escaped(&names)),
            None => refuse(EXCLUDE, excluded, "it must be a list of names or a regular expression"),
        },
    };
    let layer = match (layers, pattern) {
        (None, None) => String::new(),
        (None, value) => {
            refuse(LAYERS_PATTERN, value, "it says nothing without layers_to_transform")
        }
        (Some(value), pattern) => {
            let parents = pattern.map_or(Some(vec!["[^.]*".to_owned()]), texts);
            match (numbers(value), parents) {
                (Some(layers), Some(parents)) => {
                    format!(r"(?=.*\.(?:{})\.(?:{})\.)", parents.join("|"), layers.join("|"))
                }
                (None, _) => refuse(LAYERS, layers, "it must be the number of a layer, or a list"),
                _ => refuse(LAYERS_PATTERN, pattern, "it must be a name or a list of names"),
            }
        }
    };
    let remedy = "it needs target_modules as a list of names";
    let base = match &targets {
        TargetModules::List(names) if layer.is_empty() => {
            format!(r"(?:.*\.)?(?:{})", escaped(names))
        }
        // A module named in full is adapted whatever its layer.
        TargetModules::List(names) => {
            format!(r"(?:(?:{0})|{layer}.*\.(?:{0}))", escaped(names))
        }
        TargetModules::Regex(pattern) if layer.is_empty() => format!("(?:{pattern})"),
        TargetModules::Regex(_) => refuse(LAYERS, layers, remedy),
        TargetModules::AllLinear => {
            refuse(LAYERS, layers, remedy);
            refuse(EXCLUDE, set(EXCLUDE), remedy)
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let as_it_is = layer.is_empty() && excluded.is_empty();
    Ok(if as_it_is { targets } else { TargetModules::Regex(format!("{excluded}{base}")) })
}

/// One text or a list of them.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// One number or a list of them, as text.
fn numbers(value: &Value) -> Option<Vec<String>> {
    let number = |value: &Value| value.as_u64().map(|number| number.to_string());
    match value {
        Value::Array(items) => items.iter().map(number).collect(),
        value => number(value).map(|number| vec![number]),
    }
}

/// Alternatives that match just these texts.
fn escaped(texts: &[String]) -> String {
    texts.iter().map(|text| fancy_regex::escape(text)).collect::<Vec<_>>().join("|")
}
