//! Packages that come file by file: what `upload_file` sends, one commit each.
//!
//! A commit whose summary says that it uploads one file, as the clients' `upload_file` writes it, is a part. Parts wait
//! for each other for a while, in files without a name; a restart forgets them. Whatever is no part is a whole package,
//! and an error where it isn't. Each holds a place, so that nobody's takes another's. It does not know what a package needs.

use protocol::{CompetitionId, Hotkey};
use service::guard::places::Place;
use std::sync::{Arc, Mutex, PoisonError};
use store::objects::Spooled;

/// How long the parts of a package may be apart.
pub(crate) const SECONDS_MAX: u64 = 600;

/// The packages that wait for parts.
#[derive(Clone, Default)]
pub struct Drafts(Arc<Mutex<Vec<Draft>>>);

struct Draft {
    of: (Hotkey, CompetitionId),
    files: Vec<(String, Spooled)>,
    until: u64,
    /// Among all that wait.
    place: Place,
}

impl Drafts {
    /// The parts that came so far, which don't wait any more, and their place; none where they are too old.
    pub(crate) fn take(&self, of: &(Hotkey, CompetitionId), now: u64) -> Option<(Vec<(String, Spooled)>, Place)> {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.retain(|draft| now < draft.until);
        let found = drafts.iter().position(|draft| draft.of == *of)?;
        let Draft { files, place, .. } = drafts.swap_remove(found);
        Some((files, place))
    }

    /// Lets parts wait for more.
    pub(crate) fn keep(&self, of: (Hotkey, CompetitionId), files: Vec<(String, Spooled)>, place: Place, now: u64) {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.push(Draft { of, files, until: now.saturating_add(SECONDS_MAX), place });
    }
}
