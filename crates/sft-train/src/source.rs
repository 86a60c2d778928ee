//! Where the base model and the rows come from: names become paths.

use std::path::{Path, PathBuf};

use sft_model::ModelError;
use sft_model::source::{
    EMBEDDED, Event, Place, Sample, SourceError, SourceOptions, Wanted, canonical, commit_of,
    locate, sample_csv,
};

use crate::download::Downloads;
use crate::error::CliError;

/// The name with a wrong but common hub id corrected, if it leads anywhere as far as that shows without a network.
pub(crate) fn model_name(name: String, notes: &mut Vec<String>) -> Result<String, SourceError> {
    let name = canonical(&name, &mut |event| {
        if let Event::Notice(text) = event {
            notes.push(text.to_owned());
        }
    });
    Place::of(&name, &mut |_| {})?;
    Ok(name)
}

/// The folder of the base model, fetched first where it has to be.
pub(crate) fn model_folder(name: &str, revision: Option<&str>) -> Result<PathBuf, CliError> {
    let options =
        SourceOptions { revision: revision.map(str::to_owned), ..SourceOptions::from_env() };
    let mut downloads = Downloads::default();
    let folder = locate(name, Wanted::Model, &options, &mut |event| downloads.event(event));
    Ok(folder.map_err(ModelError::from)?)
}

/// The commit that a model of the hub was fetched at; none for any other.
pub(crate) fn fetched_commit<'a>(name: &str, folder: &'a Path) -> Option<&'a str> {
    let is_on_hub = matches!(Place::of(name, &mut |_| {}), Ok(Place::Hub(_)));
    commit_of(folder).filter(|_| is_on_hub)
}

/// Whether the sample data is meant.
pub(crate) fn is_embedded(csv: &Path) -> bool {
    csv == Path::new(EMBEDDED)
}

/// The file of rows that is meant.
pub(crate) fn rows_file(csv: &Path, sample: Sample) -> Result<PathBuf, CliError> {
    if is_embedded(csv) {
        let caches = SourceOptions::from_env().cache_dirs;
        return Ok(sample_csv(sample, &caches).map_err(ModelError::from)?);
    }
    Ok(csv.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn renamed_repositories_are_noted() {
        let mut notes = Vec::new();
        let name = model_name("mistralai/Mistral-7B".into(), &mut notes).unwrap();
        assert_eq!(name, "mistralai/Mistral-7B-v0.1");
        assert!(notes.len() == 1 && notes[0].contains("v0.1"), "{notes:?}");
        for name in [EMBEDDED, env!("CARGO_MANIFEST_DIR"), "mistralai/Mistral-7B-v0.3"] {
            assert_eq!(model_name(name.into(), &mut notes).unwrap(), name);
        }
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn what_leads_nowhere_is_refused_with_the_remedy() {
        for name in ["./no/such/folder", "../up/there", "nowhere"] {
            let error = model_name(name.into(), &mut Vec::new()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("--model_name DIR"), "{error}");
        }
    }
}
