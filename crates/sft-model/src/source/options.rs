//! What decides where models are looked for.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a name becomes a folder.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// Branch, tag or commit of a model on the hub; `None`: `main`.
    pub revision: Option<String>,
    /// Folders that may hold what is unpacked, the first that can be written being used.
    pub cache_dirs: Vec<PathBuf>,
    /// The hub.
    pub hub: HubOptions,
}

impl SourceOptions {
    /// As the environment says.
    pub fn from_env() -> Self {
        let own = user_cache().map(|dir| dir.join("sft"));
        Self {
            revision: None,
            cache_dirs: own.into_iter().chain([temporary_cache()]).collect(),
            hub: HubOptions::from_env(),
        }
    }
}

/// An address for a message: without a user's name and password, and on one line.
pub(super) fn without_secret(address: &str) -> String {
    let shown = match address.rsplit_once('@') {
        Some((_, host)) => format!("(hidden)@{host}"),
        None => address.to_owned(),
    };
    shown.escape_debug().to_string()
}

/// How the hub is reached. `Debug` does not show the token, nor a password in the endpoint.
#[derive(Clone)]
pub struct HubOptions {
    /// Where the hub answers; `None`: the public one.
    pub endpoint: Option<String>,
    /// Sent with each request.
    pub token: Option<String>,
    /// Folder of the downloaded repositories; `None`: nothing can be fetched.
    pub cache: Option<PathBuf>,
    /// Take models from the cache alone.
    pub offline: bool,
    /// How often a download that breaks off is tried.
    pub attempts: usize,
    /// Pause before the second attempt; each later one is twice as long.
    pub retry_wait: Duration,
    /// How long the hub may send nothing before a connection counts as broken.
    pub stall: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            endpoint: None,
            token: None,
            cache: None,
            offline: false,
            attempts: 4,
            retry_wait: Duration::from_secs(1),
            stall: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint.as_deref().map(without_secret))
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("cache", &self.cache)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// From the variables that the hub's own tools read: `HF_ENDPOINT`, `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`,
    /// `HF_TOKEN_PATH`, `HF_HOME` (with its file `token`), `HF_HUB_CACHE`, `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        Self::from_variables(&variable)
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")));
            cache.map(|dir| dir.join("huggingface"))
        });
        let token_file = variable("HF_TOKEN_PATH").map(PathBuf::from);
        let token_file = token_file.or_else(|| home.as_ref().map(|home| home.join("token")));
        let token = variable("HF_TOKEN")
            .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file?).ok())
            .map(|token| token.trim().to_owned());
        let offline = variable("HF_HUB_OFFLINE").map(|text| text.to_lowercase());
        let cache = variable("HF_HUB_CACHE").map(PathBuf::from);
        Self {
            endpoint: variable("HF_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
            token: token.filter(|token| !token.is_empty()),
            cache: cache.or_else(|| home.map(|home| home.join("hub"))),
            offline: offline.is_some_and(|text| ["1", "true", "yes", "on"].contains(&&*text)),
            ..Self::default()
        }
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// A folder for this user among the temporary files of all.
fn temporary_cache() -> PathBuf {
    let plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(variable).filter(plain);
    env::temp_dir().join(user.map_or("sft".into(), |user| format!("sft-{user}")))
}

/// The folder for what programs of this user keep and could make again.
fn user_cache() -> Option<PathBuf> {
    let xdg = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    xdg.or_else(|| {
        if cfg!(windows) {
            return variable("LOCALAPPDATA").map(PathBuf::from);
        }
        let own = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
        Some(env::home_dir()?.join(own))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_variables(&|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_decides() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "from-home\n").unwrap();
        std::fs::write(dir.path().join("other"), "from-path").unwrap();
        let home = dir.path().to_str().unwrap();
        let other = dir.path().join("other");

        let options = with(&[("HF_HOME", home)]);
        assert_eq!(options.cache, Some(dir.path().join("hub")));
        assert_eq!(options.token.as_deref(), Some("from-home"));
        assert!(!options.offline && options.endpoint.is_none());

        let path = ("HF_TOKEN_PATH", other.to_str().unwrap());
        assert_eq!(with(&[("HF_HOME", home), path]).token.as_deref(), Some("from-path"));
        let old = ("HUGGING_FACE_HUB_TOKEN", "old");
        assert_eq!(with(&[("HF_HOME", home), path, old]).token.as_deref(), Some("old"));
        let new = ("HF_TOKEN", " new ");
        assert_eq!(with(&[("HF_HOME", home), path, old, new]).token.as_deref(), Some("new"));

        let options = with(&[
            ("HF_HUB_CACHE", "cache"),
            ("HF_HUB_OFFLINE", "True"),
            ("HF_ENDPOINT", "http://127.0.0.1:1/"),
        ]);
        assert_eq!(options.cache, Some("cache".into()));
        assert!(options.offline && !with(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn the_token_is_not_shown() {
        let options = with(&[("HF_TOKEN", "hf_secret")]);
        assert!(!format!("{options:?}").contains("secret"));
    }
}
