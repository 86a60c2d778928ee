//! `/set`: the generation parameters by name.

use std::str::FromStr;

use sft_inference::GenerationParams;

use super::command::nearest;

/// Every setting with what it may be.
const SETTINGS: [(&str, &str); 6] = [
    ("max_new_tokens", "a whole number, at least 1"),
    ("temperature", "0 (greedy) or a positive number"),
    ("top_p", "a number above 0, at most 1, or off"),
    ("top_k", "a whole number, at least 1, or off"),
    ("repetition_penalty", "a positive number (1 is off)"),
    ("seed", "a whole number, at least 0"),
];

/// Changes one setting; `params` stays as it was on an error, which is a message for the user.
pub(crate) fn set(
    params: &mut GenerationParams,
    name: &str,
    value: &str,
) -> Result<&'static str, String> {
    let wanted = name.to_lowercase().replace('-', "_");
    let Some((name, range)) = SETTINGS.into_iter().find(|(known, _)| *known == wanted) else {
        let names = SETTINGS.map(|(name, _)| name);
        let hint = match nearest(&wanted, &names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", names.join(", ")),
        };
        return Err(format!("there is no setting {name}: {hint}"));
    };
    let mut changed = params.clone();
    let parsed = match name {
        "max_new_tokens" => put(&mut changed.max_new_tokens, value),
        "temperature" => put(&mut changed.temperature, value),
        "top_p" => put_or_off(&mut changed.top_p, value),
        "top_k" => put_or_off(&mut changed.top_k, value),
        "repetition_penalty" => put(&mut changed.repetition_penalty, value),
        _ => put(&mut changed.seed, value),
    };
    parsed.ok_or_else(|| format!("{name} is `{value}`: give {range}"))?;
    changed.validate().map_err(|error| error.to_string())?;
    *params = changed;
    Ok(name)
}

/// A setting and its value.
pub(crate) fn show(params: &GenerationParams, name: &str) -> String {
    let value = match name {
        "max_new_tokens" => params.max_new_tokens.to_string(),
        "temperature" => params.temperature.to_string(),
        "top_p" => params.top_p.map_or("off".to_owned(), |p| p.to_string()),
        "top_k" => params.top_k.map_or("off".to_owned(), |k| k.to_string()),
        "repetition_penalty" => params.repetition_penalty.to_string(),
        _ => params.seed.to_string(),
    };
    format!("{name} {value}")
}

/// Every setting, its value, and what it may be, a line each.
pub(crate) fn list(params: &GenerationParams) -> String {
    let lines = SETTINGS.map(|(name, range)| format!("  {:<26} {range}", show(params, name)));
    lines.join("\n")
}

fn put<T: FromStr>(place: &mut T, value: &str) -> Option<()> {
    *place = value.parse().ok()?;
    Some(())
}

fn put_or_off<T: FromStr>(place: &mut Option<T>, value: &str) -> Option<()> {
    *place = if value.eq_ignore_ascii_case("off") { None } else { Some(value.parse().ok()?) };
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_set_and_shown() {
        let mut params = GenerationParams::default();
        for (name, value) in [
            ("max_new_tokens", "7"),
            ("temperature", "0.7"),
            ("top-p", "0.9"),
            ("TOP_K", "3"),
            ("repetition_penalty", "1.5"),
            ("seed", "9"),
        ] {
            let name = set(&mut params, name, value).unwrap();
            assert_eq!(show(&params, name), format!("{name} {value}"));
        }
        let expected = GenerationParams {
            max_new_tokens: 7,
            temperature: 0.7,
            top_p: Some(0.9),
            top_k: Some(3),
            repetition_penalty: 1.5,
            seed: 9,
        };
        assert_eq!(params, expected);
        set(&mut params, "top_p", "off").unwrap();
        set(&mut params, "top_k", "off").unwrap();
        assert_eq!((params.top_p, params.top_k), (None, None));
        assert_eq!(list(&params).lines().count(), SETTINGS.len());
    }

    #[test]
    fn a_refusal_names_the_range_and_changes_nothing() {
        let mut params = GenerationParams::default();
        for (name, value, part) in [
            ("temperature", "-1", "0 (greedy) or a positive number"),
            ("temperature", "warm", "0 (greedy) or a positive number"),
            ("temperature", "nan", "positive number"),
            ("top_p", "1.5", "at most 1"),
            ("top_k", "0", "at least 1"),
            ("max_new_tokens", "0", "at least 1"),
            ("max_new_tokens", "off", "at least 1"),
            ("repetition_penalty", "0", "positive number"),
            ("seed", "-1", "at least 0"),
            ("temprature", "1", "did you mean temperature?"),
            ("xyz", "1", "repetition_penalty, seed"),
        ] {
            let message = set(&mut params, name, value).unwrap_err();
            assert!(message.contains(part), "{name} {value}: {message}");
        }
        assert_eq!(params, GenerationParams::default());
    }
}
