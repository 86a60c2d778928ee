//! Which modules get an adapter.

use std::str::FromStr;

use fancy_regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::LoraError;

/// The word that stands for every linear layer but the head, here and in PEFT.
const ALL_LINEAR: &str = "all-linear";

/// The modules that get an adapter, in PEFT's terms.
///
/// In files it is written as PEFT writes it: a list of names, or one string, which is `all-linear`
/// or a regular expression. From a command line ([`FromStr`]), `q_proj,v_proj` is a list, and text
/// with characters that no module name has is a regular expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TargetModules {
    /// Every linear layer but the output head.
    #[default]
    AllLinear,
    /// Names; each matches a module's full path, or its end after a dot: `q_proj` matches
    /// `model.layers.0.self_attn.q_proj` and not `model.layers.0.xq_proj`.
    List(Vec<String>),
    /// A regular expression that must match a module's full path from start to end, as with
    /// Python's `re.fullmatch`.
    Regex(String),
}

impl TargetModules {
    /// Whether the module at this path is one of them. `is_head` marks the output projection, which
    /// only a name or a regular expression can ask for.
    ///
    /// # Errors
    /// [`LoraError::Pattern`] when the regular expression does not compile.
    pub fn matches(&self, module: &str, is_head: bool) -> Result<bool, LoraError> {
        match self {
            Self::AllLinear => Ok(!is_head),
            Self::List(names) => Ok(names.iter().any(|name| {
                module
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })),
            Self::Regex(pattern) => {
                let regex = full_match("target_modules", pattern)?;
                regex
                    .is_match(module)
                    .map_err(|error| LoraError::pattern("target_modules", pattern, error))
            }
        }
    }

    /// Problems of this value alone, one sentence each.
    pub(crate) fn problems(&self) -> Vec<String> {
        match self {
            Self::List(names) if names.is_empty() => {
                vec!["target_modules names no module".to_owned()]
            }
            Self::List(names) if names.iter().any(String::is_empty) => {
                vec!["target_modules has an empty name".to_owned()]
            }
            Self::AllLinear | Self::List(_) => Vec::new(),
            Self::Regex(pattern) => full_match("target_modules", pattern)
                .err()
                .map(|error| error.to_string())
                .into_iter()
                .collect(),
        }
    }
}

impl FromStr for TargetModules {
    type Err = LoraError;

    fn from_str(text: &str) -> Result<Self, LoraError> {
        let text = text.trim();
        let refuse = |reason| LoraError::Targets { given: text.to_owned(), reason };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text == ALL_LINEAR {
            return Ok(Self::AllLinear);
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.chars().all(|c| is_name(c) || c == ',' || c.is_whitespace()) {
            let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
            if names.iter().any(|name| name.is_empty() || !name.chars().all(is_name)) {
                return Err(refuse("a name between the commas is empty or has a space in it"));
            }
            return Ok(Self::List(names));
        }
        full_match("target_modules", text)?;
        Ok(Self::Regex(text.to_owned()))
    }
}

/// As on the command line, so that a printed value can be typed again.
impl std::fmt::Display for TargetModules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AllLinear => f.write_str(ALL_LINEAR),
            Self::List(names) => f.write_str(&names.join(",")),
            Self::Regex(pattern) => f.write_str(pattern),
        }
    }
}

impl Serialize for TargetModules {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AllLinear => serializer.serialize_str(ALL_LINEAR),
            Self::List(names) => names.serialize(serializer),
            Self::Regex(pattern) => serializer.serialize_str(pattern),
        }
    }
}

impl<'de> Deserialize<'de> for TargetModules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "target_modules is a list of names or a string")]
        enum Form {
            Text(String),
            List(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) if text == ALL_LINEAR => Self::AllLinear,
            Form::Text(text) => Self::Regex(text),
            Form::List(names) => Self::List(names),
        })
    }
}

/// A pattern that must match the whole text, as Python's `re.fullmatch` does.
fn full_match(option: &'static str, pattern: &str) -> Result<Regex, LoraError> {
    anchored(option, pattern, &format!(r"\A(?:{pattern})\z"))
}

/// The pattern behind a key of `rank_pattern` or `alpha_pattern`:
/// `re.match(rf"(.*\.)?({key})$", module)` in PEFT's `utils/other.py::get_pattern_key` (0.21).
pub(crate) fn key_pattern(option: &'static str, key: &str) -> Result<Regex, LoraError> {
    anchored(option, key, &format!(r"\A(.*\.)?({key})\z"))
}

/// Compiles `full`, but reports errors in terms of the `pattern` that was given.
fn anchored(option: &'static str, pattern: &str, full: &str) -> Result<Regex, LoraError> {
    let report = |error| LoraError::pattern(option, pattern, error);
    Regex::new(pattern).map_err(report)?;
    Regex::new(full).map_err(report)
}
