//! Models by their id, through the cache that other tools of the hub share.

mod cached;
mod download;
mod files;
mod http;
mod listing;
mod near;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use hf_hub::{Cache, Repo, RepoType};

use self::download::Download;
use self::http::Client;
use self::listing::Listing;
use super::{Event, HubOptions, OnEvent, SourceError, SourceOptions, Wanted};
use crate::ModelConfig;
use crate::weights::shard_names;

/// What was asked of the hub, for its errors.
struct Asked<'a> {
    id: &'a str,
    revision: &'a str,
    client: Client,
    with_token: bool,
}

impl Asked<'_> {
    fn gated(&self) -> SourceError {
        let page = format!("{}/{}", self.client.endpoint, self.id);
        SourceError::Gated { id: self.id.to_owned(), page, with_token: self.with_token }
    }

    fn answer(&self, reason: &str) -> SourceError {
        SourceError::Answer { id: self.id.to_owned(), reason: reason.to_owned() }
    }

    fn unusable(&self, reason: String) -> SourceError {
        SourceError::Unusable { id: self.id.to_owned(), reason }
    }
}

/// The folder of a repository's revision in the cache, with the files that are wanted.
pub(super) fn fetch(
    id: &str,
    wanted: Wanted,
    options: &SourceOptions,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, SourceError> {
    let hub = &options.hub;
    let revision = options.revision.as_deref().unwrap_or("main");
    check_revision(revision)?;
    let cache = Cache::new(absolute(hub.cache.as_deref().ok_or(SourceError::NoCache)?)?);
    let named = Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned());
    let cached = || cached::snapshot(&cache, &named, wanted);
    if hub.offline {
        return cached().ok_or_else(|| SourceError::Offline {
            id: id.to_owned(),
            revision: revision.to_owned(),
            cache: cache.path().clone(),
        });
    }
    let client = Client::new(hub)?;
    let asked = Asked { id, revision, client, with_token: hub.token.is_some() };
    let listing = match listing(&asked, hub) {
        Err(error @ (SourceError::Network { .. } | SourceError::Server { .. })) => {
            let Some(folder) = cached() else { return Err(error) };
            on_event(Event::Notice(&format!(
                "the hub does not answer; taking {id} as it is in the cache"
            )));
            return Ok(folder);
        }
        listing => listing?,
    };
    let stored = cache.path().join(named.folder_name());
    let folder = cache.repo(named.clone()).pointer_path(&listing.commit);
    let download = Download {
        asked: &asked,
        commit: &listing.commit,
        folder: &folder,
        blobs: stored.join("blobs"),
        attempts: hub.attempts,
        retry_wait: hub.retry_wait,
    };
    files_of(&listing, wanted, &download, on_event)?;
    // Last, so that the name never stands for a commit that is not complete.
    let reference = stored.join("refs").join(revision);
    let is_new =
        fs::read_to_string(&reference).map_or(true, |commit| commit.trim() != listing.commit);
    if is_new && let Err(error) = cache.repo(named).create_ref(&listing.commit) {
        on_event(Event::Notice(&format!(
            "cannot write {} ({error}); without the hub, an older commit or none will be found",
            reference.display()
        )));
    }
    Ok(folder)
}

/// Asks for the list of files, again where the hub is only busy.
fn listing(asked: &Asked<'_>, hub: &HubOptions) -> Result<Listing, SourceError> {
    let mut wait = hub.retry_wait;
    for _ in 1..hub.attempts {
        match listing::ask(asked) {
            Err(error) if listing::is_passing(&error) => thread::sleep(wait),
            answer => return answer,
        }
        wait *= 2;
    }
    listing::ask(asked)
}

/// Fetches what is wanted of a commit, the shards of an index last.
fn files_of(
    listing: &Listing,
    wanted: Wanted,
    download: &Download<'_>,
    on_event: OnEvent<'_>,
) -> Result<(), SourceError> {
    let asked = download.asked;
    let has = |name: &str| listing.files.contains_key(name);
    let choice = files::choose(&has, wanted).map_err(|reason| asked.unusable(reason))?;
    let mut get = |name: &str| {
        let size = listing.files.get(name).copied().flatten();
        download.file(name, size, on_event)
    };
    for name in choice.files {
        get(name)?;
        if name == "config.json" {
            // A model that is not supported is refused before its weights are fetched.
            ModelConfig::read(&download.folder.join(name)).map_err(|error| {
                SourceError::Config { id: asked.id.to_owned(), source: Box::new(error) }
            })?;
        }
    }
    let Some(index) = choice.index else { return Ok(()) };
    let shards = shard_names(&download.folder.join(index))
        .map_err(|error| asked.unusable(format!("{index}: {error}")))?;
    if let Some(strange) = shards.iter().find(|shard| !is_plain(shard)) {
        let reason = format!(
            "{index} names {strange:?}, and a file's name may only have letters, digits and -_.+@ in its parts; do \
             not use this model"
        );
        return Err(asked.unusable(reason));
    }
    if let Some(missing) = shards.iter().find(|shard| !has(shard)) {
        let reason = format!("{index} names {missing}, which it does not have; ask its owner");
        return Err(asked.unusable(reason));
    }
    shards.iter().try_for_each(|shard| get(shard))
}

/// A revision becomes a part of a path and of an address.
fn check_revision(revision: &str) -> Result<(), SourceError> {
    if is_plain(revision) {
        Ok(())
    } else {
        Err(SourceError::Revision { revision: revision.to_owned() })
    }
}

/// Whether this can be a part of a path, an address and a message.
fn is_plain(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
    let part =
        |part: &str| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
    path.split('/').all(part)
}

/// Links in the cache are relative to its folder, which therefore has to be known from the root.
fn absolute(cache: &Path) -> Result<PathBuf, SourceError> {
    let failed = |source| SourceError::Cache {
        path: cache.into(),
        action: "create the folder",
        variable: "HF_HOME",
        source,
    };
    fs::create_dir_all(cache).map_err(failed)?;
    std::path::absolute(cache).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_cannot_leave_its_folder() {
        for good in ["main", "v1.0", "refs/pr/3", "0123abc"] {
            assert!(check_revision(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/../b", "/etc", "a b", "a?b", "a%2Fb", "a//b", r"a\b", "a#b"] {
            assert!(check_revision(bad).is_err(), "{bad}");
        }
    }
}
