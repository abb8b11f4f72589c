//! Honest miners who are cut off at any moment, try again, and remember what they were told.

use super::service::Arena;
use crate::support::{OPERATOR_TOKEN, Package};
use protocol::api::{Problem, SubmissionCreated, SubmissionRequest, SubmissionStatus, Upload};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::submission::State;
use protocol::{Digest, Hotkey, SubmissionId};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use validator::Clock;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The process is gone, or went away before it had answered.
    Gone,
    /// It says no.
    Refused { status: u16, problem: Problem },
}

/// A miner's side of one submission: what it sends, and what it was told.
pub(crate) struct Entry {
    pub(crate) competition: String,
    pub(crate) package: Package,
    /// The announcement was answered with this.
    pub(crate) id: Option<SubmissionId>,
    /// These files were acknowledged.
    pub(crate) uploaded: Vec<String>,
    /// It was answered that the submission is complete.
    pub(crate) completed: bool,
}

/// One hotkey with everything it ever entered.
pub(crate) struct Miner {
    keypair: Keypair,
    http: reqwest::Client,
    validator: Hotkey,
    pub(crate) entries: Vec<Entry>,
    next_seed: u64,
}

impl Miner {
    pub(crate) fn new(number: u64, arena: &Arena) -> Self {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self {
            keypair: Keypair::from_seed(&seed),
            http,
            validator: arena.home.keypair().unwrap().hotkey(),
            entries: Vec::new(),
            next_seed: number << 32,
        }
    }

    /// Enters one package after the other until the service is gone. The last one that wasn't complete is taken up again.
    pub(crate) async fn mine(&mut self, base: &str, competition: &str, widths: &[u32]) {
        loop {
            if self.entries.last().is_none_or(|entry| entry.completed) {
                let seed = self.next_seed();
                let width = widths[seed as usize % widths.len()];
                self.begin(competition, Package::random(&[width], seed));
            }
            match self.go_on(base).await {
                Ok(()) => self.look(base).await,
                Err(Failed::Gone) => return,
                // The competition may not be published yet.
                Err(Failed::Refused { status: 404, .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(refused) => panic!("an honest miner is refused: {refused:?}"),
            }
        }
    }

    /// What makes a package that it never entered.
    pub(crate) fn next_seed(&mut self) -> u64 {
        self.next_seed += 1;
        self.next_seed
    }

    /// Asks a while what becomes of the last entry, so that no queue grows without end.
    async fn look(&self, base: &str) {
        let id = self.entries.last().unwrap().id.as_ref().unwrap();
        for _ in 0..20 {
            let Ok(answer) = self.get(base, &format!("/api/v1/submissions/{id}")).await else { return };
            let status: SubmissionStatus = serde_json::from_slice(&answer).unwrap();
            if status.state.is_terminal() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn begin(&mut self, competition: &str, package: Package) {
        let (competition, uploaded) = (competition.to_owned(), Vec::new());
        self.entries.push(Entry { competition, package, id: None, uploaded, completed: false });
    }

    /// Does what is left of the last entry.
    pub(crate) async fn go_on(&mut self, base: &str) -> Result<(), Failed> {
        let entry = self.entries.last().unwrap();
        let created = self.announce(base, &entry.competition, &entry.package).await?;
        let told = &entry.id;
        assert!(told.as_ref().is_none_or(|id| *id == created.id), "{told:?} is forgotten, and is {} now", created.id);
        for upload in &created.uploads {
            let known = entry.uploaded.contains(&upload.path);
            assert!(!known, "{} of {} is acknowledged and forgotten", upload.path, created.id);
        }
        self.entries.last_mut().unwrap().id = Some(created.id.clone());
        for upload in &created.uploads {
            let entry = self.entries.last().unwrap();
            let (_, bytes) = entry.package.files.iter().find(|(path, _)| *path == upload.path).unwrap();
            self.put(base, upload, bytes.clone()).await?;
            self.entries.last_mut().unwrap().uploaded.push(upload.path.clone());
        }
        let status = self.complete(base, &created.id).await?;
        assert_ne!(status.state, State::AwaitingUpload, "{} is not complete after all", created.id);
        self.entries.last_mut().unwrap().completed = true;
        Ok(())
    }

    pub(crate) async fn announce(
        &self,
        base: &str,
        competition: &str,
        package: &Package,
    ) -> Result<SubmissionCreated, Failed> {
        read(self.announcement(base, competition, package)).await
    }

    /// The same with a key that names the request.
    pub(crate) async fn announce_as(
        &self,
        key: &str,
        base: &str,
        competition: &str,
        package: &Package,
    ) -> Result<SubmissionCreated, Failed> {
        read(self.announcement(base, competition, package).header("idempotency-key", key)).await
    }

    fn announcement(&self, base: &str, competition: &str, package: &Package) -> reqwest::RequestBuilder {
        let request = SubmissionRequest {
            competition: competition.parse().unwrap(),
            files: package.declarations(),
            invite: None,
            name: None,
        };
        self.signed(Method::POST, base, "/api/v1/submissions", serde_json::to_vec(&request).unwrap())
    }

    pub(crate) async fn put(&self, base: &str, upload: &Upload, bytes: Vec<u8>) -> Result<(), Failed> {
        let url = if upload.url.starts_with('/') { format!("{base}{}", upload.url) } else { upload.url.clone() };
        send(self.http.put(url).body(bytes)).await.map(drop)
    }

    pub(crate) async fn complete(&self, base: &str, id: &SubmissionId) -> Result<SubmissionStatus, Failed> {
        read(self.signed(Method::POST, base, &format!("/api/v1/submissions/{id}/complete"), Vec::new())).await
    }

    pub(crate) async fn get(&self, base: &str, target: &str) -> Result<bytes::Bytes, Failed> {
        send(self.http.get(format!("{base}{target}"))).await
    }

    pub(crate) async fn as_operator(&self, base: &str, target: &str) -> Result<bytes::Bytes, Failed> {
        send(self.http.get(format!("{base}{target}")).bearer_auth(OPERATOR_TOKEN)).await
    }

    /// A signed request's answer, as JSON; nothing where there is none.
    pub(crate) async fn ask(
        &self,
        method: Method,
        base: &str,
        target: &str,
        body: Vec<u8>,
    ) -> Result<serde_json::Value, Failed> {
        let answer = send(self.signed(method, base, target, body)).await?;
        Ok(if answer.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&answer).unwrap() })
    }

    fn signed(&self, method: Method, base: &str, target: &str, body: Vec<u8>) -> RequestBuilder {
        let request = OutgoingRequest {
            method: method.as_str(),
            target,
            body_sha256: Digest::of(&body),
            receiver: Some(self.validator),
            nonce_ns: nonce_ns(),
        };
        let headers = sign_request(&self.keypair, &request);
        let request = self.http.request(method, format!("{base}{target}")).body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }
}

/// The time, and never the same twice.
fn nonce_ns() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = Clock::System.now_ns();
    let last = LAST.fetch_max(now, Ordering::SeqCst);
    if last < now { now } else { LAST.fetch_add(1, Ordering::SeqCst) + 1 }
}

async fn read<T: serde::de::DeserializeOwned>(request: RequestBuilder) -> Result<T, Failed> {
    let bytes = send(request).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

/// An answer counts once all of it is here.
async fn send(request: RequestBuilder) -> Result<bytes::Bytes, Failed> {
    let answer = request.send().await.map_err(|_| Failed::Gone)?;
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(|_| Failed::Gone)?;
    if [StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::NO_CONTENT].contains(&status) {
        return Ok(bytes);
    }
    let problem = serde_json::from_slice(&bytes).unwrap();
    Err(Failed::Refused { status: status.as_u16(), problem })
}
