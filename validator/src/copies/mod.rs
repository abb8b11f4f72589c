//! Copies: which submission counts as which earlier one, and why.
//!
//! After an evaluation `watch` makes the submission's fingerprint and compares it with all others of the competition;
//! what isn't independent is stored with its evidence. The row of a fingerprint is written together with its pairs, so a
//! crash only repeats the work. Rules and thresholds are the `copies` crate's; this module finds, stores and shows.

mod compare;
mod view;

pub use crate::db::copies::RankedPair;
pub(crate) use compare::watch;
pub use view::{PairView, pair, pair_anew, relations};

use crate::app::App;
use crate::db::competitions::StoredCompetition;
use crate::db::{Db, DbError};
use crate::heavy::HeavyError;
use crate::materials::MaterialError;
use crate::objects::ObjectError;
use ::copies::{PROBES_DEFAULT, Relation};
use protocol::architecture::ImageShape;
use protocol::{CompetitionId, Digest, SubmissionId};
use std::collections::{BTreeMap, HashMap};

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

/// The seed of a competition's probes, which follows from a secret of the validator's and doesn't give it away.
pub(crate) fn probe_seed(split_key: &[u8; 32]) -> Digest {
    Digest::of(&[b"retort-copies/1 probes".as_slice(), split_key].concat())
}

/// The pixels of the probes of a seed.
pub fn probes(seed: &Digest, input: ImageShape) -> Vec<u8> {
    ::copies::probes(seed.as_bytes(), input, PROBES_DEFAULT)
}

/// Which submissions count as which earlier one. Whoever wasn't compared yet is compared first.
///
/// A miner's own earlier models don't count against it: refining one's own work is no copying.
///
/// # Errors
/// When a comparison or the database fails.
pub async fn copy_of(app: &App, competition: &CompetitionId) -> Result<HashMap<SubmissionId, SubmissionId>, CopyError> {
    compare::catch_up(app, Some(competition)).await?;
    Ok(found_copies(&app.db, competition).await?)
}

/// The same of those that were compared by now, for a reader who doesn't wait.
///
/// # Errors
/// When the database fails.
pub(crate) async fn found_copies(
    db: &Db,
    competition: &CompetitionId,
) -> Result<HashMap<SubmissionId, SubmissionId>, DbError> {
    let (mut sides, mut copies) = (BTreeMap::new(), Vec::new());
    for (relation, later, earlier) in db.between_owners(competition).await? {
        if matches!(relation, Relation::Copy(_)) {
            copies.push((later.arrival, earlier.arrival));
            sides.extend([later, earlier].map(|side| (side.arrival, side)));
        }
    }
    let heads = ::copies::clusters(&sides.keys().copied().collect(), &copies);
    let counts = heads.iter().filter_map(|(member, head)| Some((sides.get(member)?, sides.get(head)?)));
    // Who was copied and goes on with an own model looks like the copier's, and copies nobody.
    let counts = counts.filter(|(later, original)| later.hotkey != original.hotkey);
    Ok(counts.map(|(later, original)| (later.submission.clone(), original.submission.clone())).collect())
}

/// The probes of a stored competition.
pub(crate) fn probes_of(stored: &StoredCompetition) -> Vec<u8> {
    probes(&probe_seed(&stored.split_key), stored.competition.manifest.input.shape())
}
