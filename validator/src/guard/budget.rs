//! What is done at once: places for each class of requests, so that no class takes the places of another.
//!
//! Whoever finds no place is told to come back instead of waiting, since a queue of requests only grows. It knows paths
//! only as far as it takes to tell the classes apart.

use crate::config::ServiceLimits;
use crate::error::ApiError;
use http::Method;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Checks of health and metrics at once.
const WATCHES_MAX: usize = 8;

/// What a request costs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Whether we are alive: answered whatever else goes on.
    Watch,
    /// Reads only.
    Read,
    /// Bytes of a file, which have places of their own.
    Upload,
    /// An answer that doesn't end: it has a place of its own for as long as it lasts.
    Stream,
    /// Changes something: a signature to check, a transaction to write.
    Write,
}

impl Class {
    /// The class of a request.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match path {
            "/healthz" | "/readyz" | "/metrics" => Self::Watch,
            path if path.starts_with("/api/v1/uploads/") => Self::Upload,
            path if *method == Method::POST && is_commit(path) => Self::Upload,
            "/api/v1/events" => Self::Stream,
            _ if *method == Method::GET || *method == Method::HEAD => Self::Read,
            _ => Self::Write,
        }
    }
}

/// Whether a request brings a package by the Hub protocol: `/api/models/{namespace}/{name}/commit/{revision}`.
fn is_commit(path: &str) -> bool {
    let rest = path.strip_prefix("/api/models/");
    rest.is_some_and(|rest| rest.split('/').nth(2) == Some("commit"))
}

/// The places of each class.
pub(crate) struct Budgets {
    watches: Semaphore,
    reads: Semaphore,
    writes: Semaphore,
    streams: Arc<Semaphore>,
    streams_max: usize,
}

impl Budgets {
    pub(super) fn new(limits: &ServiceLimits) -> Self {
        let places =
            |count: u64| Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS));
        Self {
            watches: Semaphore::new(WATCHES_MAX),
            reads: places(limits.reads_max),
            writes: places(limits.writes_max),
            streams: Arc::new(places(limits.streams_max)),
            streams_max: usize::try_from(limits.streams_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
        }
    }

    /// Places that are taken now, by what for.
    pub(super) fn taken(&self, limits: &ServiceLimits) -> [(&'static str, u64, u64); 3] {
        let taken = |max: u64, places: &Semaphore| max.saturating_sub(places.available_permits() as u64);
        [
            ("reads", taken(limits.reads_max, &self.reads), limits.reads_max),
            ("writes", taken(limits.writes_max, &self.writes), limits.writes_max),
            ("streams", self.streams(), limits.streams_max),
        ]
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> u64 {
        self.streams_max.saturating_sub(self.streams.available_permits()) as u64
    }

    /// A place for a stream until it ends.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let full = |_| ApiError::busy("too many listen at once").retry_after(10);
        Arc::clone(&self.streams).try_acquire_owned().map_err(full)
    }

    /// A place for a request of this class until it is answered; uploads take theirs once their token is known, streams
    /// when they begin.
    pub(crate) fn enter(&self, class: Class) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        let places = match class {
            Class::Watch => &self.watches,
            Class::Read => &self.reads,
            Class::Write => &self.writes,
            Class::Upload | Class::Stream => return Ok(None),
        };
        places.try_acquire().map(Some).map_err(|_| ApiError::busy("too many requests at once").retry_after(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_and_reads_have_places_while_writes_have_none() {
        let budgets = Budgets::new(&ServiceLimits { writes_max: 1, reads_max: 2, ..ServiceLimits::default() });
        let class = |method: Method, path: &str| Class::of(&method, path);
        let write = class(Method::POST, "/api/v1/submissions");
        let held = budgets.enter(write).unwrap();
        assert!(budgets.enter(write).is_err());
        let commit = "/api/models/arena/digits/commit/main";
        assert_eq!(class(Method::POST, commit), Class::Upload);
        assert_eq!(class(Method::POST, "/api/models/arena/digits/preupload/main"), Class::Write);
        for (method, path) in [(Method::GET, "/healthz"), (Method::GET, "/"), (Method::PUT, "/api/v1/uploads/x")] {
            assert!(budgets.enter(class(method, path)).is_ok(), "{path}");
        }
        drop(held);
        assert!(budgets.enter(write).is_ok());
    }
}
