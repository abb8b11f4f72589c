//! Copies: which submission counts as which earlier one, and why.
//!
//! After an evaluation `watch` makes the submission's fingerprint and compares it with the competition's entries 0 (its
//! teacher, its reference, what its manifest lists as known) and with all other submissions of every competition with the
//! same inputs and labels; what isn't independent is stored with its evidence. The row of a fingerprint is written together
//! with its pairs, so a crash only repeats the work. What models say of a round's fresh items is compared by [`on_fresh_items`].
//! Rules and thresholds are the `copies` crate's; this module finds, stores and shows.

mod compare;
mod entries;
mod fresh;
mod kin;
mod view;

pub use compare::watch;
pub use entries::EntryError;
pub use entries::{EntryPrints, store as store_entries};
pub use fresh::{FreshAnswers, on_fresh_items};
pub use kin::{revealed_probe_seed, shared_probe_seed};
pub use store::db::copies::{EntryZero, RankedPair};
pub use view::{EntriesView, EntryView, PairView, entries_of, pair, pair_anew, relations};

use crate::app::App;
use crate::heavy::HeavyError;
use crate::refusal::Refusal;
use crate::state::materials::MaterialError;
use ::copies::{PROBES_DEFAULT, Relation};
use protocol::architecture::ImageShape;
use protocol::{CompetitionId, Digest, SubmissionId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use store::db::{Db, DbError};
use store::objects::ObjectError;

/// Why submissions could not be compared. What was not done stays due.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// A package isn't there.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A stored fingerprint can't be read.
    #[error("a stored fingerprint: {0}")]
    Fingerprint(#[from] ::copies::FingerprintError),
    /// Another pair is being compared.
    #[error("another pair is being compared")]
    Busy,
    /// A thread failed.
    #[error(transparent)]
    Thread(#[from] HeavyError),
}

impl From<CopyError> for Refusal {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Busy => Self::busy("another pair is being compared"),
            CopyError::Db(error) => error.into(),
            CopyError::Objects(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

/// The pixels of the probes of a seed.
pub fn probes(seed: &Digest, input: ImageShape) -> Vec<u8> {
    ::copies::probes(seed.as_bytes(), input, PROBES_DEFAULT)
}

/// What a copy counts as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Original {
    /// Somebody else's submission that came earlier, in this competition or in one with the same inputs and labels.
    Submission(SubmissionId),
    /// The competition's teacher or its reference.
    Entry(EntryZero),
}

impl Original {
    /// The submission, if it is one.
    pub fn submission(self) -> Option<SubmissionId> {
        match self {
            Self::Submission(id) => Some(id),
            Self::Entry(_) => None,
        }
    }
}

impl fmt::Display for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submission(id) => id.fmt(f),
            Self::Entry(entry) => write!(f, "the {entry}"),
        }
    }
}

/// Which submissions of a competition count as what. Whoever was announced before this moment and wasn't compared yet is
/// compared first.
///
/// A miner's own earlier models don't count against it: refining one's own work is no copying.
///
/// # Errors
/// When a comparison or the database fails.
pub async fn copy_of(
    app: &App,
    competition: &CompetitionId,
    announced_before: u64,
) -> Result<HashMap<SubmissionId, Original>, CopyError> {
    // Those of other competitions too: an earlier one there may be the original.
    compare::catch_up(app, announced_before).await?;
    Ok(found_copies(&app.db, competition).await?)
}

/// The same of those that were compared by now, for a reader who doesn't wait.
///
/// # Errors
/// When the database fails.
pub async fn found_copies(db: &Db, competition: &CompetitionId) -> Result<HashMap<SubmissionId, Original>, DbError> {
    let mut found = copies_of_submissions(db, competition).await?;
    for (submission, entry, relation) in db.entry_pairs(competition).await? {
        if matches!((entry, relation), (EntryZero::Teacher | EntryZero::Reference, Relation::Copy(_))) {
            // Entries 0 came before everybody.
            found.insert(submission, Original::Entry(entry));
        }
    }
    Ok(found)
}

async fn copies_of_submissions(
    db: &Db,
    competition: &CompetitionId,
) -> Result<HashMap<SubmissionId, Original>, DbError> {
    let (mut sides, mut copies) = (BTreeMap::new(), Vec::new());
    for (relation, later, earlier) in db.between_owners(&kin::of(db, competition).await?).await? {
        if matches!(relation, Relation::Copy(_)) {
            copies.push((later.arrival, earlier.arrival));
            sides.extend([later, earlier].map(|side| (side.arrival, side)));
        }
    }
    let heads = ::copies::clusters(&sides.keys().copied().collect(), &copies);
    let counts = heads.iter().filter_map(|(member, head)| Some((sides.get(member)?, sides.get(head)?)));
    // Who was copied and goes on with an own model looks like the copier's, and copies nobody.
    let counts = counts.filter(|(later, head)| later.hotkey != head.hotkey && later.competition == *competition);
    Ok(counts.map(|(later, head)| (later.submission.clone(), Original::Submission(head.submission.clone()))).collect())
}
