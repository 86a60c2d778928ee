//! A model hub on 127.0.0.1: a few repositories, and the faults that real ones have.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::json;

pub type Files = BTreeMap<String, Vec<u8>>;

/// A repository: its files by revision and commit, and who may read them.
#[derive(Clone, Default)]
pub struct Repo {
    revisions: Vec<(String, String, Files)>,
    /// The token that opens the gate.
    gate: Option<String>,
}

impl Repo {
    /// With one commit on `main`.
    pub fn new(files: Files) -> Self {
        Self::default().revision("main", "c0ffee00", files)
    }

    pub fn revision(mut self, name: &str, commit: &str, files: Files) -> Self {
        self.revisions.push((name.to_owned(), commit.to_owned(), files));
        self
    }

    pub fn gated(self, token: &str) -> Self {
        Self { gate: Some(token.to_owned()), ..self }
    }

    fn find(&self, revision: &str) -> Option<&(String, String, Files)> {
        self.revisions.iter().find(|(name, commit, _)| name == revision || commit == revision)
    }
}

/// What goes wrong from now on.
#[derive(Clone, Default)]
pub struct Faults {
    /// Answers with 503 that are still to come.
    pub busy: usize,
    /// Bodies of this file end after so many bytes, so often.
    pub breaks: Option<(String, usize, usize)>,
    /// Everything is answered with a web page, as some proxies do.
    pub web_page: bool,
    /// A missing repository is answered like this, as the hub does without a token.
    pub missing_is_401: bool,
    /// Answers whose path contains this stop for some seconds: after so many bytes of the body, or before any answer.
    pub stalls: Option<(&'static str, Option<usize>)>,
    /// Headers of answers whose path ends so: set to this, or left out.
    pub headers: Vec<(&'static str, &'static str, Option<String>)>,
}

#[derive(Default)]
struct State {
    repos: BTreeMap<String, Repo>,
    faults: Faults,
    requests: Vec<String>,
    with_token: Vec<String>,
}

/// A hub that runs until the process ends.
pub struct StandIn {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl StandIn {
    pub fn new(repos: impl IntoIterator<Item = (&'static str, Repo)>) -> Self {
        let repos = repos.into_iter().map(|(id, repo)| (id.to_owned(), repo)).collect();
        let state = Arc::new(Mutex::new(State { repos, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shared, own) = (Arc::clone(&state), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, own) = (Arc::clone(&shared), own.clone());
                // A client that goes away is no fault of the hub.
                std::thread::spawn(move || drop(serve(stream, &shared, &own)));
            }
        });
        Self { url, state }
    }

    pub fn faults(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    /// The requests since the last call, as `path range`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl StandIn {
    /// The paths so far that were asked for with a token.
    pub fn with_token(&self) -> Vec<String> {
        self.state.lock().unwrap().with_token.clone()
    }
}

/// The files of a folder.
pub fn files(folder: &Path) -> Files {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    };
    entries.map(read).collect()
}

/// An answer: status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn refusal(status: u16, code: &str) -> Answer {
    (status, vec![("X-Error-Code", code.to_owned())], Vec::new())
}

fn serve(stream: TcpStream, state: &Mutex<State>, own: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { return Ok(()) };
    let (range, token) = (header("range"), header("authorization"));
    let (answer, cut, stall) = {
        let mut state = state.lock().unwrap();
        let text = format!("{path} {}", range.as_deref().unwrap_or_default());
        state.requests.push(text.trim().to_owned());
        if token.is_some() {
            state.with_token.push(path.to_owned());
        }
        let mut answer = state.answer(path, range.as_deref(), token.as_deref(), own);
        for (end, name, value) in &state.faults.headers {
            if path.ends_with(end) && !path.starts_with("/linked/") {
                answer.1.retain(|(header, _)| header != name);
                answer.1.extend(value.clone().map(|value| (*name, value)));
            }
        }
        let cut = state.cut(path, answer.2.len());
        let stall = state.faults.stalls.filter(|(part, _)| path.contains(part));
        (answer, cut, stall.map(|(_, after)| after))
    };
    let pause = || std::thread::sleep(std::time::Duration::from_secs(20));
    if stall == Some(None) {
        pause();
    }
    let (status, headers, body) = answer;
    let mut head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    if let Some(Some(after)) = stall {
        stream.write_all(&body[..after.min(body.len())])?;
        pause();
    }
    stream.write_all(&body[..cut])?;
    stream.flush()
}

impl State {
    /// How much of a body is sent.
    fn cut(&mut self, path: &str, len: usize) -> usize {
        match &mut self.faults.breaks {
            // The question for the size is answered with one byte.
            Some((file, after, times))
                if len > 1 && *times > 0 && path.ends_with(file.as_str()) =>
            {
                *times -= 1;
                len.min(*after)
            }
            _ => len,
        }
    }

    fn answer(
        &mut self,
        path: &str,
        range: Option<&str>,
        token: Option<&str>,
        own: &str,
    ) -> Answer {
        if self.faults.web_page {
            return (200, Vec::new(), b"<html>Please log in</html>".to_vec());
        }
        if self.faults.busy > 0 {
            self.faults.busy -= 1;
            return refusal(503, "");
        }
        let path = path.split('?').next().unwrap_or_default();
        let missing = if self.faults.missing_is_401 { 401 } else { 404 };
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let (id, revision) = rest.split_once("/revision/").unwrap();
            let Some(repo) = self.repos.get(id) else { return refusal(missing, "RepoNotFound") };
            let Some((_, commit, files)) = repo.find(&revision.replace("%2F", "/")) else {
                return refusal(404, "RevisionNotFound");
            };
            let siblings: Vec<_> = files
                .iter()
                .map(|(name, bytes)| json!({ "rfilename": name, "size": bytes.len() }))
                .collect();
            let body = json!({ "id": id, "sha": commit, "siblings": siblings });
            return (200, Vec::new(), body.to_string().into());
        }
        let linked = path.starts_with("/linked/");
        let path = path.strip_prefix("/linked").unwrap_or(path).trim_start_matches('/');
        let (id, rest) = path.split_once("/resolve/").unwrap();
        let (revision, name) = rest.split_once('/').unwrap();
        let Some(repo) = self.repos.get(id) else { return refusal(missing, "RepoNotFound") };
        match (&repo.gate, token) {
            (Some(_), None) => return refusal(401, "GatedRepo"),
            (Some(gate), Some(token)) if token != format!("Bearer {gate}") => {
                return refusal(403, "GatedRepo");
            }
            _ => {}
        }
        let Some((_, commit, files)) = repo.find(revision) else {
            return refusal(404, "RevisionNotFound");
        };
        let Some(bytes) = files.get(name) else { return refusal(404, "EntryNotFound") };
        let etag = bytes.iter().fold(7_u64, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let mut headers =
            vec![("ETag", format!("\"{etag:x}\"")), ("X-Repo-Commit", commit.clone())];
        // Large files lie elsewhere.
        if name.ends_with(".safetensors") && !linked {
            headers.push(("X-Linked-ETag", format!("\"{etag:x}\"")));
            headers.push(("Location", format!("{own}/linked/{path}")));
            return (302, headers, Vec::new());
        }
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((from, to)) = range else { return (200, headers, bytes.clone()) };
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(bytes.len(), |last: usize| (last + 1).min(bytes.len()));
        if from >= bytes.len() {
            return refusal(416, "");
        }
        headers.push(("Content-Range", format!("bytes {from}-{}/{}", to - 1, bytes.len())));
        (206, headers, bytes[from..to].to_vec())
    }
}
