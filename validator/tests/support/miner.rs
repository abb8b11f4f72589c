//! A miner with a hotkey: signs, announces, uploads and asks.

use super::{Package, TestApp, validator_hotkey};
use protocol::api::{Problem, SubmissionCreated, SubmissionRequest, SubmissionStatus, Upload};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::name::DisplayName;
use protocol::{Digest, Hotkey, SubmissionId};
use reqwest::{Method, Response, StatusCode};
use std::sync::atomic::{AtomicU64, Ordering};
use validator::Clock;

/// One hotkey and where it sends its requests.
pub(crate) struct Miner {
    pub(crate) keypair: Keypair,
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
    clock: Clock,
}

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) problem: Problem,
}

impl Miner {
    pub(crate) fn new(seed: u8, app: &TestApp) -> Self {
        Self::with(Keypair::from_seed(&[seed; 32]), reqwest::Client::new(), app)
    }

    /// One with this key and these connections.
    pub(crate) fn with(keypair: Keypair, http: reqwest::Client, app: &TestApp) -> Self {
        Self { keypair, http, base: app.url(""), clock: app.app.clock.clone() }
    }

    pub(crate) fn hotkey(&self) -> Hotkey {
        self.keypair.hotkey()
    }

    /// A nonce that was never used: the clock's time and a counter below it.
    pub(crate) fn nonce(&self) -> u64 {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        self.clock.wall_ns() + COUNTER.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn sign(&self, method: &str, target: &str, body: &[u8]) -> Vec<(&'static str, String)> {
        let request = OutgoingRequest {
            method,
            target,
            body_sha256: Digest::of(body),
            receiver: Some(validator_hotkey()),
            nonce_ns: self.nonce(),
        };
        sign_request(&self.keypair, &request)
    }

    /// A signed POST.
    pub(crate) async fn post(&self, target: &str, body: Vec<u8>) -> Response {
        let headers = self.sign("POST", target, &body);
        self.send(Method::POST, target, &headers, body).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Response {
        let mut request = self.http.request(method, format!("{}{target}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn announce(&self, competition: &str, package: &Package) -> Result<SubmissionCreated, Refusal> {
        self.announce_as(competition, package, None).await
    }

    /// What it announces with.
    pub(crate) fn request(&self, competition: &str, package: &Package) -> SubmissionRequest {
        let (competition, files) = (competition.parse().unwrap(), package.declarations());
        SubmissionRequest { competition, files, invite: None, name: None }
    }

    /// Announces a package under a name, or none.
    pub(crate) async fn announce_as(
        &self,
        competition: &str,
        package: &Package,
        name: Option<DisplayName>,
    ) -> Result<SubmissionCreated, Refusal> {
        let request = SubmissionRequest { name, ..self.request(competition, package) };
        let body = serde_json::to_vec(&request).unwrap();
        read(self.post("/api/v1/submissions", body).await, &[StatusCode::CREATED, StatusCode::OK]).await
    }

    pub(crate) async fn put(&self, upload: &Upload, bytes: Vec<u8>) -> Result<(), Refusal> {
        let url = if upload.url.starts_with('/') { format!("{}{}", self.base, upload.url) } else { upload.url.clone() };
        let mut request = self.http.put(url).body(bytes);
        for (name, value) in &upload.headers {
            request = request.header(name, value);
        }
        // A bucket says 200.
        accept(request.send().await.unwrap(), &[StatusCode::NO_CONTENT, StatusCode::OK]).await.map(drop)
    }

    pub(crate) async fn upload_all(&self, created: &SubmissionCreated, package: &Package) -> Result<(), Refusal> {
        for upload in &created.uploads {
            let (_, bytes) = package.files.iter().find(|(path, _)| *path == upload.path).unwrap();
            self.put(upload, bytes.clone()).await?;
        }
        Ok(())
    }

    pub(crate) async fn complete(&self, id: &SubmissionId) -> Result<SubmissionStatus, Refusal> {
        let target = format!("/api/v1/submissions/{id}/complete");
        read(self.post(&target, Vec::new()).await, &[StatusCode::ACCEPTED]).await
    }

    pub(crate) async fn withdraw(&self, id: &SubmissionId) -> Result<SubmissionStatus, Refusal> {
        read(self.post(&format!("/api/v1/submissions/{id}/withdraw"), Vec::new()).await, &[StatusCode::OK]).await
    }

    /// Announces, uploads and completes.
    pub(crate) async fn submit(&self, package: &Package) -> Result<SubmissionId, Refusal> {
        self.submit_to("digits", package).await
    }

    /// Enters a package into a competition.
    pub(crate) async fn submit_to(&self, competition: &str, package: &Package) -> Result<SubmissionId, Refusal> {
        let created = self.announce(competition, package).await?;
        self.upload_all(&created, package).await?;
        self.complete(&created.id).await?;
        Ok(created.id)
    }

    pub(crate) async fn status(&self, id: &SubmissionId) -> SubmissionStatus {
        let response = self.get(&format!("/api/v1/submissions/{id}")).await;
        response.json().await.unwrap()
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.http.get(format!("{}{target}", self.base)).send().await.unwrap()
    }
}

/// The answer's body, if its status is one of `expected`; otherwise the problem that it must then hold.
pub(crate) async fn accept(response: Response, expected: &[StatusCode]) -> Result<Response, Refusal> {
    let status = response.status();
    if expected.contains(&status) {
        return Ok(response);
    }
    let kind = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert_eq!(kind.unwrap(), "application/problem+json", "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.kind, format!("/problems/{}", problem.code));
    assert!(!problem.hint.is_empty() && !problem.detail.is_empty());
    Err(Refusal { status: status.as_u16(), problem })
}

async fn read<T: serde::de::DeserializeOwned>(response: Response, expected: &[StatusCode]) -> Result<T, Refusal> {
    Ok(accept(response, expected).await?.json().await.unwrap())
}
