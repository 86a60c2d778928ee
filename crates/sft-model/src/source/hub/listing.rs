//! The one request that tells which files a revision has.

use std::collections::BTreeMap;
use std::io;

use serde::Deserialize;

use super::http::{Refusal, text};
use super::near::near;
use super::{Asked, SourceError};

/// A listing is larger only where something else answers.
const LIMIT: u64 = 64 << 20;

/// The files of a commit.
pub(super) struct Listing {
    pub(super) commit: String,
    /// Size in bytes by path, where the hub tells it.
    pub(super) files: BTreeMap<String, Option<u64>>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

/// Asks once; what the hub refuses becomes an error with its remedy.
pub(super) fn ask(asked: &Asked<'_>) -> Result<Listing, SourceError> {
    let id = || asked.id.to_owned();
    let network = |source| SourceError::Network { id: id(), source };
    let revision = asked.revision.replace('/', "%2F");
    let path = format!("api/models/{}/revision/{revision}?blobs=true", asked.id);
    let answer = asked.client.get(&path, 0).map_err(|refusal| match refusal {
        Refusal::Answer(reason) => asked.answer(reason),
        Refusal::Network(error) => network(error.into()),
    })?;
    let mut response = answer.response;
    let code = text(response.headers(), "x-error-code").unwrap_or_default();
    match (response.status().as_u16(), code.as_str()) {
        (200, _) => {}
        // Without a token the hub does not tell a missing repository from a private one.
        (401 | 404, "RepoNotFound") | (404, "") => {
            return Err(SourceError::NoRepository { id: id(), near: near(asked.id) });
        }
        (404, "RevisionNotFound") => {
            return Err(SourceError::NoRevision { id: id(), revision: asked.revision.into() });
        }
        (401 | 403, _) => return Err(asked.gated()),
        (status, _) => return Err(SourceError::Server { id: id(), status }),
    }
    let body = response.body_mut().with_config().limit(LIMIT).read_to_vec();
    let body = body.map_err(|error| network(Box::new(error)))?;
    let info: Info = serde_json::from_slice(&body)
        .map_err(|_| asked.answer("the list of files is not the JSON it should be"))?;
    // It becomes the name of a folder.
    if info.sha.is_empty() || !info.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(asked.answer("its commit is no commit"));
    }
    let files = info.siblings.into_iter().map(|file| (file.rfilename, file.size)).collect();
    Ok(Listing { commit: info.sha, files })
}

/// Whether asking again may help.
pub(super) fn is_passing(error: &SourceError) -> bool {
    match error {
        SourceError::Server { status, .. } => *status == 429 || *status >= 500,
        SourceError::Network { source, .. } => {
            let broke_off = source.downcast_ref::<ureq::Error>();
            matches!(broke_off, Some(ureq::Error::Io(error)) if error.kind() != io::ErrorKind::ConnectionRefused)
        }
        _ => false,
    }
}
