//! Somebody with a key and a socket: real signatures, and bytes exactly as they are written, which no client puts right.
//!
//! It knows the API's messages and no attack.

use super::hall::{Hall, PATIENCE, until};
use super::package::Package;
use crate::support::stderr;
use protocol::Digest;
use protocol::api::{SubmissionCreated, SubmissionRequest, SubmissionStatus};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The competition of every hall.
pub(super) const COMPETITION: &str = "fashion-mnist";
/// Where packages are announced.
pub(super) const SUBMISSIONS: &str = "/api/v1/submissions";

/// A header as it is sent.
pub(super) type Header = (&'static str, String);

/// What came back over a socket.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Everything that came over a connection; status 0 where nothing did.
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.text()))
    }

    /// Status and code of a refusal: what a stranger is told.
    pub(super) fn refusal(&self) -> (u16, String) {
        let problem: Value = self.json();
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

/// Sends bytes as they are, and reads until the other side ends it.
pub(super) fn raw(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Whoever is refused early can't send all of it, and the answer may be lost with the rest.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Answer::read(&answer)
}

/// A request with these headers and no others but those that HTTP wants.
pub(super) fn send(address: &str, method: &str, target: &str, headers: &[Header], body: &[u8]) -> Answer {
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n"
    );
    raw(address, &[head.as_bytes(), body].concat())
}

/// A key of one's own and a hall to come to.
pub(super) struct Stranger<'a> {
    pub(super) hall: &'a Hall,
    pub(super) key: Keypair,
}

impl<'a> Stranger<'a> {
    /// Somebody whom nobody has seen before.
    pub(super) fn new(hall: &'a Hall) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Self { hall, key: Keypair::from_seed(&seed) }
    }

    /// The key as a file for the command line.
    pub(super) fn key_file(&self, dir: &Path) -> PathBuf {
        let path = dir.join(self.key.hotkey().to_string());
        if !path.exists() {
            chain::keyfile::create(&path, &self.key).unwrap();
        }
        path
    }

    /// What signing needs, for this hall and this moment.
    pub(super) fn outgoing<'r>(&self, method: &'r str, target: &'r str, body: &[u8]) -> OutgoingRequest<'r> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let nonce_ns = now_ns + COUNTER.fetch_add(1, Ordering::Relaxed);
        OutgoingRequest { method, target, body_sha256: Digest::of(body), receiver: Some(self.hall.validator), nonce_ns }
    }

    pub(super) fn sign(&self, method: &str, target: &str, body: &[u8]) -> Vec<Header> {
        sign_request(&self.key, &self.outgoing(method, target, body))
    }

    /// A signed request.
    pub(super) fn signed(&self, method: &str, target: &str, body: &[u8]) -> Answer {
        send(self.hall.address(), method, target, &self.sign(method, target, body), body)
    }

    pub(super) fn get(&self, target: &str) -> Answer {
        send(self.hall.address(), "GET", target, &[], b"")
    }

    pub(super) fn announce(&self, package: &Package) -> Answer {
        let request = SubmissionRequest {
            competition: COMPETITION.parse().unwrap(),
            files: package.declarations(),
            invite: None,
            name: None,
        };
        self.signed("POST", SUBMISSIONS, &serde_json::to_vec(&request).unwrap())
    }

    pub(super) fn put(&self, url: &str, bytes: &[u8]) -> Answer {
        send(self.hall.address(), "PUT", url, &[], bytes)
    }

    pub(super) fn complete(&self, id: &str) -> Answer {
        self.signed("POST", &format!("{SUBMISSIONS}/{id}/complete"), b"")
    }

    /// Announces, sends and completes, as the honest do; the submission's name.
    pub(super) fn submit(&self, package: &Package) -> String {
        let created: SubmissionCreated = self.announce(package).json();
        for upload in &created.uploads {
            let sent = self.put(&upload.url, package.file(&upload.path));
            assert_eq!(sent.status, 204, "{}", sent.text());
        }
        let id = created.id.to_string();
        let completed = self.complete(&id);
        assert_eq!(completed.status, 202, "{}", completed.text());
        id
    }

    pub(super) fn status(&self, id: &str) -> SubmissionStatus {
        self.get(&format!("{SUBMISSIONS}/{id}")).json()
    }

    /// How a submission ended.
    pub(super) fn end(&self, id: &str) -> SubmissionStatus {
        let ended = until(PATIENCE, || Some(self.status(id)).filter(|status| status.state.is_terminal()));
        ended.unwrap_or_else(|| panic!("{id} has not ended: {:?}", self.status(id).state))
    }

    /// What everybody sees of this hotkey's submissions, newest first.
    pub(super) fn entered(&self) -> Vec<Value> {
        self.get(&format!("{SUBMISSIONS}?hotkey={}", self.key.hotkey())).json()
    }

    /// `retort miner submit … --unchecked --wait`, as whoever means it: whether it succeeded, and all that the terminal shows.
    pub(super) fn submit_by_command(&self, folder: &Path) -> (bool, String) {
        let key = self.key_file(folder.parent().unwrap()).display().to_string();
        let package = folder.display().to_string();
        let submit = ["miner", "submit", &package, "--hotkey", &key, "--unchecked", "--wait"];
        let output = self.hall.service.run(&submit);
        (output.status.success(), crate::support::stdout(&output) + &stderr(&output))
    }
}
