//! What the API and the pages say about competitions and submissions, put together from the database.
//!
//! It speaks the words of `protocol::api` and knows no HTTP.

use crate::app::App;
use crate::board;
use crate::db::DbError;
use crate::db::competitions::StoredCompetition;
use crate::db::submissions::Submission;
use protocol::api::{BoardRow, CompetitionView, SubmissionStatus};
use protocol::latency::judge;
use protocol::leaf::receipt_key;
use protocol::submission::State;
use protocol::{CompetitionId, SubmissionId};

/// Seconds that an evaluation is guessed to take while none has been done.
const PACE_GUESS_MS: u64 = 60_000;

/// All competitions, newest first.
pub(crate) async fn competitions(app: &App) -> Result<Vec<CompetitionView>, DbError> {
    let mut views = Vec::new();
    for stored in app.db.competitions().await? {
        views.push(view(app, stored).await?);
    }
    Ok(views)
}

/// One competition.
pub(crate) async fn competition(app: &App, id: &CompetitionId) -> Result<Option<CompetitionView>, DbError> {
    match app.db.competition(id).await? {
        Some(stored) => Ok(Some(view(app, stored).await?)),
        None => Ok(None),
    }
}

async fn view(app: &App, stored: StoredCompetition) -> Result<CompetitionView, DbError> {
    let champion = board::champion(app, &stored.competition.manifest.id).await?;
    let reward_changes = app.db.reward_changes(&stored.competition.manifest.id).await?;
    let (sha256, competition) = (stored.sha256, stored.competition);
    Ok(CompetitionView { sha256, validator: app.hotkey, competition, champion, reward_changes })
}

/// Where a submission is, and all that is known about it.
pub(crate) async fn submission(app: &App, id: &SubmissionId) -> Result<Option<SubmissionStatus>, DbError> {
    let Some(submission) = app.db.submission(id).await? else { return Ok(None) };
    let files = app.db.files(id).await?.into_iter().map(|file| file.declared).collect();
    let (queue_position, eta_seconds) = waiting(app, &submission).await?;
    let mut status = SubmissionStatus {
        id: submission.id,
        competition: submission.competition,
        hotkey: submission.hotkey,
        state: submission.state,
        reason: submission.reason.map(Into::into),
        queue_position,
        eta_seconds,
        created_at: submission.created_at,
        changed_at: submission.changed_at,
        architecture: submission.architecture,
        costs: submission.costs,
        files,
        published: app.db.published_files(id).await?,
        report: None,
        score: None,
        rank: None,
        receipt: None,
        receipt_log_index: None,
        row: None,
        latency_verdict: None,
    };
    if let Some(evaluation) = app.db.evaluation(id).await? {
        status.row = row(app, &status).await?;
        status.rank = status.row.as_ref().and_then(|row| row.rank);
        status.latency_verdict = Some(judge(&evaluation.report.latency));
        status.receipt = Some(evaluation.receipt_sha256);
        status.receipt_log_index = app.db.leaf(&receipt_key(id)).await?.and_then(|leaf| leaf.index_in_log);
        (status.report, status.score) = (Some(evaluation.report), Some(evaluation.score));
    }
    Ok(Some(status))
}

async fn row(app: &App, status: &SubmissionStatus) -> Result<Option<BoardRow>, DbError> {
    let served = board::leaderboard(app, &status.competition).await?;
    let mut rows = served.iter().flat_map(|served| &served.leaderboard.rows);
    Ok(rows.find(|row| row.submission.as_ref() == Some(&status.id)).cloned())
}

/// How many are before it, and roughly how long it takes until there is a result.
async fn waiting(app: &App, submission: &Submission) -> Result<(Option<u32>, Option<u32>), DbError> {
    let ahead = match submission.state {
        State::Queued => app.db.ahead_of(submission.arrival).await?,
        State::Evaluating => 0,
        _ => return Ok((None, None)),
    };
    let (_, pace_ms) = app.db.evaluation_pace().await?;
    let eta_ms = pace_ms.unwrap_or(PACE_GUESS_MS).saturating_mul(u64::from(ahead) + 1);
    let position = (submission.state == State::Queued).then_some(ahead);
    Ok((position, Some(u32::try_from(eta_ms.div_ceil(1_000)).unwrap_or(u32::MAX))))
}
