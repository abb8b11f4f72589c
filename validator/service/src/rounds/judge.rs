//! Judging: who takes the seat, how everybody stands by fresh items, and what the round pays.
//!
//! What is decided is a pure function of stored outcomes and the manifest's rules (`referee`), so anybody can do it
//! again once the round is revealed.

use super::field::{self, Field};
use super::{Advanced, RoundError, Turn, pay, record};
use protocol::Digest;
use protocol::reward::History;
use protocol::round::Step;
use referee::{Drawn, Judgement, Referee};
use std::collections::BTreeMap;
use store::db::rounds;
use store::failpoints::{self, Change, Moment};

/// Gives the seat, writes every verdict and says who is paid.
pub(super) async fn judge(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    let field = field::of(turn).await?;
    let paid_for = pay::history(turn).await?;
    let members = record::members(turn, &field.contestants).await?;
    let (judgement, history) = judged(turn, field, paid_for).await?;

    let mut record = turn.round.record.clone();
    record.champion_age_seconds = turn.champion_age_seconds();
    if judgement.decision.successor.is_some() {
        (record.crowned_at, record.crowned_in) = (turn.closed_at(), turn.round.number);
    }
    record.champion = judgement.champion.clone();
    // The judgement is what it is, since everybody can repeat it; but who was disqualified since the draw isn't paid.
    let paid = match judgement.champion.clone() {
        Some(champion) => super::still_competes(turn.app, champion).await?,
        None => None,
    };
    let verdicts = judgement.decision.verdicts.clone();
    let pay::Settlement { weights, settled, not_registered } = pay::settle(turn, judgement, paid, &history).await?;
    (record.weights, record.settled) = (weights, Some(settled));
    record.judged = Some(record::stored(turn, &record, (members, verdicts.as_slice()), not_registered).await?);
    failpoints::at(Moment::RoundRecorded)?;
    let mut tx = turn.app.db.write().await?;
    turn.moved_in(&mut tx, Step::Judged, &record).await?;
    for (submission, verdict) in &verdicts {
        rounds::set_verdict(&mut tx, &turn.round, submission, verdict).await?;
    }
    failpoints::commit(tx, Change::Round(Step::Judged)).await?;
    turn.app.board.changed(&turn.round.competition);
    Ok(turn.told(Step::Judged))
}

/// The judgement, and what was paid for as this round's engine sees it.
async fn judged(turn: &Turn<'_>, field: Field, history: History) -> Result<(Judgement, History), RoundError> {
    let Field { contestants, reference, drawn } = field;
    let referee = turn.referee(drawn);
    let (shared_by, before) = (turn.round.record.shared_by, turn.round.record.champion_before.clone());
    let since = turn.engine().since;
    let judge = move || {
        let history = referee.retimed(history, &contestants, since);
        (referee.judge(&contestants, shared_by, before.as_ref(), &reference, &history), history)
    };
    Ok(tokio::task::spawn_blocking(judge).await?)
}

impl Turn<'_> {
    /// The referee of the round, with the fresh items that evidence rests on.
    pub(super) fn referee(&self, drawn: BTreeMap<u64, Drawn>) -> Referee {
        let (manifest, record) = (&self.stored.competition.manifest, &self.round.record);
        // Before the draw there is no seed, and nothing is judged.
        let seed = record.drawn.as_ref().map_or_else(|| Digest::of(b""), |drawn| drawn.seed);
        Referee::new(
            (manifest.score.clone(), manifest.dethrone),
            (self.round.number, seed),
            (record.crowned_in + 1, self.champion_age_seconds()),
            drawn,
        )
    }
}
