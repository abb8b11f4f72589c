//! The replicates that a board pairs: drawn once an evaluation, kept in the database, drawn again where they are missing.
//!
//! It knows where they are kept and which round they are of; what they say is the ranking's business.

use crate::app::App;
use protocol::SubmissionId;
use protocol::outcomes::Outcomes;
use protocol::significance::{Basis, Part, Replicates};
use std::collections::HashMap;
use store::causes::Chain;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::db::evaluations::ScoredSubmission;
use store::db::replicates;
use store::failpoints::{self, Change};

/// The replicates of a competition's submissions.
#[derive(Debug)]
pub(super) struct Resampled {
    /// By submission.
    pub(super) replicates: HashMap<SubmissionId, Replicates>,
    /// Whether there is nothing left to try: a board that lacks some isn't kept.
    pub(super) complete: bool,
}

/// The public items between rounds. The seed is the competition's own digest: fixed and known to everybody, so that
/// anyone draws the same replicates from the published outcomes.
pub(super) fn round(stored: &StoredCompetition) -> Basis<'_> {
    Basis {
        part: Part::Public,
        seed: stored.sha256,
        ceiling: stored.competition.teacher.ceiling(),
        rules: &stored.competition.manifest.score,
    }
}

/// Draws the replicates of an evaluation; `None` where it has no public items or no latency. Takes a tenth of a second
/// of one core, which is why it isn't done where requests are served.
pub async fn draw(stored: &StoredCompetition, outcomes: Outcomes) -> Option<Replicates> {
    let stored = stored.clone();
    let drawn = tokio::task::spawn_blocking(move || Replicates::draw(&outcomes, &round(&stored))).await;
    drawn.expect("no panic, because drawing checks every index")
}

/// What is kept, and what is missing drawn from the outcomes.
pub(super) async fn of(
    app: &App,
    stored: &StoredCompetition,
    scored: &[ScoredSubmission],
) -> Result<Resampled, DbError> {
    let id = &stored.competition.manifest.id;
    let lacking = |kept: &HashMap<SubmissionId, Replicates>| {
        let round = round(stored);
        let is_kept = |submission: &&ScoredSubmission| kept.get(&submission.id).is_some_and(|kept| kept.are_of(&round));
        scored.iter().filter(|submission| submission.score.gate && !is_kept(submission)).collect::<Vec<_>>()
    };
    let mut kept = app.db.replicates(id).await?;
    if lacking(&kept).is_empty() {
        return Ok(Resampled { replicates: kept, complete: true });
    }
    let _drawing = app.board.drawing.lock().await;
    kept = app.db.replicates(id).await?;
    let mut complete = true;
    for submission in lacking(&kept) {
        match draw_again(app, stored, submission).await? {
            Some(drawn) => drop(kept.insert(submission.id.clone(), drawn)),
            None => complete = false,
        }
    }
    Ok(Resampled { replicates: kept, complete })
}

/// Draws from the stored outcomes and keeps what comes.
async fn draw_again(
    app: &App,
    stored: &StoredCompetition,
    submission: &ScoredSubmission,
) -> Result<Option<Replicates>, DbError> {
    let bytes = match app.objects.get(&submission.outcomes_sha256).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::error!(submission.id = %submission.id, error = %Chain(&error), "outcomes can't be read");
            return Ok(None);
        }
    };
    let outcomes = match Outcomes::from_bytes(&bytes) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::error!(submission.id = %submission.id, %error, "outcomes can't be read");
            return Ok(None);
        }
    };
    let drawn = draw(stored, outcomes).await;
    if let Some(drawn) = &drawn {
        let mut tx = app.db.write().await?;
        replicates::put(&mut tx, &submission.id, drawn).await?;
        failpoints::commit(tx, Change::Replicates).await?;
    }
    Ok(drawn)
}
