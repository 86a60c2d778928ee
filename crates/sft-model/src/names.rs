//! What users call a base model: a folder, or a repository on the hub.

use std::path::Path;

/// Names that many guides use and no usable repository has, with the repository that is meant.
const RENAMED: [(&str, &str); 2] = [
    ("mistralai/Mistral-7B", "mistralai/Mistral-7B-v0.1"),
    ("meta-llama/Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
];

/// The repository that is meant by a common but unusable name; none for any other name, and for a
/// folder that has this one.
pub fn renamed(name: &str) -> Option<&'static str> {
    let (_, meant) = RENAMED.iter().find(|(old, _)| *old == name && !Path::new(old).is_dir())?;
    Some(meant)
}

/// Whether this is `owner/name` of a repository rather than a path: of a path such as
/// `models/name` the first part mostly exists.
pub fn is_hub_id(name: &str) -> bool {
    owner(name).is_some_and(|owner| !Path::new(owner).exists())
}

/// The first part of what has the form `owner/name`.
pub(crate) fn owner(name: &str) -> Option<&str> {
    let part = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let (owner, name) = name.split_once('/')?;
    (part(owner) && part(name)).then_some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_common_names_mean_another_repository() {
        for (old, new) in RENAMED {
            assert_eq!(renamed(old), Some(new));
            assert_eq!(renamed(new), None);
        }
    }

    #[test]
    fn paths_are_no_hub_ids() {
        for id in ["mistralai/Mistral-7B-v0.1", "org/model"] {
            assert!(is_hub_id(id), "{id}");
        }
        // Tests run in the crate's folder, which has `src`.
        for path in ["/no/where", "/where", "./a/b", "../a", "a/b/c", "model", "a/", "src/model"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
