//! Wakes background work before its time. It does not know what wakes, nor who is woken.

use std::sync::atomic::AtomicU64;
use tokio::sync::Notify;

/// Wakes background work before its time.
#[derive(Debug, Default)]
pub struct Signals {
    /// A submission became complete.
    pub check: Notify,
    /// A submission was admitted or returned to the queue, or something else was asked.
    pub queue: Notify,
    /// Something that a round or a publication asked came to an end.
    pub answered: Notify,
    /// There is something to state in the public log.
    pub log: Notify,
    /// The job engine's worker takes nothing although there is work.
    pub stalled: Notify,
    /// A submission was scored.
    pub scored: Notify,
    /// Something happened that people watch for.
    pub feed: Notify,
    /// When an evaluation was last begun or seen under way, in Unix seconds; at first, when the work began.
    pub busy_at: AtomicU64,
}
