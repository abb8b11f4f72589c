//! A validator's HTTP API from the miner's side: typed calls, signed where the API asks for it.
//!
//! Blocking, since a command line has nothing else to do. Downloads are verified against their digest; a validator's
//! problem answers become errors with their code and hint. A validator that is too busy is asked again when it says so,
//! if that is soon.

use crate::files::PackageFiles;
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use protocol::api::{
    AppealRequest, AppealView, CompetitionView, Leaderboard, Problem, SubmissionCreated, SubmissionRequest,
    SubmissionStatus, TokenCreated, TokenRequest, Upload,
};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::competition::ObjectRef;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use reqwest::StatusCode;
use reqwest::blocking::{Body, Client as Http, RequestBuilder, Response};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a request may take before its connection counts as lost; uploads have no such limit.
const TIMEOUT: Duration = Duration::from_secs(60);
/// JSON answers larger than this are not believed.
const JSON_BYTES_MAX: u64 = 16 << 20;

/// How long a validator that is too busy is waited for: at one time, and how many times.
const WAIT_MAX: Duration = Duration::from_secs(60);
const WAITS_MAX: u32 = 5;

/// What `/readyz` says about whom requests are signed for.
#[derive(serde::Deserialize)]
struct Ready {
    validator: Hotkey,
}

/// A connection to one validator.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: Http,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("reach the validator at {base}: {source}; is it running? (`retort validator serve`)")]
    Unreachable {
        /// The address.
        base: String,
        /// Why.
        source: Box<reqwest::Error>,
    },
    /// The validator said no, and why.
    #[error("{} ({}): {}. {}", .0.title, .0.code, .0.detail, .0.hint)]
    Problem(Box<Problem>),
    /// Something that is no validator answered.
    #[error("{url} answered {status}, which is not what a validator says")]
    Strange {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// Bytes that are not those that were promised.
    #[error("object {expected} arrived as {found}: the download is corrupt or the validator lies")]
    Corrupt {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A connection broke in the middle.
    #[error("the connection broke: {0}")]
    Broken(#[from] std::io::Error),
    /// An address that can't be understood.
    #[error("{0} is no address of a competition; write http://HOST:PORT/competitions/ID")]
    Address(String),
}

/// POSTs JSON to somebody who wants to be told, and waits until they took it.
///
/// # Errors
/// When they can't be reached or don't take it.
pub fn tell(url: &str, body: &serde_json::Value) -> Result<(), ClientError> {
    let client = Client::new(url);
    client
        .send(|| client.http.post(url).timeout(TIMEOUT).header(CONTENT_TYPE, "application/json").body(body.to_string()))
        .map(drop)
}

impl Client {
    /// A client of the validator at `base`, such as `http://127.0.0.1:7070`.
    pub fn new(base: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            http: Http::builder().timeout(None).build().unwrap_or_default(),
        }
    }

    /// Splits `http://HOST/competitions/ID` into a client and the competition's name.
    ///
    /// # Errors
    /// When the address has another form.
    pub fn for_competition(address: &str) -> Result<(Self, CompetitionId), ClientError> {
        let wrong = || ClientError::Address(address.to_owned());
        let (base, id) = address.trim_end_matches('/').rsplit_once("/competitions/").ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        Ok((Self::new(base.trim_end_matches("/api/v1")), id))
    }

    /// The validator's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A published competition.
    ///
    /// # Errors
    /// When it doesn't exist or the validator can't be reached.
    pub fn competition(&self, id: &CompetitionId) -> Result<CompetitionView, ClientError> {
        self.get(&format!("/api/v1/competitions/{id}"))
    }

    /// The board.
    ///
    /// # Errors
    /// When the competition doesn't exist or the validator can't be reached.
    pub fn leaderboard(&self, id: &CompetitionId) -> Result<Leaderboard, ClientError> {
        self.get(&format!("/api/v1/competitions/{id}/leaderboard"))
    }

    /// The board as CSV, as the validator writes it.
    ///
    /// # Errors
    /// When the competition doesn't exist or the validator can't be reached.
    pub fn leaderboard_csv(&self, id: &CompetitionId) -> Result<String, ClientError> {
        let path = format!("/api/v1/competitions/{id}/leaderboard.csv");
        let bytes = self.body(self.send(|| self.http.get(self.url(&path)).timeout(TIMEOUT))?, JSON_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Where a submission is.
    ///
    /// # Errors
    /// When it doesn't exist or the validator can't be reached.
    pub fn status(&self, id: &SubmissionId) -> Result<SubmissionStatus, ClientError> {
        self.get(&format!("/api/v1/submissions/{id}"))
    }

    /// Whatever JSON the validator has at `path`.
    ///
    /// # Errors
    /// When nothing is there, it is something else, or the validator can't be reached.
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get(path)
    }

    /// Entries of the validator's ledger from height `from` on, a line each; none beyond the latest.
    ///
    /// # Errors
    /// When the validator can't be reached.
    pub fn ledger(&self, from: u64) -> Result<Vec<u8>, ClientError> {
        let path = format!("/api/v1/ledger?from={from}");
        self.body(self.send(|| self.http.get(self.url(&path)).timeout(TIMEOUT))?, JSON_BYTES_MAX)
    }

    /// Downloads an object and verifies it.
    ///
    /// # Errors
    /// When it can't be had or isn't what its digest says.
    pub fn object(&self, object: &ObjectRef) -> Result<Vec<u8>, ClientError> {
        let path = format!("/api/v1/objects/sha256/{}", object.sha256);
        let bytes = self.body(self.send(|| self.http.get(self.url(&path)))?, object.size_bytes)?;
        let found = Digest::of(&bytes);
        if found == object.sha256 { Ok(bytes) } else { Err(ClientError::Corrupt { expected: object.sha256, found }) }
    }

    /// Submits a package: announces it, uploads what the validator lacks, and completes.
    ///
    /// `uploaded` hears of every byte that has gone out.
    ///
    /// # Errors
    /// When the validator refuses, or a connection breaks; calling again goes on where it stopped.
    pub fn submit(
        &self,
        competition: &CompetitionId,
        package: &PackageFiles,
        keypair: &Keypair,
        uploaded: &(impl Fn(u64) + Clone + Send + Sync + 'static),
    ) -> Result<SubmissionId, ClientError> {
        let receiver = self.competition(competition)?.validator;
        let request = SubmissionRequest { competition: competition.clone(), files: package.declarations() };
        let created: SubmissionCreated = self.post("/api/v1/submissions", &request, keypair, &receiver)?;
        for upload in &created.uploads {
            let bytes =
                package.iter().find(|(path, _)| *path == upload.path).map(|(_, bytes)| Bytes::from(bytes.to_vec()));
            self.upload(upload, &bytes.unwrap_or_default(), uploaded)?;
        }
        if !created.uploads.is_empty() || created.state == protocol::submission::State::AwaitingUpload {
            let path = format!("/api/v1/submissions/{}/complete", created.id);
            let _: serde_json::Value = self.post(&path, &serde_json::json!({}), keypair, &receiver)?;
        }
        Ok(created.id)
    }

    /// A token that submits for the key's hotkey, for clients that can't sign, such as `hf upload`.
    ///
    /// # Errors
    /// When the validator refuses or can't be reached.
    pub fn token(&self, request: &TokenRequest, keypair: &Keypair) -> Result<TokenCreated, ClientError> {
        let Ready { validator } = self.get("/readyz")?;
        self.post("/api/v1/tokens", request, keypair, &validator)
    }

    /// Objects to what became of a submission of the key's hotkey: what was said about it by now.
    ///
    /// # Errors
    /// When the validator refuses or can't be reached.
    pub fn appeal(
        &self,
        id: &SubmissionId,
        request: &AppealRequest,
        keypair: &Keypair,
    ) -> Result<Vec<AppealView>, ClientError> {
        let Ready { validator } = self.get("/readyz")?;
        self.post(&format!("/api/v1/submissions/{id}/appeal"), request, keypair, &validator)
    }

    /// The signed receipt of a scored submission: the very bytes that were signed.
    ///
    /// # Errors
    /// When there is none or the validator can't be reached.
    pub fn receipt(&self, id: &SubmissionId) -> Result<Vec<u8>, ClientError> {
        let path = format!("/api/v1/submissions/{id}/receipt");
        self.body(self.send(|| self.http.get(self.url(&path)).timeout(TIMEOUT))?, JSON_BYTES_MAX)
    }

    /// A file of the validator's public log, of which no more than `bytes_max` and one more are read; `None` if there is
    /// none. Nothing about it is verified.
    ///
    /// # Errors
    /// When the validator can't be reached or can't read its log.
    pub fn log_file(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, ClientError> {
        match self.send(|| self.http.get(self.url(&format!("/log/{path}"))).timeout(TIMEOUT)) {
            Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
            response => Ok(Some(self.body(response?, bytes_max)?)),
        }
    }

    fn upload(
        &self,
        upload: &Upload,
        bytes: &Bytes,
        uploaded: &(impl Fn(u64) + Clone + Send + Sync + 'static),
    ) -> Result<(), ClientError> {
        let url = if upload.url.starts_with('/') { self.url(&upload.url) } else { upload.url.clone() };
        let request = || {
            let counted = Counted { bytes: bytes.clone().reader(), uploaded: uploaded.clone() };
            let headers = upload.headers.iter();
            let request = headers.fold(self.http.put(&url), |request, (name, value)| request.header(name, value));
            request.body(Body::sized(counted, bytes.len() as u64))
        };
        self.send(request).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.send(|| self.http.get(self.url(path)).timeout(TIMEOUT))?)
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        keypair: &Keypair,
        receiver: &Hotkey,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.into()))?;
        // Signed anew at each try: a nonce is good for one.
        let request = || {
            let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
            let headers = sign_request(
                keypair,
                &OutgoingRequest {
                    method: "POST",
                    target: path,
                    body_sha256: Digest::of(&body),
                    receiver: Some(*receiver),
                    nonce_ns: u64::try_from(now_ns).unwrap_or(u64::MAX),
                },
            );
            let request = self.http.post(self.url(path)).timeout(TIMEOUT).header("content-type", "application/json");
            let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            request.body(body.clone())
        };
        self.json(self.send(request)?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends what `request` makes, again when the validator is too busy and says when to come back.
    fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ClientError> {
        let unreachable = |error| ClientError::Unreachable { base: self.base.clone(), source: Box::new(error) };
        let mut response = request().send().map_err(unreachable)?;
        for _ in 0..WAITS_MAX {
            let Some(wait) = asked_to_wait(&response).filter(|wait| *wait <= WAIT_MAX) else { break };
            std::thread::sleep(wait);
            response = request().send().map_err(unreachable)?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().to_string(), response.status().as_u16());
        let body = self.body(response, JSON_BYTES_MAX)?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Strange { url, status }),
        }
    }

    fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let (url, status) = (response.url().to_string(), response.status().as_u16());
        let body = self.body(response, JSON_BYTES_MAX)?;
        serde_json::from_slice(&body).map_err(|_| ClientError::Strange { url, status })
    }

    /// Reads at most `bytes_max` bytes (and one more, so that a longer body doesn't pass for a shorter one).
    fn body(&self, response: Response, bytes_max: u64) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        response.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// How long a validator that is too busy wants to be left alone.
fn asked_to_wait(response: &Response) -> Option<Duration> {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status());
    let seconds = response.headers().get(RETRY_AFTER).filter(|_| busy)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A body that tells how much of it has been read.
struct Counted<F> {
    bytes: Reader<Bytes>,
    uploaded: F,
}

impl<F: Fn(u64)> Read for Counted<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        (self.uploaded)(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::Instant;

    /// A server that gives these answers, one a connection; its address.
    fn answering(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    fn answer(status: &str, retry_after: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\n{retry_after}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }

    #[test]
    fn a_busy_validator_is_asked_again_when_it_says_so() {
        let busy = answer("429 Too Many Requests", "retry-after: 1\r\n", "{}");
        let client = Client::new(&answering(vec![busy, answer("200 OK", "", "[7]")]));
        let began = Instant::now();
        assert_eq!(client.get_json::<Vec<u32>>("/").unwrap(), [7]);
        assert!(began.elapsed() >= Duration::from_secs(1), "it waited as it was told");
    }

    #[test]
    fn a_long_wait_is_left_to_the_miner() {
        let tomorrow = answer("429 Too Many Requests", "retry-after: 86400\r\n", "no");
        let client = Client::new(&answering(vec![tomorrow]));
        let refused = client.get_json::<Vec<u32>>("/").unwrap_err();
        assert!(matches!(refused, ClientError::Strange { status: 429, .. }), "{refused}");
    }
}
