//! GET requests to the hub. Redirects are followed here, so that the token goes to the hub's own address alone; every
//! wait has an end.

use std::path::PathBuf;

use hf_hub::Cache;
use hf_hub::api::sync::ApiBuilder;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use crate::source::options::without_secret;
use crate::source::{HubOptions, SourceError};

/// Redirects that a request may meet.
const REDIRECTS: usize = 5;

/// A hub, and how it is asked.
pub(super) struct Client {
    agent: Agent,
    address: Uri,
    /// The address as text, without a slash at its end.
    pub(super) endpoint: String,
    token: Option<String>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    /// Whether the hub itself says so, and not a host that it sent us to.
    pub(super) from_hub: bool,
    /// The hub's own tag for the file's content, as it stands in the header.
    pub(super) etag: Option<String>,
    /// The commit that the hub names.
    pub(super) commit: Option<String>,
}

/// Why there is no answer.
pub(super) enum Refusal {
    /// What was said makes no sense.
    Answer(&'static str),
    /// The network failed.
    Network(ureq::Error),
}

/// The address that `hf-hub` takes by default; empty, and so refused, if it has none.
fn public_endpoint() -> String {
    // `<endpoint>/<id>/resolve/<revision>/<file>`; no request is made for it.
    let url = |api: hf_hub::api::sync::Api| api.model("owner/name".to_owned()).url("file");
    let url = ApiBuilder::from_cache(Cache::new(PathBuf::new())).build().map(url);
    let url = url.unwrap_or_default();
    url.split_once("/owner/name/").map_or_else(String::new, |(endpoint, _)| endpoint.to_owned())
}

impl Client {
    /// # Errors
    /// The endpoint is no address, or the token is no token.
    pub(super) fn new(hub: &HubOptions) -> Result<Self, SourceError> {
        if hub.token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(SourceError::Token);
        }
        let endpoint = hub.endpoint.clone().unwrap_or_else(public_endpoint);
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let address = endpoint.parse::<Uri>().ok().filter(|address| {
            let plain = |authority: &str| !authority.contains('@');
            is_web(address)
                && address.query().is_none()
                && address.authority().is_some_and(|it| plain(it.as_str()))
        });
        let Some(address) = address else {
            return Err(SourceError::Endpoint { endpoint: without_secret(&endpoint) });
        };
        let config = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(hub.stall))
            .timeout_recv_response(Some(hub.stall))
            .timeout_per_read(Some(hub.stall))
            .user_agent(concat!("sft/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().into(), address, endpoint, token: hub.token.clone() })
    }

    /// Asks for what is at a path below the endpoint, without its first `from` bytes if the server can do so.
    pub(super) fn get(&self, path: &str, from: u64) -> Result<Answer, Refusal> {
        let url = format!("{}/{path}", self.endpoint);
        let mut url: Uri = url.parse().map_err(|_| Refusal::Answer("a path is no address"))?;
        let (mut linked, mut commit) = (None, None);
        for _ in 0..=REDIRECTS {
            let from_hub = same_origin(&url, &self.address);
            let response = self.call(&url, from, from_hub).map_err(Refusal::Network)?;
            let headers = response.headers();
            let says = |name| text(headers, name).filter(|_| from_hub);
            // The hub tells the tag of what it redirects to; a plain tag is of the answer itself.
            linked = linked.or_else(|| says("x-linked-etag"));
            commit = commit.or_else(|| says("x-repo-commit"));
            if !matches!(response.status().as_u16(), 301..=303 | 307 | 308) {
                let etag = linked.or_else(|| says("etag"));
                return Ok(Answer { response, from_hub, etag, commit });
            }
            let location = text(response.headers(), "location");
            let target = location.and_then(|location| joined(&url, &location));
            url = target.ok_or(Refusal::Answer("it redirects to no address"))?;
            if self.address.scheme_str() == Some("https") && url.scheme_str() != Some("https") {
                return Err(Refusal::Answer("it redirects to an address that is not encrypted"));
            }
        }
        Err(Refusal::Answer("it redirects without end"))
    }

    fn call(&self, url: &Uri, from: u64, from_hub: bool) -> Result<Response<Body>, ureq::Error> {
        // Compressed, a part could not be continued.
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| from_hub) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.call()
    }
}

/// A header that is text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

fn is_web(address: &Uri) -> bool {
    matches!(address.scheme_str(), Some("http" | "https"))
        && address.host().is_some_and(|host| !host.is_empty())
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |address: &Uri| {
        let usual = if address.scheme_str() == Some("https") { 443 } else { 80 };
        address.port_u16().unwrap_or(usual)
    };
    let host = |address: &Uri| address.host().map(str::to_ascii_lowercase);
    a.scheme() == b.scheme() && host(a) == host(b) && port(a) == port(b)
}

/// Where a redirect leads; `None`: nowhere.
fn joined(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    absolute.parse().ok().filter(is_web)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_public_endpoint() {
        let endpoint = public_endpoint();
        assert!(endpoint.starts_with("https://") && !endpoint.contains("owner"), "{endpoint}");
    }

    #[test]
    fn redirects_are_absolute_or_relative() {
        let base: Uri = "https://hub.test/a/b?c=d".parse().unwrap();
        for (location, target) in [
            ("http://other.test/x", "http://other.test/x"),
            ("//other.test/x", "https://other.test/x"),
            ("/x?y=z", "https://hub.test/x?y=z"),
            ("x", "https://hub.test/a/x"),
            ("/x?to=http:/y", "https://hub.test/x?to=http:/y"),
        ] {
            assert_eq!(joined(&base, location).unwrap(), target.parse::<Uri>().unwrap());
        }
        assert!(joined(&base, "file:///etc/passwd").is_none());
        let same = |a: &str, b: &str| same_origin(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("https://Hub.test/x", "https://hub.test:443/y"));
        for other in ["http://hub.test", "https://hub.test:8443", "https://hub.test.evil"] {
            assert!(!same(other, "https://hub.test"), "{other}");
        }
    }

    #[test]
    fn a_bad_endpoint_is_named_without_its_password() {
        for bad in ["hub.test", "ftp://hub.test", "http://", "https://me:secret@hub.test", "a b@c"]
        {
            let hub = HubOptions { endpoint: Some(bad.into()), ..HubOptions::default() };
            let error = Client::new(&hub).err().unwrap().to_string();
            assert!(error.contains("HF_ENDPOINT") && !error.contains("secret"), "{error}");
            assert!(!format!("{hub:?}").contains("secret"));
        }
    }
}
