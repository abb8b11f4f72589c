//! Paying: the reward policy turns the judgement into weights when the round is judged, and the ledger takes them.
//!
//! Only registered hotkeys are paid. Where the settings let everybody submit, whoever is paid is registered with it.

use super::{Advanced, RoundError, Turn};
use crate::app::App;
use chain::{Ledger, LedgerError, Registration};
use protocol::reward::{Entrant, History, Payment, Standing, Weight};
use protocol::round::Step;
use protocol::{Hotkey, SubmissionId};
use referee::Judgement;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::db::DbError;
use store::db::rounds::{Round, Settled, take_epoch};
use store::failpoints::{self, Change, Moment};

/// What a round pays.
pub(super) struct Settlement {
    pub(super) weights: Vec<Weight>,
    /// Who would have been paid, or compared with, and can't be.
    pub(super) not_registered: BTreeSet<Hotkey>,
    pub(super) settled: Settled,
}

/// Who is paid what by a judgement, with this champion. Decided once, when the round is judged, from what was measured on
/// fresh items: the board moves on, the round doesn't.
pub(super) async fn settle(
    turn: &Turn<'_>,
    judgement: Judgement,
    champion: Option<SubmissionId>,
    history: &History,
) -> Result<Settlement, RoundError> {
    let (app, manifest) = (turn.app, &turn.stored.competition.manifest);
    let Judgement { stands, standing, .. } = judgement;
    let (ledger, open) = (Arc::clone(&app.ledger), app.config.registration.registers_the_paid());
    let entrants = standing.entrants;
    let mut not_registered: BTreeSet<Hotkey> = entrants.iter().map(|entrant| entrant.hotkey).collect();
    let entrants = tokio::task::spawn_blocking(move || payable(ledger.as_ref(), entrants, open)).await??;
    let standing = Standing { entrants, champion, ..standing };
    let schedule = super::schedule(&app.db, manifest).await?;
    let Payment { weights, past, why, .. } = schedule.policy_at(standing.round).pay(history, &standing);
    not_registered.extend(weights.iter().map(|weight| weight.hotkey));
    let weights = tokio::task::spawn_blocking({
        let ledger = Arc::clone(&app.ledger);
        move || registered(ledger.as_ref(), weights, open)
    })
    .await??;
    // Whoever was paid, or could have been, is registered.
    not_registered.retain(|hotkey| !standing.entrants.iter().any(|entrant| entrant.hotkey == *hotkey));
    not_registered.retain(|hotkey| !weights.iter().any(|weight| weight.hotkey == *hotkey));
    Ok(Settlement { weights, not_registered, settled: Settled { stands, standing, past, why } })
}

/// What earlier rounds paid for.
pub(super) async fn history(turn: &Turn<'_>) -> Result<History, RoundError> {
    let app = turn.app;
    let rounds = app.db.rounds(&turn.round.competition).await?;
    let settled = rounds.into_iter().filter(|round| round.number < turn.round.number);
    let settled = settled.filter_map(|round| round.record.settled);
    let history = History { rounds: settled.map(|settled| settled.past).collect() };
    Ok(without_disqualified(app, history).await?)
}

/// What was paid for so far, but for submissions that were disqualified since.
async fn without_disqualified(app: &App, history: History) -> Result<History, DbError> {
    let mut disqualified = BTreeSet::new();
    for id in history.submissions() {
        if super::still_competes(app, id.clone()).await?.is_none() {
            disqualified.insert(id);
        }
    }
    Ok(history.without(&disqualified))
}

/// The entrants that the ledger can pay.
fn payable(ledger: &dyn Ledger, entrants: Vec<Entrant>, open: bool) -> Result<Vec<Entrant>, LedgerError> {
    let known = known(ledger, open)?;
    Ok(entrants.into_iter().filter(|entrant| known.as_ref().is_none_or(|all| all.contains(&entrant.hotkey))).collect())
}

/// Those of the weights that the ledger can pay: a champion of an earlier round may have left since.
fn registered(ledger: &dyn Ledger, weights: Vec<Weight>, open: bool) -> Result<Vec<Weight>, LedgerError> {
    let known = known(ledger, open)?;
    Ok(weights.into_iter().filter(|weight| known.as_ref().is_none_or(|all| all.contains(&weight.hotkey))).collect())
}

/// Who is registered; `None` where whoever is paid gets registered.
fn known(ledger: &dyn Ledger, open: bool) -> Result<Option<BTreeSet<Hotkey>>, LedgerError> {
    if open {
        return Ok(None);
    }
    Ok(Some(ledger.registrations()?.into_iter().map(|registration| registration.hotkey).collect()))
}

/// Gives the ledger the round's weights, under a number that is the round's alone.
pub(super) async fn pay(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let app = turn.app;
    let mut tx = app.db.write().await?;
    let epoch = take_epoch(&mut tx, &turn.round).await?;
    failpoints::commit(tx, Change::RoundEpoch).await?;
    let weights: Vec<_> = turn.round.record.weights.iter().map(|w| (w.hotkey, w.weight_ppm)).collect();
    let (ledger, open) = (Arc::clone(&app.ledger), app.config.registration.registers_the_paid());
    tokio::task::spawn_blocking(move || {
        if open {
            register(ledger.as_ref(), &weights)?;
        }
        ledger.set_weights(epoch, &weights)
    })
    .await??;
    failpoints::at(Moment::RewardsPaid)?;
    let paid = Turn { round: Round { epoch: Some(epoch), ..turn.round.clone() }, ..*turn };
    paid.moved(Step::Paid, &turn.round.record).await
}

/// Registers whoever isn't.
fn register(ledger: &dyn Ledger, weights: &[(Hotkey, u32)]) -> Result<(), LedgerError> {
    let registered: BTreeSet<Hotkey> =
        ledger.registrations()?.into_iter().map(|registration| registration.hotkey).collect();
    let new = weights.iter().filter(|(hotkey, _)| !registered.contains(hotkey));
    new.into_iter().try_for_each(|(hotkey, _)| ledger.register(Registration::own(*hotkey, 0)))
}
