//! Models by their id, through the cache that other tools of the hub share.

mod cached;
mod download;
mod files;
mod listing;
mod near;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};

use self::download::Download;
use self::listing::Listing;
use super::{Event, HubOptions, OnEvent, SourceError, SourceOptions, Wanted};
use crate::weights::shard_names;

/// How long the hub may take to accept a connection and to begin an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What was asked of the hub, for its errors.
struct Asked<'a> {
    id: &'a str,
    revision: &'a str,
    api: Api,
    with_token: bool,
}

impl Asked<'_> {
    fn repo(&self, revision: &str) -> Repo {
        Repo::with_revision(self.id.to_owned(), RepoType::Model, revision.to_owned())
    }

    fn gated(&self) -> SourceError {
        // `<endpoint>/<id>/resolve/<revision>/<file>`
        let url = self.api.repo(self.repo("main")).url("");
        let page = url.split("/resolve/").next().unwrap_or_default().to_owned();
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
    let asked =
        Asked { id, revision, api: connect(id, hub, &cache)?, with_token: hub.token.is_some() };
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
    let pinned = asked.repo(&listing.commit);
    let folder = cache.repo(pinned.clone()).pointer_path(&listing.commit);
    let download = Download {
        asked: &asked,
        repo: asked.api.repo(pinned),
        folder: &folder,
        blobs: cache.path().join(named.folder_name()).join("blobs"),
        attempts: hub.attempts,
        retry_wait: hub.retry_wait,
    };
    files_of(&listing, wanted, &download, on_event)?;
    // Last, so that the name never stands for a commit that is not complete.
    let reference = cache.path().join(named.folder_name()).join("refs").join(revision);
    cache.repo(named).create_ref(&listing.commit).map_err(|source| SourceError::Cache {
        path: reference,
        action: "write",
        variable: "HF_HOME",
        source,
    })?;
    Ok(folder)
}

fn connect(id: &str, hub: &HubOptions, cache: &Cache) -> Result<Api, SourceError> {
    if hub.token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(SourceError::Token);
    }
    let mut builder = ApiBuilder::from_cache(cache.clone()).with_token(hub.token.clone());
    if let Some(endpoint) = &hub.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder
        .build()
        .map_err(|error| SourceError::Network { id: id.to_owned(), source: error.into() })
}

/// Asks for the list of files, again where the hub is only busy.
fn listing(asked: &Asked<'_>, hub: &HubOptions) -> Result<Listing, SourceError> {
    let repo = asked.api.repo(asked.repo(asked.revision));
    let mut wait = hub.retry_wait;
    for _ in 1..hub.attempts {
        match listing::ask(&repo, asked) {
            Err(error) if listing::is_passing(&error) => thread::sleep(wait),
            answer => return answer,
        }
        wait *= 2;
    }
    listing::ask(&repo, asked)
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
    choice.files.iter().try_for_each(|name| get(name))?;
    let Some(index) = choice.index else { return Ok(()) };
    let shards = shard_names(&download.folder.join(index))
        .map_err(|error| asked.unusable(format!("{index}: {error}")))?;
    if let Some(missing) = shards.iter().find(|shard| !has(shard)) {
        let reason = format!("{index} names {missing}, which it does not have; ask its owner");
        return Err(asked.unusable(reason));
    }
    shards.iter().try_for_each(|shard| get(shard))
}

/// A revision becomes a part of a path and of an address.
fn check_revision(revision: &str) -> Result<(), SourceError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
    let part =
        |part: &str| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
    if revision.split('/').all(part) {
        Ok(())
    } else {
        Err(SourceError::Revision { revision: revision.to_owned() })
    }
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
