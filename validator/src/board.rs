//! The board: submissions ranked by score, between the teacher above and the reference below.
//!
//! It is derived from evaluations and can be computed again at any time; what is served is kept as bytes until a new
//! score comes. It does not decide what a score is: that is `protocol::score`.

mod csv;
mod why;

use crate::app::App;
use crate::db::DbError;
use crate::db::competitions::{Role, StoredCompetition, StoredModel};
use crate::db::evaluations::ScoredSubmission;
use bytes::Bytes;
use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::score::{Contender, rank};
use protocol::{CompetitionId, Digest, SubmissionId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A leaderboard as it is served.
#[derive(Debug)]
pub struct Served {
    /// The board.
    pub leaderboard: Leaderboard,
    /// As JSON.
    pub json: Bytes,
    /// As CSV.
    pub csv: Bytes,
    /// The digest of the JSON.
    pub sha256: Digest,
}

/// The boards that are kept.
#[derive(Debug, Default)]
pub struct Board {
    kept: RwLock<HashMap<CompetitionId, Arc<Served>>>,
    /// Counts changes, so that a board computed before one isn't kept after it.
    generation: AtomicU64,
}

impl Board {
    /// Forgets a competition's board after a new score.
    pub(crate) fn changed(&self, competition: &CompetitionId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(competition);
    }

    fn kept(&self, competition: &CompetitionId) -> Option<Arc<Served>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(competition).cloned()
    }

    fn keep(&self, generation: u64, competition: &CompetitionId, served: &Arc<Served>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::SeqCst) == generation {
            kept.insert(competition.clone(), Arc::clone(served));
        }
    }
}

/// A competition's board; `None` when there is no such competition.
///
/// # Errors
/// When the database fails.
pub async fn leaderboard(app: &App, competition: &CompetitionId) -> Result<Option<Arc<Served>>, DbError> {
    if let Some(served) = app.board.kept(competition) {
        return Ok(Some(served));
    }
    let generation = app.board.generation.load(Ordering::SeqCst);
    let Some(stored) = app.db.competition(competition).await? else { return Ok(None) };
    let models = app.db.models(competition).await?;
    let scored = app.db.scored(competition).await?;
    let leaderboard = compute(&stored, &models, scored);
    let json = Bytes::from(crate::db::to_json(&leaderboard));
    let csv = Bytes::from(csv::of(&leaderboard));
    let served = Arc::new(Served { sha256: Digest::of(&json), leaderboard, json, csv });
    app.board.keep(generation, competition, &served);
    Ok(Some(served))
}

/// The submission that leads: the first-ranked one, unless the quality gate keeps everybody at 0.
///
/// # Errors
/// When the database fails.
pub async fn champion(app: &App, competition: &CompetitionId) -> Result<Option<SubmissionId>, DbError> {
    Ok(leaderboard(app, competition).await?.and_then(|served| served.leaderboard.champion.clone()))
}

/// Ranks. Pure. Submissions below the quality gate follow the ranked ones without a rank.
fn compute(stored: &StoredCompetition, models: &[StoredModel], scored: Vec<ScoredSubmission>) -> Leaderboard {
    let (ranked, gated): (Vec<_>, Vec<_>) = scored.into_iter().partition(|submission| submission.score.gate);
    let ranked = in_order(ranked);
    let mut rows: Vec<BoardRow> =
        models.iter().filter(|m| m.role == Role::Teacher).map(|m| model_row(stored, m)).collect();
    for (index, submission) in ranked.iter().enumerate() {
        let why = why::ranked(stored, &ranked, index);
        rows.push(submission_row(submission, u32::try_from(index + 1).ok(), why));
    }
    for submission in in_order(gated) {
        let why = why::below_gate(stored, &submission.score);
        rows.push(submission_row(&submission, None, why));
    }
    rows.extend(models.iter().filter(|m| m.role == Role::Reference).map(|m| model_row(stored, m)));
    let champion = ranked.first().filter(|first| first.score.composite.value_ppm > 0).map(|first| first.id.clone());
    Leaderboard { competition: stored.competition.manifest.id.clone(), rows, champion }
}

/// Best first, ties to the earlier: the order of `protocol::score::rank`.
fn in_order(submissions: Vec<ScoredSubmission>) -> Vec<ScoredSubmission> {
    let contenders = submissions.into_iter().map(|submission| Contender {
        score_ppm: submission.score.composite.value_ppm,
        arrival: submission.arrival,
        key: submission,
    });
    rank(contenders.collect()).into_iter().map(|contender| contender.key).collect()
}

fn submission_row(submission: &ScoredSubmission, rank: Option<u32>, why: String) -> BoardRow {
    let ScoredSubmission { id, hotkey, architecture, report, score, .. } = submission;
    let row = BoardRow::measured(RowKind::Submission, architecture, report, score, why);
    BoardRow { rank, submission: Some(id.clone()), hotkey: Some(*hotkey), ..row }
}

fn model_row(stored: &StoredCompetition, model: &StoredModel) -> BoardRow {
    let (kind, published, why) = match model.role {
        Role::Teacher => (RowKind::Teacher, &stored.competition.teacher, "the model to distil"),
        Role::Reference => {
            (RowKind::Reference, &stored.competition.reference, "the model that latencies are ratios to")
        }
    };
    BoardRow::measured(kind, &published.config.architecture, &model.report, &model.score, why.into())
}
