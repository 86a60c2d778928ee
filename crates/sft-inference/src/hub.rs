//! Names of models on the Hugging Face hub.

use std::path::{Path, PathBuf};

/// Names that many guides use and no usable repository has, with the repository that is meant.
const RENAMED: [(&str, &str); 2] = [
    ("mistralai/Mistral-7B", "mistralai/Mistral-7B-v0.1"),
    ("meta-llama/Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
];

/// The name with a wrong but common hub id corrected; a folder of that name is meant as it stands.
pub(crate) fn canonical(given: &Path) -> PathBuf {
    match RENAMED.iter().find(|(old, _)| given == Path::new(old) && !given.is_dir()) {
        Some((old, new)) => {
            tracing::warn!("{old} has no usable repository on the hub; taking {new}");
            PathBuf::from(new)
        }
        None => given.to_owned(),
    }
}

/// Whether this is `owner/name` of a repository rather than a path: of a path such as
/// `models/name` the first part mostly exists.
pub(crate) fn is_hub_id(given: &Path) -> bool {
    let part = |text: &str| {
        !text.is_empty()
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    given
        .to_str()
        .and_then(|text| text.split_once('/'))
        .is_some_and(|(owner, name)| part(owner) && part(name) && !Path::new(owner).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_common_names_mean_another_repository() {
        for (old, new) in RENAMED {
            assert_eq!(canonical(Path::new(old)), Path::new(new));
            assert_eq!(canonical(Path::new(new)), Path::new(new));
        }
    }

    #[test]
    fn paths_are_no_hub_ids() {
        for id in ["mistralai/Mistral-7B-v0.1", "org/model"] {
            assert!(is_hub_id(Path::new(id)), "{id}");
        }
        // Tests run in the crate's folder, which has `src`.
        for path in ["/no/where", "/where", "./a/b", "../a", "a/b/c", "model", "a/", "src/model"] {
            assert!(!is_hub_id(Path::new(path)), "{path}");
        }
    }
}
