//! How requests go out and answers come in: signed anew at each try, sent again when a validator is too busy, by its own clock where ours
//! differs. It does not know what is asked.

use super::error::{strange, typed_at, unreachable};
use super::{Client, ClientError, JSON_BYTES_MAX, TIMEOUT};
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use protocol::api::{Problem, Upload};
use protocol::auth::{Keypair, OutgoingRequest, sign_request};
use protocol::{Digest, Hotkey};
use reqwest::StatusCode;
use reqwest::blocking::{Body, RequestBuilder, Response};
use reqwest::header::{DATE, RETRY_AFTER};
use serde::de::DeserializeOwned;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a validator that is too busy is waited for: at one time, and how many times.
const WAIT_MAX: Duration = Duration::from_secs(60);

const WAITS_MAX: u32 = 5;

/// What a validator answers to a request that was signed by another clock than its own.
const STALE: &str = "stale_request";

/// A clock that differs by more isn't believed.
const AHEAD_SECONDS_MAX: i64 = 2 * 24 * 3_600;

impl Client {
    pub(super) fn upload(
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

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.json(self.send(|| self.http.get(self.url(path)).timeout(TIMEOUT))?)
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        keypair: &Keypair,
        receiver: &Hotkey,
    ) -> Result<T, ClientError> {
        self.json(self.post_signed(path, body, keypair, receiver)?)
    }

    pub(super) fn post_signed(
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

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends what `request` makes, again when the validator is too busy and says when to come back.
    pub(super) fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ClientError> {
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

    pub(super) fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let (url, status) = (response.url().clone(), response.status());
        let body = self.body(response, JSON_BYTES_MAX)?;
        serde_json::from_slice(&body).map_err(|_| strange(&url, status, None))
    }

    /// Reads at most `bytes_max` bytes (and one more, so that a longer body doesn't pass for a shorter one).
    pub(super) fn body(&self, response: Response, bytes_max: u64) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        response.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Nanoseconds since 1970 by our clock.
pub(super) fn unix_ns() -> i128 {
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
