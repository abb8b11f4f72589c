//! Rounds: at the end of one, the reward policy turns the ranking into weights, and the ledger takes them.
//!
//! It does not know when a round ends: the operator or a timer says so. Weights of a round are set once.

use crate::app::App;
use crate::board;
use crate::db::DbError;
use crate::db::rounds::WeightRound;
use chain::{Ledger, LedgerError};
use protocol::reward::Weight;
use protocol::{CompetitionId, Hotkey};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a round was not paid.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// There is no such competition.
    #[error("no competition is called {0}")]
    UnknownCompetition(CompetitionId),
    /// The ledger refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The ledger's thread failed.
    #[error("the ledger's thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
}

/// Sets the weights of `round` from the ranking of `competition` as it stands, and remembers them.
///
/// Only registered hotkeys are paid. Where the settings let everybody submit, the ranked are registered with this.
///
/// # Errors
/// When there is no such competition, or the round was set differently before.
pub async fn set_weights(app: &App, competition: &CompetitionId, round: u64) -> Result<Vec<Weight>, RoundError> {
    let unknown = || RoundError::UnknownCompetition(competition.clone());
    let stored = app.db.competition(competition).await?.ok_or_else(unknown)?;
    let served = board::leaderboard(app, competition).await?.ok_or_else(unknown)?;
    let rows = served.leaderboard.rows.iter();
    let ranked: Vec<Hotkey> =
        rows.filter(|row| row.rank.is_some() && row.score_ppm > 0).filter_map(|row| row.hotkey).collect();
    let policy = stored.competition.manifest.reward;
    let (ledger, open) = (Arc::clone(&app.ledger), !app.config.require_registration);
    let weights = tokio::task::spawn_blocking(move || {
        let payable = payable(ledger.as_ref(), ranked, open)?;
        let weights = policy.weights(&payable);
        let pairs: Vec<_> = weights.iter().map(|weight| (weight.hotkey, weight.weight_ppm)).collect();
        ledger.set_weights(round, &pairs)?;
        Ok::<_, LedgerError>(weights)
    })
    .await??;
    let set_at = app.clock.now();
    let row = WeightRound { round, competition: competition.clone(), weights: weights.clone(), set_at };
    app.db.insert_round(&row).await?;
    tracing::info!(round, %competition, paid = weights.len(), "set the weights of round {round}");
    Ok(weights)
}

/// The ranked hotkeys that the ledger can pay.
fn payable(ledger: &dyn Ledger, ranked: Vec<Hotkey>, open: bool) -> Result<Vec<Hotkey>, LedgerError> {
    let registered: BTreeSet<Hotkey> =
        ledger.registrations()?.into_iter().map(|registration| registration.hotkey).collect();
    if !open {
        return Ok(ranked.into_iter().filter(|hotkey| registered.contains(hotkey)).collect());
    }
    let new: BTreeSet<&Hotkey> = ranked.iter().filter(|hotkey| !registered.contains(*hotkey)).collect();
    for hotkey in new {
        ledger.register(*hotkey, 0)?;
    }
    Ok(ranked)
}
