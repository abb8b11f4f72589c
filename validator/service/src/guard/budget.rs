//! What is done at once: places for each class of requests, so that no class takes the places of another.
//!
//! Whoever finds no place is told to come back instead of waiting, since a queue of requests only grows. It does not know
//! which request is of which class.

use super::places::Places;
use store::config::ServiceLimits;

/// Checks of health and metrics at once.
const WATCHES_MAX: u64 = 8;

/// Packages that come file by file and wait for parts, at once.
const DRAFTS_MAX: u64 = 64;

/// What a request costs us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
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

/// The places of each class.
pub struct Budgets {
    /// For health and metrics.
    pub(super) watches: Places,
    /// For requests that only read.
    pub(super) reads: Places,
    /// For requests that change something, once it is known who sent them.
    pub writes: Places,
    /// For files that are coming.
    pub uploads: Places,
    /// For answers that don't end.
    pub streams: Places,
    /// For packages that wait for parts.
    pub drafts: Places,
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
