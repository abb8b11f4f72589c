//! Changing the reward: announced for a later round, stated in the public log, never taken back.

use super::RoundError;
use protocol::competition::Manifest;
use protocol::leaf::{Act, Administration};
use protocol::reward::{PolicyChange, Schedule};
use protocol::{CompetitionId, Hotkey};
use store::db::leaves::enqueue;
use store::db::{Db, rewards};
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// The rules of all rounds of a competition.
///
/// # Errors
/// When the database fails, or holds a change that was never allowed.
pub async fn schedule(db: &Db, manifest: &Manifest) -> Result<Schedule, RoundError> {
    let mut schedule = Schedule::new(manifest.reward.clone());
    for change in db.reward_changes(&manifest.id).await? {
        schedule.announce(change, 0)?;
    }
    Ok(schedule)
}

/// Announces other rules from a later round on. It needs no ledger, so it works beside a serving process.
///
/// # Errors
/// When there is no such competition, the round has begun or has a change already, or the rules make no sense.
pub async fn announce_reward(
    db: &Db,
    validator: Hotkey,
    competition: &CompetitionId,
    change: PolicyChange,
    now: u64,
) -> Result<(), RoundError> {
    let unknown = || RoundError::UnknownCompetition(competition.clone());
    let stored = db.competition(competition).await?.ok_or_else(unknown)?;
    let current = db.latest_round(competition).await?.map_or(0, |round| round.number);
    schedule(db, &stored.competition.manifest).await?.announce(change.clone(), current)?;
    let mut tx = db.write().await?;
    rewards::insert(&mut tx, competition, &change, now).await?;
    let PolicyChange { from_round, reward } = change;
    let act = Act::RewardAnnounced { competition: competition.clone(), from_round, reward };
    let key = act.key();
    let body = Administration { validator, act, at: now };
    enqueue(&mut tx, &key, EntryKind::Administration, &body).await?;
    Ok(failpoints::commit(tx, Change::RewardChange).await?)
}
