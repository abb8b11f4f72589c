//! Errors in the words that the Hub's clients know: a problem document with `X-Error-Code` beside it.
//!
//! `huggingface_hub` makes `RepositoryNotFoundError`, `RevisionNotFoundError`, `EntryNotFoundError` and `GatedRepoError` of
//! the codes, and shows `X-Error-Message`, which every problem of ours has.

use axum::response::{IntoResponse, Response};
use edge::error::{ApiError, ERROR_MESSAGE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use service::refusal::Refusal;
use std::collections::BTreeMap;
use store::db::DbError;
use store::objects::ObjectError;
use utoipa::IntoResponses;
use utoipa::openapi::{self, HeaderBuilder, RefOr, ResponseBuilder};

/// The commit that an answer is about.
pub(crate) const REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
/// `topic; message`: `hf` prints it, while it keeps to itself what comes with a code.
pub(crate) const WARNING: HeaderName = HeaderName::from_static("x-hf-warning");
/// What clients hear of a file that isn't public yet.
const GATED: &str = "GatedRepo";
/// What takes back that a repository is called so which has nothing yet.
const NOT_GATED: &str = "Nothing is gated here, and no token is missing: ";
/// Clients wait by themselves as long as a 429 says. Nobody wants that for hours.
const WAIT_SECONDS_MAX: u64 = 60;

/// An answer that says why not, to a client of the Hub.
#[derive(Debug)]
pub(crate) struct HubError {
    problem: ApiError,
    code: Option<&'static str>,
    /// The revision that lacks the file: clients remember that it does.
    commit: Option<Box<str>>,
    /// Whether what is missing comes by itself: the champion of a seat that is empty yet.
    comes_later: bool,
}

impl HubError {
    fn not_found(code: &'static str, problem: ApiError) -> Self {
        Self { problem, code: Some(code), commit: None, comes_later: false }
    }

    /// No such repository, or none that the caller may see.
    pub(crate) fn no_repository(what: impl Into<String>) -> Self {
        let hint = "There are arena/<competition>, teachers/<competition>, submissions/<id> and, with data, \
                    datasets/arena/<competition>; `retort competitions` lists the competitions, as GET /api/v1/competitions does.";
        Self::not_found("RepoNotFound", ApiError::new(StatusCode::NOT_FOUND, "unknown_repository", what, hint))
    }

    /// No such revision.
    pub(crate) fn no_revision(what: impl Into<String>, hint: &'static str) -> Self {
        Self::not_found("RevisionNotFound", ApiError::new(StatusCode::NOT_FOUND, "unknown_revision", what, hint))
    }

    /// No such revision yet.
    pub(crate) fn vacant(what: impl Into<String>, hint: &'static str) -> Self {
        Self { comes_later: true, ..Self::no_revision(what, hint) }
    }

    /// A file that isn't public yet. Of this code clients make `GatedRepoError`, and show the message.
    pub(crate) fn withheld(problem: ApiError) -> Self {
        Self::not_found(GATED, problem)
    }

    /// The same for whoever asks: `transformers` makes "not a valid git identifier" of a missing revision and keeps the reason
    /// to itself, which it shows of what isn't open yet, behind words of its own about gates, which ours take back.
    pub(crate) fn to(self, headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        match self.comes_later && agent.contains("transformers/") {
            true => Self { code: Some(GATED), problem: self.problem.led_in_by(NOT_GATED), ..self },
            false => self,
        }
    }

    /// No such file in this revision.
    pub(crate) fn no_entry(path: &str, commit: &str) -> Self {
        let shown: String = path.chars().take(128).collect();
        let hint = "List the files with `hf repos files`, or on the repository's page.";
        let problem = ApiError::new(StatusCode::NOT_FOUND, "unknown_file", format!("there is no file {shown:?}"), hint);
        Self { commit: Some(commit.into()), ..Self::not_found("EntryNotFound", problem) }
    }
}

/// What a repository answers to whoever asks for something that it hasn't.
pub(crate) struct Missing;

impl IntoResponses for Missing {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let description = "`X-Error-Code` is RepoNotFound, RevisionNotFound or EntryNotFound, of which clients make their \
                           own exceptions; `code` is unknown_repository, unknown_revision or unknown_file.";
        let header = HeaderBuilder::new().description(Some("What clients make an exception of.")).build();
        let response = ResponseBuilder::new().description(description).header("X-Error-Code", header);
        BTreeMap::from([(StatusCode::NOT_FOUND.as_str().to_owned(), response.into())])
    }
}

impl IntoResponse for HubError {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        let headers = response.headers_mut();
        if let Some(code) = self.code {
            headers.insert(ERROR_CODE, HeaderValue::from_static(code));
        }
        // Libraries look for files that may well be absent; nobody wants to hear of each.
        let said = headers.get(ERROR_MESSAGE).filter(|_| self.code.is_some() && self.commit.is_none());
        let is_withheld = self.code == Some(GATED) && !self.comes_later;
        let topic: &[u8] = if is_withheld { b"not public yet; " } else { b"not found; " };
        let warning = said.and_then(|said| HeaderValue::from_bytes(&[topic, said.as_bytes()].concat()).ok());
        headers.extend(warning.map(|warning| (WARNING, warning)));
        let commit = self.commit.and_then(|commit| HeaderValue::from_str(&commit).ok());
        headers.extend(commit.map(|commit| (REPO_COMMIT, commit)));
        response
    }
}

impl From<ApiError> for HubError {
    fn from(problem: ApiError) -> Self {
        let problem = problem.without_waiting_beyond(WAIT_SECONDS_MAX);
        Self { problem, code: None, commit: None, comes_later: false }
    }
}

impl From<Refusal> for HubError {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl From<DbError> for HubError {
    fn from(error: DbError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ObjectError> for HubError {
    fn from(error: ObjectError) -> Self {
        ApiError::from(error).into()
    }
}
