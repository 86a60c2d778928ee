//! From a model's name to a local folder that [`crate::ModelDir::open`] reads.
//!
//! A name is `embedded` (the model that the library carries), a folder, or `owner/name` on a hub.

mod embedded;
mod error;
#[cfg(feature = "hub")]
mod hub;
mod options;

use std::path::{Path, PathBuf};

pub use embedded::{Sample, export_base, sample_csv};
pub use error::SourceError;
pub use options::{HubOptions, SourceOptions};

use crate::names;

/// The name of the model and of the sample data that the library carries. A folder of this name is `./embedded`.
pub const EMBEDDED: &str = "embedded";

/// What happens while a model is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something the user should know although it stops nothing.
    Notice(&'a str),
    /// The download of a file begins.
    Started {
        /// Its path in the repository.
        file: &'a str,
    },
    /// More of it has arrived.
    Advanced {
        /// Bytes here, those of an earlier attempt included.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The file is complete.
    Finished {
        /// Its path in the repository.
        file: &'a str,
    },
}

/// Hears the events of a download.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>);

/// What a repository on the hub may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A whole model.
    Model,
    /// An adapter if there is one, else a whole model.
    AdapterOrModel,
}

/// Where a name points, as far as the name and the disk tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder that exists.
    Folder(PathBuf),
    /// The model that the library carries.
    Embedded,
    /// A repository on the hub, by its id.
    Hub(String),
}

impl Place {
    /// Reads a name. A common but unusable hub id becomes the one that is meant, with a notice.
    ///
    /// # Errors
    /// The name is none of the three, or this build lacks that source.
    pub fn of(name: &str, on_event: OnEvent<'_>) -> Result<Self, SourceError> {
        if name == EMBEDDED {
            return if cfg!(feature = "embedded") {
                Ok(Self::Embedded)
            } else {
                Err(SourceError::NoEmbedded)
            };
        }
        let name = &*canonical(name, on_event);
        let path = Path::new(name);
        if path.is_dir() {
            Ok(Self::Folder(path.into()))
        } else if path.exists() {
            Err(SourceError::NotAFolder { path: path.into() })
        } else if !names::is_hub_id(name) {
            Err(match names::owner(name) {
                Some(owner) => SourceError::Hidden { name: name.into(), owner: owner.into() },
                None => SourceError::NoFolder { name: name.into() },
            })
        } else if cfg!(not(feature = "hub")) {
            Err(SourceError::NoHub { id: name.into() })
        } else {
            Ok(Self::Hub(name.into()))
        }
    }
}

/// The name with a common but unusable hub id corrected, with a notice.
pub fn canonical(name: &str, on_event: OnEvent<'_>) -> String {
    let Some(meant) = names::renamed(name) else { return name.to_owned() };
    on_event(Event::Notice(&format!("{name} has no usable repository on the hub; taking {meant}")));
    meant.to_owned()
}

/// The local folder of a model, fetched or unpacked first where it has to be. Of a folder's own name nothing is
/// checked but that it is a folder.
///
/// # Errors
/// The name leads nowhere, or the files cannot be had; see [`SourceError`].
pub fn locate(
    name: &str,
    wanted: Wanted,
    options: &SourceOptions,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, SourceError> {
    let place = Place::of(name, on_event)?;
    if let (Some(revision), Place::Folder(_) | Place::Embedded) = (&options.revision, &place) {
        on_event(Event::Notice(&format!(
            "the revision {revision} is not used: {name} is not a model of the hub"
        )));
    }
    match place {
        Place::Folder(path) => Ok(path),
        Place::Embedded => embedded::base(&options.cache_dirs),
        #[cfg(feature = "hub")]
        Place::Hub(id) => hub::fetch(&id, wanted, options, on_event),
        #[cfg(not(feature = "hub"))]
        Place::Hub(id) => {
            let _ = wanted;
            Err(SourceError::NoHub { id })
        }
    }
}

/// The commit of a folder that [`locate`] gave for a model of the hub.
pub fn commit_of(folder: &Path) -> Option<&str> {
    folder.parent().filter(|parent| parent.ends_with("snapshots"))?;
    folder.file_name()?.to_str()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folder_the_embedded_model_or_a_hub_id() {
        let place = |name: &str| Place::of(name, &mut |_| {});
        assert_eq!(place("src").unwrap(), Place::Folder("src".into()));
        if cfg!(feature = "embedded") {
            assert_eq!(place("embedded").unwrap(), Place::Embedded);
        }
        if cfg!(feature = "hub") {
            assert_eq!(place("owner/name").unwrap(), Place::Hub("owner/name".into()));
        }
        assert!(matches!(place("Cargo.toml").unwrap_err(), SourceError::NotAFolder { .. }));
        // Tests run in the crate's folder, which has `src`.
        let error = place("src/model").unwrap_err();
        assert!(matches!(error, SourceError::Hidden { .. }), "{error}");
        for name in ["./no/where", "nowhere", "../up/there"] {
            assert!(matches!(place(name).unwrap_err(), SourceError::NoFolder { .. }), "{name}");
        }
    }

    #[test]
    fn renamed_repositories_resolve_with_a_notice() {
        for (old, new) in [
            ("mistralai/Mistral-7B", "mistralai/Mistral-7B-v0.1"),
            ("meta-llama/Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ] {
            let mut notices = Vec::new();
            let mut hear = |event: Event<'_>| notices.push(format!("{event:?}"));
            assert_eq!(canonical(old, &mut hear), new);
            assert_eq!(canonical(new, &mut hear), new);
            assert!(notices.len() == 1 && notices[0].contains(new), "{notices:?}");
        }
    }
}
