//! Closing: no submission counts any more, and the beacon decides what nobody could know before.

use super::{Advanced, RoundError, Turn, drand};
use crate::db::Db;
use crate::db::rounds::Step;
use crate::failpoints::{self, Moment};
use datasets::hidden::{Beacon, BeaconRule, DrandRound};
use protocol::{CompetitionId, Digest};
use std::sync::Arc;

/// Closes the round if it is over.
pub(super) async fn close(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let now = turn.app.clock.now();
    if turn.round.closes_at.is_none_or(|closes_at| now < closes_at) {
        return Ok(Advanced::Waiting("the round's end"));
    }
    let mut record = turn.round.record.clone();
    if !matches!(record.terms.beacon, BeaconRule::Drand { .. }) {
        record.beacon = Some(mark(turn).await?);
        failpoints::at(Moment::LedgerMarked)?;
    }
    turn.moved(Step::Closed, &record).await
}

/// Marks the close on the ledger; the hash of that entry is the beacon. Again, it is the same entry.
async fn mark(turn: &Turn<'_>) -> Result<Beacon, RoundError> {
    let (ledger, root) = (Arc::clone(&turn.app.ledger), Digest::from(turn.round.record.commitment.root));
    let marked = tokio::task::spawn_blocking(move || {
        let height = ledger.mark(root)?;
        Ok::<_, chain::LedgerError>(Beacon::Ledger { height, hash: *ledger.block_hash(height)?.as_bytes() })
    });
    Ok(marked.await??)
}

/// Gives a round that is bound to drand its beacon, in the JSON that drand publishes. The same again changes nothing.
///
/// # Errors
/// When no round waits for it, or it isn't the one that the round is bound to: of another round, forged, or not drand's.
pub async fn supply_beacon(db: &Db, competition: &CompetitionId, json: &[u8]) -> Result<u64, RoundError> {
    let unknown = || RoundError::UnknownRound { competition: competition.clone(), round: 1 };
    let round = db.latest_round(competition).await?.ok_or_else(unknown)?;
    let chain = drand();
    let beacon = Beacon::Drand { chain: chain.hash(), published: DrandRound::from_json(json)? };
    round.record.terms.beacon.check(&beacon, Some(&chain))?;
    let (number, step) = (round.number, round.step);
    if step != Step::Closed {
        let competition = competition.clone();
        return Err(RoundError::OutOfOrder { competition, round: number, step, wanted: "given its beacon" });
    }
    let mut record = round.record.clone();
    record.beacon = Some(beacon);
    crate::db::rounds::set_record(db, &round, &record).await?;
    Ok(number)
}
