//! Closing: no submission counts any more. What the round waits for then is named in the public log; its value comes later
//! (`beacon`).

use super::{Advanced, RoundError, Turn, drand};
use datasets::hidden::BeaconWait;
use protocol::leaf::{Act, Administration};
use protocol::round::Step;
use protocol::{CompetitionId, Hotkey};
use store::db::leaves::enqueue;
use store::db::rounds;
use store::db::{Db, DbError};
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// Closes the round if it is over.
pub(super) async fn close(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let now = turn.app.clock.now();
    if turn.round.closes_at.is_none_or(|closes_at| now < closes_at) {
        return Ok(Advanced::Waiting("the round's end"));
    }
    let mut record = turn.round.record.clone();
    let due_at = record.terms.beacon.due_at(&drand(), turn.closed_at());
    let patience = turn.stored.competition.manifest.rounds.beacon_seconds_max;
    record.wait = Some(BeaconWait { due_at, abandoned_at: due_at.saturating_add(patience), problem: None });
    turn.moved(Step::Closed, &record).await
}

/// Lets the round under way close now, which the public log then says. It needs no ledger, so it works beside a serving
/// process.
///
/// # Errors
/// When no round is open.
pub async fn close_now(db: &Db, validator: Hotkey, competition: &CompetitionId, now: u64) -> Result<u64, RoundError> {
    let unknown = || RoundError::UnknownRound { competition: competition.clone(), round: 1 };
    let round = db.latest_round(competition).await?.ok_or_else(unknown)?;
    let (competition, number, announced) = (competition.clone(), round.number, round.closes_at);
    if round.step != Step::Open {
        return Err(RoundError::OutOfOrder { competition, round: number, step: round.step, wanted: "closed" });
    }
    let mut tx = db.write().await?;
    if !rounds::close_at(&mut tx, &competition, number, now).await? {
        // Its time has come anyway, or another command was faster.
        tx.rollback().await.map_err(DbError::from)?;
        return Ok(number);
    }
    let act = Act::RoundClosedByHand { competition, round: number, announced };
    let key = act.key();
    enqueue(&mut tx, &key, EntryKind::Administration, &Administration { validator, act, at: now }).await?;
    failpoints::commit(tx, Change::Act).await?;
    Ok(number)
}
