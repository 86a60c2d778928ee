//! Where the base model comes from, as far as its name tells.

use std::path::Path;

use sft_model::names;

/// The name with a wrong but common hub id corrected.
pub(crate) fn canonical(name: String, notes: &mut Vec<String>) -> String {
    match names::renamed(&name) {
        Some(meant) => {
            notes.push(format!("{name} has no usable repository on the hub; taking {meant}"));
            meant.to_owned()
        }
        None => name,
    }
}

/// Whether the name is a local folder, which is what this version can open.
pub(crate) fn folder(name: &str) -> Result<(), String> {
    const REMEDY: &str = "give a local Hugging Face folder: --model_name DIR";
    let path = Path::new(name);
    if path.is_dir() {
        Ok(())
    } else if name == "embedded" {
        Err(format!("the embedded model is not part of this version; {REMEDY}"))
    } else if path.exists() {
        Err(format!("model_name {name} is a file; {REMEDY}"))
    } else if names::is_hub_id(name) {
        Err(format!(
            "there is no folder {name}, and this version does not download models from the hub; {REMEDY}"
        ))
    } else {
        Err(format!("there is no folder {name}; {REMEDY}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn renamed_repositories_resolve_with_a_notice() {
        let mut notes = Vec::new();
        assert_eq!(
            canonical("mistralai/Mistral-7B".into(), &mut notes),
            "mistralai/Mistral-7B-v0.1"
        );
        assert_eq!(
            canonical("meta-llama/Llama-2-7b".into(), &mut notes),
            "meta-llama/Llama-2-7b-hf"
        );
        assert_eq!(notes.len(), 2);
        assert_eq!(
            canonical("mistralai/Mistral-7B-v0.3".into(), &mut notes),
            "mistralai/Mistral-7B-v0.3"
        );
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn what_is_no_folder_is_refused_with_the_remedy() {
        for (name, word) in [
            ("embedded", "embedded model"),
            ("mistralai/Mistral-7B-v0.1", "hub"),
            ("./no/such/folder", "no folder"),
            ("../up/there", "no folder ../up/there; give"),
        ] {
            let error = folder(name).unwrap_err();
            assert!(error.contains(word) && error.contains("--model_name DIR"), "{error}");
        }
        assert!(folder(env!("CARGO_MANIFEST_DIR")).is_ok());
    }
}
