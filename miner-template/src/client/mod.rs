//! A validator's HTTP API from the miner's side: typed calls, signed where the API asks for it.
//!
//! Blocking, since a command line has nothing else to do. Downloads are verified against their digest; a validator's
//! problem answers become errors with their code and hint. A validator that is too busy is asked again when it says so,
//! if that is soon. One whose clock differs from ours is signed for by its own: whose is wrong doesn't matter to it.

mod address;
mod error;

pub use address::{LOCAL, address};
pub use error::ClientError;
use error::{strange, typed_at, unreachable};

use crate::files::PackageFiles;
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use protocol::api::{
    AppealRequest, AppealView, CompetitionView, Leaderboard, NameRequest, Problem, SubmissionCreated,
    SubmissionRequest, SubmissionStatus, TokenCreated, TokenRequest, Upload,
};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::competition::ObjectRef;
use protocol::digest::Hasher;
use protocol::name::DisplayName;
use protocol::submission::State;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use reqwest::StatusCode;
use reqwest::blocking::{Body, Client as Http, RequestBuilder, Response};
use reqwest::header::{CONTENT_TYPE, DATE, LINK, RETRY_AFTER};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a request may take before its connection counts as lost; uploads have no such limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// JSON answers larger than this are not believed.
const JSON_BYTES_MAX: u64 = 16 << 20;

/// How long a validator that is too busy is waited for: at one time, and how many times.
const WAIT_MAX: Duration = Duration::from_secs(60);

const WAITS_MAX: u32 = 5;

/// What a validator answers to a request that was signed by another clock than its own.
const STALE: &str = "stale_request";

/// A clock that differs by more isn't believed.
const AHEAD_SECONDS_MAX: i64 = 2 * 24 * 3_600;

/// What `/healthz` says about whom requests are signed for.
#[derive(serde::Deserialize)]
struct Ready {
    validator: Hotkey,
}

/// A connection to one validator.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: Http,
    /// By how many seconds the validator's clock is ahead of ours, once it has refused a signature for that.
    ahead_seconds: Arc<AtomicI64>,
}

/// What an announcement may say beside what it announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcing {
    /// A code of the operator that lets a hotkey in, where one is needed.
    pub invite: Option<String>,
    /// What the model is called there.
    pub name: Option<DisplayName>,
}

/// A package that was sent, or was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The submission.
    pub id: SubmissionId,
    /// Whether it wasn't entered before this.
    pub is_new: bool,
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
    /// A client of the validator at `base`, as [`address`] reads it; what that refuses is asked as it stands, and fails.
    pub fn new(base: &str) -> Self {
        Self {
            base: address(base).unwrap_or_else(|_| base.to_owned()),
            http: Http::builder().timeout(None).build().unwrap_or_default(),
            ahead_seconds: Arc::default(),
        }
    }

    /// Splits `http://HOST/competitions/ID` into a client and the competition's name.
    ///
    /// # Errors
    /// When the address has another form.
    pub fn for_competition(address: &str) -> Result<(Self, CompetitionId), ClientError> {
        let wrong = || ClientError::Address(address.to_owned());
        // What a page's address carries beside it means nothing.
        let address = address.split(['?', '#']).next().unwrap_or_default().trim();
        let (base, id) = address.trim_end_matches('/').rsplit_once("/competitions/").ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        Ok((Self::new(base), id))
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

    /// A list that comes in pages, at most `most` of its items.
    ///
    /// # Errors
    /// When the validator can't be reached.
    pub fn list<T: DeserializeOwned>(&self, path: &str, most: usize) -> Result<Vec<T>, ClientError> {
        let (mut all, mut next) = (Vec::new(), Some(self.url(path)));
        while let Some(url) = next.filter(|_| all.len() < most) {
            let response = self.send(|| self.http.get(&url).timeout(TIMEOUT))?;
            // The next page is named relative to the validator.
            let link = response.headers().get(LINK).and_then(|value| value.to_str().ok()?.split_once('<'));
            next = link.and_then(|(_, rest)| Some(self.url(rest.split_once('>')?.0)));
            all.extend(self.json::<Vec<T>>(response)?);
        }
        all.truncate(most);
        Ok(all)
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

    /// Downloads an object that may be large into a file without a name, and verifies it.
    ///
    /// # Errors
    /// When it can't be had or isn't what its digest says.
    pub fn object_file(&self, object: &ObjectRef) -> Result<File, ClientError> {
        let mut file = tempfile::tempfile()?;
        self.download(&format!("/api/v1/objects/sha256/{}", object.sha256), object, &mut file)?;
        Ok(file)
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
        with: &Announcing,
        keypair: &Keypair,
        uploaded: &(impl Fn(u64) + Clone + Send + Sync + 'static),
    ) -> Result<Entered, ClientError> {
        let receiver = self.competition(competition)?.validator;
        let (competition, files) = (competition.clone(), package.declarations());
        let Announcing { invite, name } = with.clone();
        let request = SubmissionRequest { competition, files, invite, name };
        let created: SubmissionCreated = self.post("/api/v1/submissions", &request, keypair, &receiver)?;
        for upload in &created.uploads {
            let bytes =
                package.iter().find(|(path, _)| *path == upload.path).map(|(_, bytes)| Bytes::from(bytes.to_vec()));
            self.upload(upload, &bytes.unwrap_or_default(), uploaded)?;
        }
        let is_new = !created.uploads.is_empty() || created.state == State::AwaitingUpload;
        if is_new {
            let path = format!("/api/v1/submissions/{}/complete", created.id);
            let _: serde_json::Value = self.post(&path, &serde_json::json!({}), keypair, &receiver)?;
        }
        Ok(Entered { id: created.id, is_new })
    }

    /// A token that submits for the key's hotkey, for clients that can't sign, such as `hf upload`.
    ///
    /// # Errors
    /// When the validator refuses or can't be reached.
    pub fn token(&self, request: &TokenRequest, keypair: &Keypair) -> Result<TokenCreated, ClientError> {
        self.post("/api/v1/tokens", request, keypair, &self.receiver()?)
    }

    /// Says what the key's hotkey is called.
    ///
    /// # Errors
    /// When the name is another's, the validator refuses or can't be reached.
    pub fn call(&self, request: &NameRequest, keypair: &Keypair) -> Result<NameRequest, ClientError> {
        self.post("/api/v1/names", request, keypair, &self.receiver()?)
    }

    /// Takes back a submission of the key's hotkey that isn't measured yet.
    ///
    /// # Errors
    /// When it is too late, the validator refuses or can't be reached.
    pub fn withdraw(&self, id: &SubmissionId, keypair: &Keypair) -> Result<SubmissionStatus, ClientError> {
        self.post(&format!("/api/v1/submissions/{id}/withdraw"), &serde_json::Map::new(), keypair, &self.receiver()?)
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
        self.post(&format!("/api/v1/submissions/{id}/appeal"), request, keypair, &self.receiver()?)
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
        self.send(request).map(drop).map_err(|error| match error {
            ClientError::Strange { at, status, .. } => {
                ClientError::Strange { at, status, sent_bytes: Some(bytes.len() as u64) }
            }
            error => error,
        })
    }

    /// Whom signed requests to this validator name.
    ///
    /// # Errors
    /// When it can't be reached.
    pub fn receiver(&self) -> Result<Hotkey, ClientError> {
        self.get("/healthz").map(|Ready { validator }| validator)
    }

    /// Whatever the validator answers to a request that `keypair` signs for it; `None` where that is nothing.
    ///
    /// # Errors
    /// When the validator refuses or can't be reached.
    pub fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        (keypair, receiver): (&Keypair, &Hotkey),
    ) -> Result<Option<T>, ClientError> {
        let response = self.post_signed(path, body, keypair, receiver)?;
        if response.status() == StatusCode::NO_CONTENT { Ok(None) } else { self.json(response).map(Some) }
    }

    /// Downloads a file that may be large, and verifies it.
    ///
    /// # Errors
    /// When it can't be had or isn't what its digest says.
    pub fn download(&self, path: &str, object: &ObjectRef, file: &mut File) -> Result<(), ClientError> {
        let response = self.send(|| self.http.get(self.url(path)))?;
        let mut hasher = Hasher::default();
        let mut body = response.take(object.size_bytes.saturating_add(1));
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = body.read(&mut buffer)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            file.write_all(bytes)?;
        }
        let found = hasher.finish();
        if found == object.sha256 { Ok(()) } else { Err(ClientError::Corrupt { expected: object.sha256, found }) }
    }

    /// Brings bytes to an address of the validator's.
    ///
    /// # Errors
    /// When it refuses them or can't be reached.
    pub fn bring(&self, path: &str, bytes: Bytes) -> Result<(), ClientError> {
        self.send(|| self.http.put(self.url(path)).body(bytes.clone())).map(drop)
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
        self.json(self.post_signed(path, body, keypair, receiver)?)
    }

    fn post_signed(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        keypair: &Keypair,
        receiver: &Hotkey,
    ) -> Result<Response, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.into()))?;
        // Signed anew at each try: a nonce is good for one.
        let request = || {
            let ahead_ns = i128::from(self.ahead_seconds.load(Ordering::Relaxed)) * 1_000_000_000;
            let nonce_ns = u64::try_from(unix_ns() + ahead_ns);
            let headers = sign_request(
                keypair,
                &OutgoingRequest {
                    method: "POST",
                    target: path,
                    body_sha256: Digest::of(&body),
                    receiver: Some(*receiver),
                    nonce_ns: nonce_ns.unwrap_or_default(),
                },
            );
            let request = self.http.post(self.url(path)).timeout(TIMEOUT).header("content-type", "application/json");
            let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            request.body(body.clone())
        };
        match self.send(request) {
            Err(ClientError::Problem(problem)) if problem.code == STALE => {
                if !self.take_its_time()? {
                    return Err(ClientError::Problem(problem));
                }
                self.send(request)
            }
            sent => sent,
        }
    }

    /// Asks the validator what time it is, for signatures from here on; whether that makes a difference.
    fn take_its_time(&self) -> Result<bool, ClientError> {
        let response = self.send(|| self.http.get(self.url("/healthz")).timeout(TIMEOUT))?;
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()?.parse::<httpdate::HttpDate>().ok());
        let its = date.and_then(|date| SystemTime::from(date).duration_since(UNIX_EPOCH).ok());
        let Some(its) = its else { return Ok(false) };
        let ahead = (its.as_nanos() as i128 - unix_ns()).div_euclid(1_000_000_000);
        let ahead = i64::try_from(ahead).unwrap_or(i64::MAX);
        let believed = ahead.unsigned_abs() <= AHEAD_SECONDS_MAX.unsigned_abs();
        Ok(believed && self.ahead_seconds.swap(ahead, Ordering::Relaxed) != ahead)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends what `request` makes, again when the validator is too busy and says when to come back.
    fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ClientError> {
        let send = || -> Result<_, ClientError> {
            let (client, request) = request().build_split();
            let request = request.map_err(|error| unreachable(&self.base, &error))?;
            let sent_bytes = request.body().and_then(|body| Some(body.as_bytes()?.len() as u64));
            Ok((client.execute(request).map_err(|error| unreachable(&self.base, &error))?, sent_bytes))
        };
        let (mut response, mut sent_bytes) = send()?;
        for _ in 0..WAITS_MAX {
            let Some(wait) = asked_to_wait(&response).filter(|wait| *wait <= WAIT_MAX) else { break };
            std::thread::sleep(wait);
            (response, sent_bytes) = send()?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().clone(), response.status());
        let body = self.body(response, JSON_BYTES_MAX)?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(mut problem) => {
                problem.hint = typed_at(&self.base, &problem.hint);
                Err(ClientError::Problem(Box::new(problem)))
            }
            Err(_) => Err(strange(&url, status, sent_bytes)),
        }
    }

    fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let (url, status) = (response.url().clone(), response.status());
        let body = self.body(response, JSON_BYTES_MAX)?;
        serde_json::from_slice(&body).map_err(|_| strange(&url, status, None))
    }

    /// Reads at most `bytes_max` bytes (and one more, so that a longer body doesn't pass for a shorter one).
    fn body(&self, response: Response, bytes_max: u64) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        response.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Nanoseconds since 1970 by our clock.
fn unix_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as i128)
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
    fn hints_ask_the_validator_that_was_asked() {
        let hint =
            "`retort competitions` lists them, as GET /api/v1/competitions does; `retort keys new FILE` makes a key.";
        let typed = typed_at("http://h:1", hint);
        assert!(typed.starts_with("`retort competitions --validator http://h:1` lists them"), "{typed}");
        assert!(typed.ends_with("`retort keys new FILE` makes a key."), "{typed}");
        assert_eq!(typed_at(LOCAL, hint), "`retort competitions` lists them; `retort keys new FILE` makes a key.");
    }

    #[test]
    fn a_busy_validator_is_asked_again_when_it_says_so() {
        let busy = answer("429 Too Many Requests", "retry-after: 1\r\n", "{}");
        let client = Client::new(&answering(vec![busy, answer("200 OK", "", "[7]")]));
        let began = Instant::now();
        assert_eq!(client.get_json::<Vec<u32>>("/").unwrap(), [7]);
        assert!(began.elapsed() >= Duration::from_secs(1), "it waited as it was told");
    }

    /// A validator an hour ahead of this machine, which says so in its `Date`, and holds signatures against its own clock.
    fn an_hour_ahead(differs_seconds: i64) -> (String, std::thread::JoinHandle<Vec<i64>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let mut ages = Vec::new();
            while ages.last().is_none_or(|age: &i64| !(-1..10).contains(age)) && ages.len() < 3 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
                let now = unix_ns() + i128::from(differs_seconds) * 1_000_000_000;
                let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_nanos(now as u64));
                let nonce = head.lines().find_map(|line| line.strip_prefix("x-bittensor-nonce: "));
                let age = nonce.map(|nonce| ((now - nonce.trim().parse::<i128>().unwrap()) / 1_000_000_000) as i64);
                ages.extend(age);
                let stale = r#"{"type":"/problems/stale_request","title":"t","status":401,"code":"stale_request","detail":"d","hint":"h"}"#;
                let (status, body) = match age {
                    Some(age) if !(-1..10).contains(&age) => ("401 Unauthorized", stale),
                    _ => ("200 OK", "7"),
                };
                stream.write_all(answer(status, &format!("date: {date}\r\n"), body).as_bytes()).unwrap();
            }
            ages
        });
        (address, serving)
    }

    #[test]
    fn a_validator_whose_clock_differs_is_signed_for_by_its_own() {
        for differs in [3_600, -3_600, 15, -5] {
            let (base, serving) = an_hour_ahead(differs);
            let keypair = Keypair::from_seed(&[1; 32]);
            let answered: u32 = Client::new(&base).post("/api/v1/x", &7, &keypair, &keypair.hotkey()).unwrap();
            let ages = serving.join().unwrap();
            assert_eq!((answered, ages.len()), (7, 2), "{differs}: {ages:?}");
            assert!((ages[0] - differs).abs() <= 1, "{ages:?}");
        }
    }

    #[test]
    fn a_long_wait_is_left_to_the_miner() {
        let tomorrow = answer("429 Too Many Requests", "retry-after: 86400\r\n", "no");
        let client = Client::new(&answering(vec![tomorrow]));
        let refused = client.get_json::<Vec<u32>>("/").unwrap_err();
        assert!(matches!(refused, ClientError::Strange { status: 429, .. }), "{refused}");
    }

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        let written = ["http://127.0.0.1:7070", "127.0.0.1:7070", " http://127.0.0.1:7070/ ", "localhost:7070/"];
        let read = written.map(|base| Client::new(base).base().to_owned());
        let same = "http://127.0.0.1:7070";
        assert_eq!(read, [same, same, same, "http://localhost:7070"]);
        for (written, read) in [
            ("", LOCAL),
            ("  ", LOCAL),
            ("HTTP://h:1", "http://h:1"),
            ("http://h:1/competitions/digits", "http://h:1"),
            ("h:1/competitions/digits/rounds/2?x=1", "http://h:1"),
            ("https://h/retort/submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV/report", "https://h/retort"),
            ("h:1/hf", "http://h:1"),
            ("h:1/hf/", "http://h:1"),
            ("h:1/api/v1", "http://h:1"),
            ("https://h/arena", "https://h/arena"),
            ("https://h/arena/api/v1/competitions/x", "https://h/arena"),
            ("h:1/arena/digits/tree/main", "http://h:1"),
            ("h:1/datasets/arena/digits", "http://h:1"),
            ("h:1?x", "http://h:1"),
            ("h:1/#y", "http://h:1"),
            ("::1", "http://[::1]"),
            ("[::1]:7070", "http://[::1]:7070"),
            ("http://::1/", "http://[::1]"),
            ("[::1]", "http://[::1]"),
            ("fe80::1", "http://[fe80::1]"),
            ("2001:db8:0:1:2:3:4:5", "http://[2001:db8:0:1:2:3:4:5]"),
            ("2001:db8::a:b", "http://[2001:db8::a:b]"),
            // Too much for a group, or a group too many: only a port is left.
            ("::1:17171", "http://[::1]:17171"),
            ("https://2001:db8:0:1:2:3:4:5:7070/competitions/x", "https://[2001:db8:0:1:2:3:4:5]:7070"),
            ("http:7070", "http://http:7070"),
        ] {
            assert_eq!(address(written).as_deref(), Ok(read), "{written:?}");
        }
        for (written, says) in [
            ("http:/127.0.0.1:7070", "write http://127.0.0.1:7070"),
            ("http://::1:7171", "write [::1]:7171, or [::1:7171] if"),
            ("::1:7171/competitions/digits", "write [::1]:7171"),
            ("2001:db8::1:7070", "write [2001:db8::1]:7070"),
            ("[::1:7070", "write http://HOST:PORT"),
            ("https:127.0.0.1", "write https://127.0.0.1"),
            ("ftp://h", "write http://"),
            ("http://", "write http://HOST:PORT"),
            ("h:port", "write http://HOST:PORT"),
            ("h h", "write http://HOST:PORT"),
        ] {
            let refused = address(written).unwrap_err();
            assert!(refused.contains(says), "{written:?}: {refused}");
        }
        for address in ["http://h:1/a/competitions/digits?fbclid=x", "h:1/a/competitions/digits/#board"] {
            let (client, id) = Client::for_competition(address).unwrap();
            assert_eq!((client.base(), id.to_string()), ("http://h:1/a", "digits".to_owned()));
        }
    }

    #[test]
    fn who_can_t_be_reached_may_have_been_asked_in_another_way() {
        let plain = answering(vec![answer("400 Bad Request", "", "no")]);
        let host = plain.trim_start_matches("http://");
        let wrong = Client::new(&format!("https://{host}")).get_json::<u32>("/").unwrap_err().to_string();
        assert!(wrong.contains(&format!("write http://{host}")) && !wrong.contains("InvalidContentType"), "{wrong}");
        // Nobody listens at port 80 of this address of the machine's own.
        let portless = Client::new("127.9.9.9/retort").get_json::<u32>("/").unwrap_err().to_string();
        assert!(portless.contains("http://127.9.9.9:7070/retort"), "{portless}");
        let with_port = Client::new("127.9.9.9:9").get_json::<u32>("/").unwrap_err().to_string();
        assert!(!with_port.contains("7070"), "{with_port}");
    }

    #[test]
    fn what_a_proxy_says_is_told_with_what_to_do_and_without_tokens() {
        let page = |status: &str| answer(status, "", "<html>nginx</html>");
        let base = answering(vec![page("413 Request Entity Too Large"), page("502 Bad Gateway"), page("200 OK")]);
        let client = Client::new(&base);
        let url = "/api/v1/uploads/secret-token?x=secret".to_owned();
        let upload =
            Upload { path: "model.safetensors".into(), url, method: "PUT".into(), headers: Vec::new(), expires_at: 0 };
        let refused = client.upload(&upload, &Bytes::from(vec![0; 1_587]), &|_| {}).unwrap_err().to_string();
        assert!(
            refused.contains("refuses bodies of 1587 bytes") && refused.contains("client_max_body_size"),
            "{refused}"
        );
        assert!(refused.contains("/api/v1/uploads/…") && !refused.contains("secret"), "{refused}");
        let away = client.get_json::<u32>("/").unwrap_err();
        assert!(away.is_passing() && away.to_string().contains("can't reach it"), "{away}");
        let other = client.get_json::<u32>("/").unwrap_err();
        assert!(!other.is_passing() && other.to_string().contains("the address of a validator?"), "{other}");
        let nobody = Client::new("127.0.0.1:9").get_json::<u32>("/").unwrap_err();
        assert_eq!(nobody.to_string().matches("refused").count(), 1, "{nobody}");
        assert!(nobody.is_passing());
    }
}
