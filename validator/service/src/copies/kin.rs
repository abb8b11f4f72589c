//! Competitions whose models can be laid side by side: those with the same inputs and labels.
//!
//! While they run they share the seed of their probes, so that errors can be compared from one to the other, as long as
//! their teacher is the same.

use protocol::competition::Manifest;
use protocol::nulls::Nulls;
use protocol::{CompetitionId, Digest};
use std::collections::HashMap;
use store::db::competitions::StoredCompetition;
use store::db::{Db, DbError};

fn is_kin(a: &Manifest, b: &Manifest) -> bool {
    (a.task, &a.input, &a.labels) == (b.task, &b.input, &b.labels)
}

/// The competition and its kin; nothing if there is no such competition.
pub(super) async fn of(db: &Db, competition: &CompetitionId) -> Result<Vec<CompetitionId>, DbError> {
    let all = db.competitions().await?;
    let manifests = || all.iter().map(|stored| &stored.competition.manifest);
    let Some(this) = manifests().find(|manifest| manifest.id == *competition) else { return Ok(Vec::new()) };
    Ok(manifests().filter(|other| is_kin(this, other)).map(|other| other.id.clone()).collect())
}

/// What the competition of the later one of two submissions states of honest students: their likeness is judged by it.
pub(super) async fn nulls(db: &Db, later: &CompetitionId) -> Result<Option<Nulls>, DbError> {
    Ok(db.competition(later).await?.and_then(|stored| stored.competition.manifest.nulls))
}

/// What each of these competitions states, for whoever compares with all of their submissions.
pub(super) async fn all_nulls(
    db: &Db,
    competitions: &[CompetitionId],
) -> Result<HashMap<CompetitionId, Nulls>, DbError> {
    let mut stated = HashMap::new();
    for competition in competitions {
        if let Some(nulls) = nulls(db, competition).await? {
            stated.insert(competition.clone(), nulls);
        }
    }
    Ok(stated)
}

/// The seed of the probes of a competition of the same kind that isn't over, for a new one to share.
pub async fn shared_probe_seed(db: &Db, manifest: &Manifest, now: u64) -> Result<Option<Digest>, DbError> {
    for stored in db.competitions().await? {
        if is_kin(&stored.competition.manifest, manifest) && !is_over(db, &stored, now).await? {
            return Ok(Some(stored.probe_seed));
        }
    }
    Ok(None)
}

/// The seed of a competition's probes, once it and all that share it are over.
pub async fn revealed_probe_seed(db: &Db, stored: &StoredCompetition, now: u64) -> Result<Option<Digest>, DbError> {
    if !is_over(db, stored, now).await? {
        return Ok(None);
    }
    for other in db.competitions().await? {
        if other.probe_seed == stored.probe_seed && !is_over(db, &other, now).await? {
            return Ok(None);
        }
    }
    Ok(Some(stored.probe_seed))
}

/// Whether nothing that is still to come could make use of the competition's secrets: it takes no submissions, and its
/// last round is revealed.
async fn is_over(db: &Db, stored: &StoredCompetition, now: u64) -> Result<bool, DbError> {
    let manifest = &stored.competition.manifest;
    if !manifest.is_closed(now) {
        return Ok(false);
    }
    let latest = db.latest_round(&manifest.id).await?;
    Ok(latest.is_none_or(|round| round.step.is_over()))
}
