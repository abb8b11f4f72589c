//! Paying: the reward policy turns the round's ranking into weights when it is judged, and the ledger takes them.
//!
//! Only registered hotkeys are paid. Where the settings let everybody submit, whoever is paid is registered with it.

use super::{Advanced, RoundError, Turn};
use crate::board;
use crate::db::DbError;
use crate::db::rounds::{Step, take_epoch};
use chain::{Ledger, LedgerError};
use protocol::reward::Weight;
use protocol::{Hotkey, SubmissionId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Who is paid what, with this champion. Decided once, when the round is judged: the board moves on, the round doesn't.
pub(super) async fn weights(turn: &Turn<'_>, champion: Option<&SubmissionId>) -> Result<Vec<Weight>, RoundError> {
    let (app, manifest) = (turn.app, &turn.stored.competition.manifest);
    let Some(served) = board::leaderboard(app, &manifest.id).await? else { return Ok(Vec::new()) };
    let rows = served.leaderboard.rows.iter().filter(|row| row.rank.is_some() && row.score_ppm > 0);
    let mut ranked: Vec<_> = rows.filter_map(|row| Some((row.submission.clone()?, row.hotkey?))).collect();
    // The champion of the round stands first, whatever the public items say.
    ranked.sort_by_key(|(submission, _)| Some(submission) != champion);
    let ranked: Vec<Hotkey> = ranked.into_iter().map(|(_, hotkey)| hotkey).collect();
    let (ledger, open) = (Arc::clone(&app.ledger), !app.config.require_registration);
    let payable = tokio::task::spawn_blocking(move || payable(ledger.as_ref(), ranked, open)).await??;
    Ok(manifest.reward.weights(&payable))
}

/// The ranked hotkeys that the ledger can pay.
fn payable(ledger: &dyn Ledger, ranked: Vec<Hotkey>, open: bool) -> Result<Vec<Hotkey>, LedgerError> {
    if open {
        return Ok(ranked);
    }
    let registered: BTreeSet<Hotkey> =
        ledger.registrations()?.into_iter().map(|registration| registration.hotkey).collect();
    Ok(ranked.into_iter().filter(|hotkey| registered.contains(hotkey)).collect())
}

/// Gives the ledger the round's weights, under a number that is the round's alone.
pub(super) async fn pay(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let app = turn.app;
    let mut tx = app.db.write().await?;
    let epoch = take_epoch(&mut tx, &turn.round).await?;
    tx.commit().await.map_err(DbError::from)?;
    let weights: Vec<_> = turn.round.record.weights.iter().map(|w| (w.hotkey, w.weight_ppm)).collect();
    let (ledger, open) = (Arc::clone(&app.ledger), !app.config.require_registration);
    tokio::task::spawn_blocking(move || {
        if open {
            register(ledger.as_ref(), &weights)?;
        }
        ledger.set_weights(epoch, &weights)
    })
    .await??;
    turn.moved(Step::Paid, &turn.round.record).await
}

/// Registers whoever isn't.
fn register(ledger: &dyn Ledger, weights: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
    let registered: BTreeSet<Hotkey> =
        ledger.registrations()?.into_iter().map(|registration| registration.hotkey).collect();
    let new = weights.iter().filter(|(hotkey, _)| !registered.contains(hotkey));
    new.into_iter().try_for_each(|(hotkey, _)| ledger.register(*hotkey, 0))
}
