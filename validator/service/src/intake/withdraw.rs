//! A miner takes back what isn't measured yet: an upload that broke off frees its place, a mistake isn't scored.
//!
//! What was drawn on stays spent, so that a round isn't tried out; the public log says what became of the commitment, with
//! what the miner signed.

use crate::app::App;
use crate::refusal::{Meaning, Refusal};
use protocol::auth::SignedText;
use protocol::round::Step;
use protocol::submission::{Code, State};
use protocol::{Hotkey, SubmissionId};
use store::db::DbError;
use store::db::submissions::{self, Submission};
use store::failpoints::{self, Change};

/// Ends a submission that waits. Saying it twice is harmless.
pub async fn withdraw(app: &App, (hotkey, request): (Hotkey, SignedText), id: &SubmissionId) -> Result<(), Refusal> {
    // Somebody else's submission looks like none.
    let found = app.db.submission(id).await?.filter(|submission| submission.hotkey == hotkey);
    let submission = found.ok_or_else(|| Refusal::not_found(format!("you have no submission {id}")))?;
    let from = submission.state;
    if from == State::Withdrawn {
        return Ok(());
    }
    if !from.may_become(State::Withdrawn) {
        return Err(too_late(format!("{id} is {from} already")));
    }
    // One that never came is no member of a round; one that did must not leave once it is known who else stays.
    if from != State::AwaitingUpload && is_of_closed_round(app, &submission).await? {
        return Err(too_late(format!("the round that {id} was entered in has closed")));
    }
    let reason = Code::Withdrawn.because("its miner took it back".into());
    let mut tx = app.db.write().await?;
    match submissions::withdraw(&mut tx, id, from, (&reason, request), app.clock.now()).await {
        Err(DbError::StateChanged { .. }) => return Err(too_late(format!("{id} isn't {from} any more"))),
        changed => changed?,
    }
    failpoints::commit(tx, Change::Withdrawal).await?;
    tracing::info!(submission.id = %id, "its miner took submission {id} back");
    Ok(())
}

async fn is_of_closed_round(app: &App, submission: &Submission) -> Result<bool, DbError> {
    let latest = app.db.latest_round(&submission.competition).await?;
    Ok(latest.is_some_and(|round| {
        let under_way = !matches!(round.step, Step::Open | Step::Abandoned | Step::Revealed);
        under_way && round.closes_at.is_none_or(|closed_at| submission.created_at < closed_at)
    }))
}

fn too_late(detail: String) -> Refusal {
    let hint = "A submission can be taken back until it is measured or its round closes, whichever comes first.";
    Refusal::new(Meaning::InTheWay, "not_withdrawable", detail, hint)
}
