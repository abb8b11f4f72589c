//! What is done at once: places for each class of requests, so that no class takes the places of another.
//!
//! Whoever finds no place is told to come back instead of waiting, since a queue of requests only grows. It knows paths
//! only as far as it takes to tell the classes apart.

use super::places::Places;
use crate::config::ServiceLimits;
use http::{HeaderMap, Method};
use protocol::auth::HEADER_SIGNATURE;

/// Checks of health and metrics at once.
const WATCHES_MAX: u64 = 8;

/// Packages that come file by file and wait for parts, at once.
const DRAFTS_MAX: u64 = 64;

/// What a request costs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whether we are alive: answered whatever else goes on.
    Watch,
    /// Reads only, whatever its method.
    Read,
    /// Bytes of a file, which have places of their own.
    Upload,
    /// An answer that doesn't end: it has a place of its own for as long as it lasts.
    Stream,
    /// A signature to check, a transaction to write.
    Write,
}

impl Class {
    /// The class of a request.
    pub(crate) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        match path {
            "/healthz" | "/readyz" | "/metrics" => Self::Watch,
            path if path.starts_with("/api/v1/uploads/") => Self::Upload,
            path if *method == Method::POST && is_commit(path) => Self::Upload,
            "/api/v1/events" => Self::Stream,
            _ if headers.contains_key(HEADER_SIGNATURE) => Self::Write,
            path if *method == Method::POST && asks_only(path) => Self::Read,
            _ if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) => Self::Read,
            _ => Self::Write,
        }
    }
}

/// Whether a request brings a package by the Hub protocol: `/api/models/{namespace}/{name}/commit/{revision}`.
fn is_commit(path: &str) -> bool {
    is_about_a_repository(path, "commit")
}

/// Whether a POST is a question, as the Hub protocol has some: what they ask for is in their body.
fn asks_only(path: &str) -> bool {
    path == "/api/validate-yaml" || is_about_a_repository(path, "paths-info")
}

/// `/api/{models|datasets}/{namespace}/{name}/{what}/…`
fn is_about_a_repository(path: &str, what: &str) -> bool {
    let rest = path.strip_prefix("/api/models/").or_else(|| path.strip_prefix("/api/datasets/"));
    rest.is_some_and(|rest| rest.split('/').nth(2) == Some(what))
}

/// The places of each class.
pub(crate) struct Budgets {
    /// For health and metrics.
    pub(super) watches: Places,
    /// For requests that only read.
    pub(super) reads: Places,
    /// For requests that change something, once it is known who sent them.
    pub(crate) writes: Places,
    /// For files that are coming.
    pub(crate) uploads: Places,
    /// For answers that don't end.
    pub(crate) streams: Places,
    /// For packages that wait for parts.
    pub(crate) drafts: Places,
}

impl Budgets {
    pub(super) fn new(limits: &ServiceLimits) -> Self {
        Self {
            watches: Places::new(WATCHES_MAX),
            reads: Places::new(limits.reads_max),
            writes: Places::new(limits.writes_max),
            uploads: Places::new(limits.uploads_max),
            streams: Places::new(limits.streams_max),
            drafts: Places::new(DRAFTS_MAX),
        }
    }

    /// Places that are taken now: what for, how many, of how many.
    pub(super) fn taken(&self) -> [(&'static str, u64, u64); 5] {
        [
            ("uploads", &self.uploads),
            ("reads", &self.reads),
            ("writes", &self.writes),
            ("streams", &self.streams),
            ("drafts", &self.drafts),
        ]
        .map(|(what, places)| (what, places.taken(), places.places_max()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_only_asks_is_a_read_and_what_is_signed_is_none() {
        let (mut signed, unsigned) = (HeaderMap::new(), HeaderMap::new());
        signed.insert(HEADER_SIGNATURE, HeaderValue::from_static("0x00"));
        for (method, path, headers, class) in [
            (Method::GET, "/healthz", &unsigned, Class::Watch),
            (Method::GET, "/", &unsigned, Class::Read),
            (Method::GET, "/api/v1/tokens", &signed, Class::Write),
            (Method::POST, "/api/v1/submissions", &unsigned, Class::Write),
            (Method::PUT, "/api/v1/uploads/x", &unsigned, Class::Upload),
            (Method::PUT, "/api/v1/uploads/x", &signed, Class::Upload),
            (Method::POST, "/api/models/arena/digits/commit/main", &unsigned, Class::Upload),
            (Method::POST, "/api/models/arena/digits/preupload/main", &unsigned, Class::Write),
            (Method::POST, "/api/models/arena/digits/paths-info/main", &unsigned, Class::Read),
            (Method::POST, "/api/datasets/arena/digits/paths-info/main", &unsigned, Class::Read),
            (Method::POST, "/api/validate-yaml", &unsigned, Class::Read),
            (Method::GET, "/api/v1/events", &unsigned, Class::Stream),
        ] {
            assert_eq!(Class::of(&method, path, headers), class, "{method} {path}");
        }
    }
}
