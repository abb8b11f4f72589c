//! Replay protection: the hotkeys and nonces that were accepted lately, in bounded memory.
//!
//! It does NOT read the clock and does not outlive the process. After a restart, [`NonceWindow::after_restart`] keeps
//! requests that the last process accepted from being accepted again.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use super::btauth::{AuthError, Policy, VerifiedRequest};
use super::hotkey::Hotkey;

/// How long a nonce is remembered by default; more than the default policy's 12 s, so that a clock that is set back a
/// little opens nothing.
const RETENTION_NS: u64 = 60_000_000_000;

/// The verified requests of the last minute, each accepted once.
///
/// Anyone can make hotkeys, so give it requests of hotkeys that are known, or limit the others first: when it is full
/// it refuses instead of forgetting.
#[derive(Debug)]
pub struct NonceWindow {
    /// Ordered by nonce, so that the oldest are at the front.
    seen: BTreeSet<(u64, Hotkey)>,
    entries_max: usize,
    retention_ns: u64,
    allowed_skew_ns: u64,
    /// Nothing older than this is accepted: it may have been seen and forgotten.
    floor_ns: u64,
}

impl NonceWindow {
    /// A window that remembers at most `entries_max` requests and always longer than `policy` calls a nonce fresh.
    pub fn new(entries_max: usize, policy: &Policy) -> Self {
        let fresh_ns = policy.max_age_ns.saturating_add(policy.allowed_skew_ns);
        Self {
            seen: BTreeSet::new(),
            entries_max,
            retention_ns: fresh_ns.max(RETENTION_NS),
            allowed_skew_ns: policy.allowed_skew_ns,
            floor_ns: 0,
        }
    }

    /// Refuses every nonce that a process before this one, which stopped by `started_ns`, may have accepted.
    #[must_use]
    pub fn after_restart(mut self, started_ns: u64) -> Self {
        self.floor_ns = started_ns.saturating_add(self.allowed_skew_ns).saturating_add(1);
        self
    }

    /// Accepts a verified request once.
    pub fn accept(&mut self, request: &VerifiedRequest, now_ns: u64) -> Result<(), AuthError> {
        let VerifiedRequest { hotkey, nonce_ns } = *request;
        self.forget(now_ns.saturating_sub(self.retention_ns));
        if nonce_ns < self.floor_ns {
            return Err(AuthError::StaleRequest { nonce_ns, now_ns });
        }
        if self.seen.contains(&(nonce_ns, hotkey)) {
            return Err(AuthError::ReplayedRequest { hotkey, nonce_ns });
        }
        if self.seen.len() >= self.entries_max {
            return Err(AuthError::NonceWindowFull { entries: self.seen.len() });
        }
        self.seen.insert((nonce_ns, hotkey));
        Ok(())
    }

    /// How many requests are remembered.
    pub fn entries(&self) -> usize {
        self.seen.len()
    }

    /// Drops the nonces before `horizon_ns` and raises the floor above what was dropped, so that a clock that is set
    /// back can't make a forgotten nonce fresh again.
    fn forget(&mut self, horizon_ns: u64) {
        while let Some(&(nonce_ns, _)) = self.seen.first()
            && nonce_ns < horizon_ns
        {
            self.seen.pop_first();
            self.floor_ns = self.floor_ns.max(nonce_ns.saturating_add(1));
        }
    }
}
