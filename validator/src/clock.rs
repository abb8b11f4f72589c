//! The clock: the system's, or one that a test holds still and moves.
//!
//! It does not sleep; waiting is tokio's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const NS_PER_S: u64 = 1_000_000_000;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// Nanoseconds since 1970 that stand still until [`Clock::advance`].
    Fixed(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `unix_seconds`.
    pub fn fixed(unix_seconds: u64) -> Self {
        Self::Fixed(Arc::new(AtomicU64::new(unix_seconds * NS_PER_S)))
    }

    /// Nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            Self::Fixed(now_ns) => now_ns.load(Ordering::SeqCst),
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.now_ns() / NS_PER_S
    }

    /// Moves a fixed clock on; the system's goes by itself.
    pub fn advance(&self, seconds: u64) {
        if let Self::Fixed(now_ns) = self {
            now_ns.fetch_add(seconds * NS_PER_S, Ordering::SeqCst);
        }
    }
}
