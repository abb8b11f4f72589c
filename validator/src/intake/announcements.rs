//! Announcements whose files aren't all there: each holds a place, among its own kind.
//!
//! They cost nothing to make, so they take no place of those that wait for us. A restart forgets who holds what; what was
//! announced before it ends by its time. It knows no files.

use crate::guard::places::Place;
use protocol::SubmissionId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The places of announcements.
#[derive(Debug, Default)]
pub(crate) struct Announcements(Mutex<HashMap<SubmissionId, (u64, Place)>>);

impl Announcements {
    /// A submission holds its place, until `until` at most.
    pub(super) fn hold(&self, id: &SubmissionId, until: u64, place: Place) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), (until, place));
    }

    /// A submission's files are there, or won't come.
    pub(crate) fn release(&self, id: &SubmissionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// What was announced and whose time is over holds nothing, whatever became of it.
    pub(crate) fn sweep(&self, now: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (until, _)| now < *until);
    }
}
