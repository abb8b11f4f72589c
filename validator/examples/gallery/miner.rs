//! A miner of the gallery: one hotkey, real signatures, real requests.

use crate::package::Package;
use protocol::api::{SubmissionCreated, SubmissionRequest, SubmissionStatus};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use reqwest::{Client, Method, Response};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use validator::Clock;

/// One hotkey and where it sends its requests.
pub(crate) struct Miner {
    keypair: Keypair,
    http: Client,
    base: String,
    receiver: Hotkey,
    clock: Clock,
}

impl Miner {
    /// Number `n`; each comes from an address of its own.
    pub(crate) fn new(n: u8, base: &str, receiver: Hotkey, clock: &Clock) -> Self {
        let from = IpAddr::V4(Ipv4Addr::new(127, 3, 0, n.max(1)));
        let http = Client::builder().local_address(from).build().unwrap();
        let keypair = Keypair::from_seed(&[n; 32]);
        Self { keypair, http, base: base.into(), receiver, clock: clock.clone() }
    }

    /// Names what it will send.
    pub(crate) async fn announce(&self, competition: &CompetitionId, package: &Package) -> SubmissionCreated {
        let request = SubmissionRequest {
            competition: competition.clone(),
            files: package.declarations(),
            invite: None,
            name: None,
        };
        self.post("/api/v1/submissions", &serde_json::to_vec(&request).unwrap()).await.json().await.unwrap()
    }

    /// Sends everything and says that it is complete.
    pub(crate) async fn submit(&self, competition: &CompetitionId, package: &Package) -> SubmissionId {
        let created = self.announce(competition, package).await;
        for upload in &created.uploads {
            let (_, bytes) = package.files.iter().find(|(path, _)| *path == upload.path).unwrap();
            let sent = self.http.put(format!("{}{}", self.base, upload.url)).body(bytes.clone()).send().await.unwrap();
            assert!(sent.status().is_success(), "{}", sent.text().await.unwrap());
        }
        self.post(&format!("/api/v1/submissions/{}/complete", created.id), b"").await;
        created.id
    }

    /// Waits until nothing will happen to it any more.
    pub(crate) async fn wait(&self, id: &SubmissionId) -> SubmissionStatus {
        loop {
            let url = format!("{}/api/v1/submissions/{id}", self.base);
            let status: SubmissionStatus = self.http.get(url).send().await.unwrap().json().await.unwrap();
            if status.state.is_terminal() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn post(&self, target: &str, body: &[u8]) -> Response {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let request = OutgoingRequest {
            method: "POST",
            target,
            body_sha256: Digest::of(body),
            receiver: Some(self.receiver),
            nonce_ns: self.clock.now_ns() + COUNTER.fetch_add(1, Ordering::Relaxed) % 1_000_000_000,
        };
        let mut sent = self.http.request(Method::POST, format!("{}{target}", self.base)).body(body.to_vec());
        for (name, value) in sign_request(&self.keypair, &request) {
            sent = sent.header(name, value);
        }
        let answer = sent.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        answer
    }
}
