//! A validator's HTTP API from the miner's side: typed calls, signed where the API asks for it.
//!
//! Blocking, since a command line has nothing else to do. Downloads are verified against their digest; a validator's
//! problem answers become errors with their code and hint. A validator that is too busy is asked again when it says so,
//! if that is soon. One whose clock differs from ours is signed for by its own: whose is wrong doesn't matter to it.

mod address;
mod error;
#[cfg(test)]
mod tests;
mod transport;

pub use address::{LOCAL, address};
pub use error::ClientError;

use crate::files::PackageFiles;
use bytes::Bytes;
use protocol::api::{
    AppealRequest, AppealView, CompetitionView, Leaderboard, NameRequest, SubmissionCreated, SubmissionRequest,
    SubmissionStatus, TokenCreated, TokenRequest,
};
use protocol::auth::Keypair;
use protocol::competition::ObjectRef;
use protocol::digest::Hasher;
use protocol::name::DisplayName;
use protocol::submission::State;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use reqwest::StatusCode;
use reqwest::blocking::Client as Http;
use reqwest::header::{CONTENT_TYPE, LINK};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

/// How long a request may take before its connection counts as lost; uploads have no such limit.
const TIMEOUT: Duration = Duration::from_secs(60);

/// JSON answers larger than this are not believed.
const JSON_BYTES_MAX: u64 = 16 << 20;

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
    pub fn bring(&self, path: &str, bytes: &Bytes) -> Result<(), ClientError> {
        self.send(|| self.http.put(self.url(path)).body(bytes.clone())).map(drop)
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
}
