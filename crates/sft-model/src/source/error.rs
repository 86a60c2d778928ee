//! Why a model's name leads to no folder.

use std::io;
use std::path::PathBuf;

/// An error of [`crate::source`]; each message ends with the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No folder, and nothing else that a name can be.
    #[error(
        "there is no folder {name}; give the folder of a Hugging Face model (--model_name DIR, --model_path DIR), a \
         hub id (owner/name), or `embedded`"
    )]
    NoFolder {
        /// The name as it was given.
        name: String,
    },
    /// A local folder has the name of the owner on the hub.
    #[error(
        "there is no folder ./{name}; the local `{owner}` hides the hub id {name}: run in another folder, rename it, or \
         give the folder that is meant (--model_name DIR, --model_path DIR)"
    )]
    Hidden {
        /// The name as it was given.
        name: String,
        /// Its first part, which is here.
        owner: String,
    },
    /// A file where a folder is needed.
    #[error(
        "{} is a file; give the folder that holds config.json (--model_name DIR, --model_path DIR)",
        path.display()
    )]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// Built without the feature `hub`.
    #[error(
        "there is no folder {id}, and this build does not download models from the hub; build it with the feature \
         `hub`, or give a local folder (--model_name DIR, --model_path DIR)"
    )]
    NoHub {
        /// The id.
        id: String,
    },
    /// Built without the feature `embedded`.
    #[error(
        "this build carries no embedded model and no sample data; build it with the feature `embedded`, or give a \
         local folder (--model_name DIR, --model_path DIR) and your own rows (--train_csv FILE)"
    )]
    NoEmbedded,
    /// No branch, tag or commit can be called so.
    #[error("`{revision}` is not a revision; give a branch, a tag or a commit: --revision main")]
    Revision {
        /// As it was given.
        revision: String,
    },
    /// No hub can have this address.
    #[error(
        "HF_ENDPOINT is `{endpoint}`, which is not the plain address of a hub; give http:// or https:// and a host, \
         without a user name or password"
    )]
    Endpoint {
        /// The address, without what may be secret.
        endpoint: String,
    },
    /// The token cannot be sent.
    #[error(
        "the hub token has characters that no token has; set HF_TOKEN to the token alone, without quotes or spaces"
    )]
    Token,
    /// The hub wants to know who asks, or does not let them in.
    #[error("{}", gate(id, page, *with_token))]
    Gated {
        /// The repository.
        id: String,
        /// Its page, where access is asked for.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// No such repository, or a private one.
    #[error(
        "the hub has no repository {id}{}; check the spelling; a private repository needs HF_TOKEN",
        suggestion(near)
    )]
    NoRepository {
        /// The repository.
        id: String,
        /// Known repositories with a name like this.
        near: Vec<String>,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{id} has no revision `{revision}`; give another --revision, or none for `main`")]
    NoRevision {
        /// The repository.
        id: String,
        /// The revision.
        revision: String,
    },
    /// The repository holds nothing that can be used.
    #[error("{id} cannot be used: {reason}")]
    Unusable {
        /// The repository.
        id: String,
        /// What is missing or wrong, and the remedy.
        reason: String,
    },
    /// The repository holds a model that cannot be computed.
    #[error("{id} cannot be used")]
    Config {
        /// The repository.
        id: String,
        /// What is wrong with its `config.json`.
        #[source]
        source: Box<crate::ModelError>,
    },
    /// Told to stay offline, and the cache is not enough.
    #[error(
        "{id} (revision {revision}) is not complete in the cache {}, and HF_HUB_OFFLINE is set; unset it once to fill \
         the cache, or give a local folder (--model_name DIR, --model_path DIR)",
        cache.display()
    )]
    Offline {
        /// The repository.
        id: String,
        /// The revision.
        revision: String,
        /// The cache.
        cache: PathBuf,
    },
    /// The hub does not answer.
    #[error(
        "cannot reach the hub for {id}, which is not in the cache; check the network, run once where there is one to \
         fill the cache, or give a local folder (--model_name DIR, --model_path DIR)"
    )]
    Network {
        /// The repository.
        id: String,
        /// What the network said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub is in trouble.
    #[error("the hub answers {status} for {id}; try again later: complete files are kept")]
    Server {
        /// The repository.
        id: String,
        /// The HTTP status.
        status: u16,
    },
    /// Something answers that is no hub.
    #[error(
        "what answers for {id} does not speak as a hub does ({reason}); check HF_ENDPOINT and the network's proxy"
    )]
    Answer {
        /// The repository.
        id: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// A download broke off more often than it is tried.
    #[error(
        "the download of {file} of {id} broke off; run the same command again: complete files are kept and this one \
         goes on where it stopped"
    )]
    Interrupted {
        /// The repository.
        id: String,
        /// The file.
        file: String,
        /// What the network said last.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No space left for a download.
    #[error(
        "the disk of {} is full; make room, or put the cache elsewhere with HF_HOME, and run the same command again: \
         complete files are kept",
        path.display()
    )]
    DiskFull {
        /// The cache.
        path: PathBuf,
    },
    /// A file of the cache cannot be read or written.
    #[error("cannot {action} {}; check its rights, or put the cache elsewhere ({variable})", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// The variable that moves this cache.
        variable: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// There is no place for a cache.
    #[error("there is no home folder for downloads; name a folder for them with HF_HOME")]
    NoCache,
    /// The folder for an export is in use.
    #[error("{} exists and is not an empty folder; give a new one", path.display())]
    ExportTarget {
        /// The folder that was given.
        path: PathBuf,
    },
    /// The export cannot be written.
    #[error("cannot write {}; check its rights and the space left, or give another folder", path.display())]
    Export {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn gate(id: &str, page: &str, with_token: bool) -> String {
    if with_token {
        format!(
            "the hub does not give {id} to this token; ask for access on {page} with the token's account, or set \
             HF_TOKEN to a token that may read it"
        )
    } else {
        format!(
            "{id} is gated; ask for access on {page}, then set HF_TOKEN to a token of that account"
        )
    }
}

fn suggestion(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}
