//! What earlier downloads left, by this program or by others that share the cache.

use std::fs;
use std::path::PathBuf;

use hf_hub::{Cache, Repo};

use super::files::choose;
use crate::source::Wanted;
use crate::weights::shard_names;

/// The folder of a revision, if the cache has all its files.
pub(super) fn snapshot(cache: &Cache, repo: &Repo, wanted: Wanted) -> Option<PathBuf> {
    let stored = cache.repo(repo.clone());
    let reference = cache.path().join(repo.folder_name()).join("refs").join(repo.revision());
    // A commit needs no reference.
    let commit = fs::read_to_string(reference).unwrap_or_else(|_| repo.revision().to_owned());
    let commit = commit.trim();
    // Whoever else writes to the cache: the folder is one of it.
    if !commit.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        || commit.contains("..")
    {
        return None;
    }
    let folder = stored.pointer_path(commit);
    let choice = choose(&|name| folder.join(name).is_file(), wanted).ok()?;
    if let Some(index) = choice.index {
        let shards = shard_names(&folder.join(index)).ok()?;
        shards.iter().all(|shard| folder.join(shard).is_file()).then_some(())?;
    }
    Some(folder)
}
