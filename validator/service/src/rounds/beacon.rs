//! The beacon of a closed round: taken from where its terms say and from nowhere else, or the round is abandoned.
//!
//! A round never takes another beacon than the one that it was bound to when it opened. While that one isn't there it waits
//! and says so; what comes too late for it ends it. It does not know how a relay is asked (`relay`).

use super::{Advanced, RoundError, Turn, drand};
use crate::relay::RelayError;
use datasets::hidden::BeaconWait;
use datasets::hidden::{AbandonCode, Abandonment, Beacon, BeaconRule, DrandRound, RoundBeacon};
use protocol::round::Step;
use protocol::submission::Blame;
use protocol::{CompetitionId, Digest};
use std::sync::Arc;
use store::causes::Chain;
use store::db::rounds::{self, Record, Round};
use store::db::{Db, DbError, weights};
use store::failpoints::{self, Change, Moment};
use transparency::EntryKind;

/// Gives the round its beacon, if it has none; says what is still waited for, or that the round is over.
pub(super) async fn settle(turn: &mut Turn<'_>) -> Result<Option<Advanced>, RoundError> {
    if turn.round.record.beacon.is_some() {
        return Ok(None);
    }
    let wait = turn.needed("time of its beacon", turn.round.record.wait.clone())?;
    let now = turn.app.clock.now();
    let problem = match take(turn, &wait, now).await {
        Ok(Some(beacon)) => {
            turn.round.record.beacon = Some(beacon);
            turn.round.record.wait = None;
            write(&turn.app.db, &turn.round).await?;
            return Ok(None);
        }
        Ok(None) => wait.problem.clone(),
        Err(error) => Some(told(&error)),
    };
    if now >= wait.abandoned_at {
        return Ok(Some(abandon(turn, problem).await?));
    }
    if problem != wait.problem {
        note(turn, BeaconWait { problem, ..wait }).await?;
    }
    Ok(Some(Advanced::Waiting("its beacon")))
}

/// What everybody may know of a failure: a relay is outside, the ledger's files are nobody's business.
fn told(error: &RoundError) -> String {
    match error {
        RoundError::Relay(error) => error.to_string(),
        error => {
            tracing::error!(error = %Chain(error), "the ledger can't be marked");
            "the ledger takes no entry".into()
        }
    }
}

/// The beacon, if it is there; `None` where it isn't time to look for it.
async fn take(turn: &Turn<'_>, wait: &BeaconWait, now: u64) -> Result<Option<Beacon>, RoundError> {
    match turn.round.record.terms.beacon {
        BeaconRule::Ledger { .. } | BeaconRule::LedgerFrom { .. } => mark(turn).await.map(Some),
        BeaconRule::Drand { .. } if now < wait.due_at => Ok(None),
        BeaconRule::Drand { round, .. } => {
            let chain = drand();
            match turn.app.relay.round(&chain, round).await {
                Ok(published) => Ok(Some(Beacon::Drand { chain: chain.hash(), published })),
                Err(RelayError::Resting) => Ok(None),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Marks the close on the ledger; the hash of that entry is the beacon. Again, it is the same entry.
async fn mark(turn: &Turn<'_>) -> Result<Beacon, RoundError> {
    let (ledger, root) = (Arc::clone(&turn.app.ledger), Digest::from(turn.round.record.commitment.root));
    let marked = tokio::task::spawn_blocking(move || {
        let height = ledger.mark(root)?;
        Ok::<_, chain::LedgerError>(Beacon::Ledger { height, hash: *ledger.block_hash(height)?.as_bytes() })
    });
    let beacon = marked.await??;
    failpoints::at(Moment::LedgerMarked)?;
    Ok(beacon)
}

/// Gives a round that is bound to drand its beacon, in the JSON that drand publishes.
///
/// # Errors
/// When no round waits for it, or it isn't the one that the round is bound to: of another round, forged, or not drand's.
pub async fn supply_beacon(db: &Db, competition: &CompetitionId, json: &[u8]) -> Result<u64, RoundError> {
    let unknown = || RoundError::UnknownRound { competition: competition.clone(), round: 1 };
    let mut round = db.latest_round(competition).await?.ok_or_else(unknown)?;
    let chain = drand();
    let beacon = Beacon::Drand { chain: chain.hash(), published: DrandRound::from_json(json)? };
    round.record.terms.beacon.check(&beacon, Some(&chain))?;
    let (number, step) = (round.number, round.step);
    if step != Step::Closed || round.record.beacon.is_some() {
        let competition = competition.clone();
        return Err(RoundError::OutOfOrder { competition, round: number, step, wanted: "given its beacon" });
    }
    round.record.beacon = Some(beacon);
    round.record.wait = None;
    write(db, &round).await?;
    Ok(number)
}

/// Writes the beacon down and states it.
async fn write(db: &Db, round: &Round) -> Result<(), RoundError> {
    let Some(beacon) = round.record.beacon.clone() else { return Ok(()) };
    let stated = RoundBeacon { competition: round.competition.clone(), round: round.number, beacon };
    let mut tx = db.write().await?;
    rounds::set_awaiting(&mut tx, round, &round.record).await?;
    let key = super::leaf_key(round, "beacon");
    store::db::leaves::enqueue(&mut tx, &key, EntryKind::RoundBeacon, &stated).await?;
    Ok(failpoints::commit(tx, Change::RoundBeacon).await?)
}

/// Lets everybody see why the beacon isn't there.
async fn note(turn: &Turn<'_>, wait: BeaconWait) -> Result<(), RoundError> {
    let (competition, round) = (&turn.round.competition, turn.round.number);
    if let Some(problem) = &wait.problem {
        tracing::warn!(%competition, round, problem, "round {round} of {competition} waits for its beacon");
    }
    let mut tx = turn.app.db.write().await?;
    let record = Record { wait: Some(wait), ..turn.round.record.clone() };
    rounds::set_awaiting(&mut tx, &turn.round, &record).await?;
    Ok(tx.commit().await.map_err(DbError::from)?)
}

/// Ends the round: there is no other beacon for it. Nothing is paid, the seat stays whose it was.
async fn abandon(turn: &Turn<'_>, problem: Option<String>) -> Result<Advanced, RoundError> {
    let waited = turn.stored.competition.manifest.rounds.beacon_seconds_max;
    let last = problem.unwrap_or_else(|| "it wasn't there".into());
    let mut record = turn.round.record.clone();
    record.abandoned = Some(Abandonment {
        code: AbandonCode::BeaconMissing,
        blame: Blame::Validator,
        detail: format!("no {} after {waited} s: {last}", sought(&record.terms.beacon)),
    });
    record.champion = record.champion_before.clone();
    record.wait = None;
    let mut tx = turn.app.db.write().await?;
    // It may have come this very moment, by hand.
    rounds::set_awaiting(&mut tx, &turn.round, &record).await?;
    turn.moved_in(&mut tx, Step::Abandoned, &record).await?;
    let public = turn.stored.competition.manifest.weights_public;
    weights::release(&mut tx, &turn.round.competition, public, false).await?;
    failpoints::commit(tx, Change::Round(Step::Abandoned)).await?;
    turn.app.board.changed(&turn.round.competition);
    Ok(turn.told(Step::Abandoned))
}

fn sought(rule: &BeaconRule) -> String {
    match rule {
        BeaconRule::Ledger { .. } | BeaconRule::LedgerFrom { .. } => "entry of the ledger".into(),
        BeaconRule::Drand { chain, round } => format!("round {round} of drand chain {}", hex::encode(chain)),
    }
}
