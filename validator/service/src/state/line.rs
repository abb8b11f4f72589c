//! The last look at who waits for a turn. It does not know in what order turns come.

use protocol::SubmissionId;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// What a look at the whole line found. Many ask, so it is kept for a moment.
#[derive(Clone, Debug, Default)]
pub struct Foreseen {
    /// The first queued submissions, in the order in which their turns come if nobody else does.
    pub order: Vec<SubmissionId>,
    /// How many are queued.
    pub waiting: usize,
    /// How many are evaluated.
    pub evaluating: usize,
}

/// The last look at the line.
#[derive(Debug, Default)]
pub struct LastLook(pub Mutex<Option<(Instant, Arc<Foreseen>)>>);
