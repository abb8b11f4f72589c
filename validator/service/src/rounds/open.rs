//! Opening: a secret is drawn, and the round is bound to everything that will decide its items but the beacon.

use super::{Advanced, RoundError, drand, leaf_key};
use crate::app::App;
use datasets::hidden::{BeaconRule, DrawSpec, Secret, Terms};
use protocol::round::{BeaconSource, Step};
use protocol::rules::RULES;
use std::sync::Arc;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::db::leaves::enqueue;
use store::db::rounds::{self, Record, Round};
use store::db::weights;
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// Opens the round after `before`, unless the competition is over.
pub(super) async fn open(app: &App, stored: &StoredCompetition, before: Option<Round>) -> Result<Advanced, RoundError> {
    let (manifest, now) = (&stored.competition.manifest, app.clock.now());
    if manifest.is_closed(now) {
        release_all(app, stored).await?;
        return Ok(Advanced::Waiting("nothing: the competition is over"));
    }
    if let Some(most) = manifest.rounds_max()
        && app.db.count_drawn(&manifest.id).await? >= u64::from(most)
    {
        return Ok(Advanced::Waiting("nothing: another round would use up the private pool"));
    }
    let number = before.as_ref().map_or(0, |round| round.number) + 1;
    let by_schedule = (manifest.rounds.seconds > 0).then(|| now.saturating_add(manifest.rounds.seconds));
    let closes_at = [by_schedule, manifest.closes_at].into_iter().flatten().min();
    let secret = Secret::new(rand::random());
    let terms = terms(app, stored, number, closes_at.unwrap_or(now)).await?;
    let champion = match before.as_ref().and_then(|round| round.record.champion.clone()) {
        Some(champion) => super::still_competes(app, champion).await?,
        None => None,
    };
    let record = Record {
        rules: RULES,
        commitment: terms.commit(&secret)?,
        terms,
        crowned_at: before.as_ref().filter(|_| champion.is_some()).map_or(0, |round| round.record.crowned_at),
        crowned_in: before.filter(|_| champion.is_some()).map_or(0, |round| round.record.crowned_in),
        shared_by: 0,
        champion_before: champion,
        champion_age_seconds: 0,
        wait: None,
        beacon: None,
        abandoned: None,
        drawn: None,
        champion: None,
        weights: Vec::new(),
        settled: None,
        judged: None,
        reveal: None,
    };
    let competition = manifest.id.clone();
    let round = Round {
        competition,
        number,
        step: Step::Open,
        opened_at: now,
        closes_at,
        changed_at: now,
        secret,
        epoch: None,
        record,
    };
    let mut tx = app.db.write().await?;
    match rounds::insert(&mut tx, &round).await {
        Err(DbError::Sql(error)) if store::db::is_duplicate(&error) => return Ok(Advanced::Waiting("another process")),
        inserted => inserted?,
    }
    let body = serde_json::json!({
        "competition": round.competition, "round": number, "opened_at": now, "closes_at": closes_at,
        "commitment": round.record.commitment, "rules": round.record.rules,
    });
    enqueue(&mut tx, &leaf_key(&round, "opened"), EntryKind::RoundOpened, &body).await?;
    failpoints::commit(tx, Change::Round(Step::Open)).await?;
    tracing::info!(competition = %round.competition, round = number, "round {number} of {} is open", round.competition);
    Ok(Advanced::To(Step::Open))
}

/// No round will reveal what was entered after the last one closed, so nothing is kept back any more.
async fn release_all(app: &App, stored: &StoredCompetition) -> Result<(), DbError> {
    let manifest = &stored.competition.manifest;
    if app.db.withholds_any(&manifest.id).await? {
        let mut tx = app.db.write().await?;
        weights::release(&mut tx, &manifest.id, manifest.weights_public, true).await?;
        // Cut off before this, it is done again.
        failpoints::commit(tx, Change::Round(Step::Open)).await?;
    }
    Ok(())
}

async fn terms(app: &App, stored: &StoredCompetition, round: u64, closes_at: u64) -> Result<Terms, RoundError> {
    let manifest = &stored.competition.manifest;
    let pool_count = manifest.data.hidden_items;
    Ok(Terms {
        competition: manifest.id.to_string(),
        round,
        pool_root: stored.competition.hidden_root.to_string(),
        pool_count,
        spec: DrawSpec::of(&manifest.rounds, pool_count, manifest.data.hidden_pool),
        beacon: match manifest.rounds.beacon {
            Some(BeaconSource::Ledger) => BeaconRule::LedgerFrom { height_min: next_height(app).await? },
            Some(BeaconSource::Drand) => BeaconRule::drand_after(&drand(), closes_at),
            None => return Err(RoundError::NoBeacon(manifest.id.clone())),
        },
    })
}

/// The height of the ledger's next entry: nobody knows its hash yet.
async fn next_height(app: &App) -> Result<u64, RoundError> {
    let ledger = Arc::clone(&app.ledger);
    Ok(tokio::task::spawn_blocking(move || ledger.height()).await?? + 1)
}
