//! What is counted while the process runs, beyond the database. It does not know who asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counts since the process started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Responses by the first digit of their status, 1xx to 5xx.
    pub responses: [AtomicU64; 5],
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections closed at once since their address had enough.
    pub refused_connections: AtomicU64,
    /// Connections and requests refused since the operator blocked their network.
    pub blocked: AtomicU64,
    /// Background work that ended and was started again.
    pub restarts: Arc<AtomicU64>,
    /// How often the clock was set, and by how much in all.
    pub clock_jumps: AtomicU64,
    pub clock_jumped_seconds: AtomicI64,
    /// Challenges that webhooks didn't answer.
    pub challenges_unanswered: AtomicU64,
    /// Events that couldn't be delivered to webhooks.
    pub events_undelivered: AtomicU64,
}

impl Counters {
    /// Counts a response with this status.
    pub fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, 5);
        self.responses[class - 1].fetch_add(1, Ordering::Relaxed);
    }
}
