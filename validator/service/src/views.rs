//! What the API and the pages say about competitions and submissions, put together from the database.
//!
//! It speaks the words of `protocol::api` and knows no HTTP.

use crate::app::App;
use crate::board;
use crate::copies::revealed_probe_seed;
use crate::jobs::turns;
use protocol::amendment::is_hidden;
use protocol::api::{BoardRow, CompetitionView, MinerReward, MinerView, SubmissionStatus, SubmissionSummary};
use protocol::latency::judge;
use protocol::leaf::receipt_key;
use protocol::round::Step;
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use std::collections::HashMap;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::db::lists::ListFilter;
use store::db::submissions::Submission;

/// Seconds that an evaluation is guessed to take while none has been done.
const PACE_GUESS_MS: u64 = 60_000;

/// All competitions but hidden ones, newest first.
pub async fn competitions(app: &App) -> Result<Vec<CompetitionView>, DbError> {
    let mut views = Vec::new();
    for stored in app.db.competitions().await? {
        if !is_hidden(&stored.amendments) {
            views.push(view(app, stored).await?);
        }
    }
    Ok(views)
}

/// One competition.
pub async fn competition(app: &App, id: &CompetitionId) -> Result<Option<CompetitionView>, DbError> {
    match app.db.competition(id).await? {
        Some(stored) => Ok(Some(view(app, stored).await?)),
        None => Ok(None),
    }
}

async fn view(app: &App, stored: StoredCompetition) -> Result<CompetitionView, DbError> {
    let champion = board::champion(app, &stored.competition.manifest.id).await?;
    let reward_changes = app.db.reward_changes(&stored.competition.manifest.id).await?;
    let probe_seed = revealed_probe_seed(&app.db, &stored, app.clock.now()).await?;
    let StoredCompetition { sha256, mut competition, published, amendments, .. } = stored;
    competition.manifest = published;
    Ok(CompetitionView { sha256, validator: app.hotkey, competition, amendments, champion, reward_changes, probe_seed })
}

/// Who held a competition's seat, from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// The submission.
    pub submission: SubmissionId,
    /// Its owner.
    pub hotkey: Hotkey,
    /// Its family.
    pub architecture: Option<String>,
    /// The round that gave it the seat.
    pub round: u64,
    /// In Unix seconds.
    pub since: u64,
    /// `None` while it goes on.
    pub until: Option<u64>,
}

/// Everybody who held the seat, oldest first.
pub async fn reigns(app: &App, competition: &CompetitionId) -> Result<Vec<Reign>, DbError> {
    let mut rounds = app.db.rounds(competition).await?;
    rounds.reverse();
    let mut reigns: Vec<Reign> = Vec::new();
    for round in rounds.into_iter().filter(|round| round.step >= Step::Judged) {
        let (champion, at) = (round.record.champion, round.record.crowned_at);
        let before = reigns.last_mut().filter(|reign| reign.until.is_none());
        if before.as_ref().map(|reign| &reign.submission) == champion.as_ref() {
            continue;
        }
        if let Some(before) = before {
            before.until = Some(if champion.is_some() { at } else { round.changed_at });
        }
        let Some(champion) = champion else { continue };
        if let Some(submission) = app.db.submission(&champion).await? {
            let architecture = submission.architecture.map(|architecture| architecture.kind().to_owned());
            let hotkey = submission.hotkey;
            let (round, since) = (round.number, at);
            reigns.push(Reign { submission: champion, hotkey, architecture, round, since, until: None });
        }
    }
    Ok(reigns)
}

/// Submissions, the last that arrived first, with their ranks.
pub async fn submissions(
    app: &App,
    filter: &ListFilter,
    before: Option<u64>,
    count_max: u32,
) -> Result<Vec<SubmissionSummary>, DbError> {
    let mut listed = app.db.list(filter, before, count_max).await?;
    let mut ranks = HashMap::new();
    for summary in listed.iter_mut().filter(|summary| summary.state == State::Scored) {
        if !ranks.contains_key(&summary.competition) {
            let served = board::leaderboard(app, &summary.competition).await?;
            ranks.insert(summary.competition.clone(), served.map(|served| served.ranks()).unwrap_or_default());
        }
        summary.rank = ranks.get(&summary.competition).and_then(|ranks| ranks.get(&summary.id).copied());
    }
    Ok(listed)
}

/// What a hotkey has done here; `None` when it has never entered anything.
pub async fn miner(app: &App, hotkey: &Hotkey) -> Result<Option<MinerView>, DbError> {
    let submissions = app.db.count_of_hotkey(hotkey).await?;
    if submissions.is_empty() {
        return Ok(None);
    }
    let (mut best, mut seats, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    for stored in app.db.competitions().await? {
        let id = stored.competition.manifest.id;
        let Some(served) = board::leaderboard(app, &id).await? else { continue };
        let board = &served.leaderboard;
        let mut own = board.rows.iter().filter(|row| row.hotkey == Some(*hotkey));
        if own.clone().any(|row| row.submission.is_some() && row.submission == board.champion) {
            seats.push(id.clone());
        }
        // The board is in order, so the first is the best.
        if let Some((id, rank)) = own.find_map(|row| Some((row.submission.clone()?, row.rank?)))
            && let Some(summary) = app.db.summary(&id).await?
        {
            best.push(SubmissionSummary { rank: Some(rank), ..summary });
        }
        for round in app.db.rounds(&id).await? {
            let paid = round.record.weights.iter().filter(|weight| weight.hotkey == *hotkey);
            rewards.extend(paid.filter(|weight| weight.weight_ppm > 0).map(|weight| MinerReward {
                competition: id.clone(),
                round: round.number,
                weight_ppm: weight.weight_ppm,
                epoch: round.epoch,
                at: round.changed_at,
            }));
        }
    }
    rewards.sort_by_key(|reward| std::cmp::Reverse((reward.at, reward.round)));
    let (name, submissions) = (app.db.name_of(hotkey).await?, submissions.into_iter().collect());
    Ok(Some(MinerView { hotkey: *hotkey, name, submissions, best, seats, rewards }))
}

/// Where a submission is, and all that is known about it.
pub async fn submission(app: &App, id: &SubmissionId) -> Result<Option<SubmissionStatus>, DbError> {
    let Some(submission) = app.db.submission(id).await? else { return Ok(None) };
    let files = app.db.files(id).await?.into_iter().map(|file| file.declared).collect();
    let (queue_position, eta_seconds) = waiting(app, &submission).await?;
    let mut status = SubmissionStatus {
        id: submission.id,
        competition: submission.competition,
        hotkey: submission.hotkey,
        name: submission.name.map(String::from),
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
        forms: app.db.forms(id).await?.into_iter().filter_map(|form| form.made).collect(),
        withheld_until_round: app.db.withheld(id).await?.map(|withheld| withheld.round),
        report: None,
        score: None,
        rank: None,
        receipt: None,
        receipt_log_index: None,
        row: None,
        latency_verdict: None,
        compared: None,
    };
    if let Some(evaluation) = app.db.evaluation(id).await? {
        // Before its row, which is then at least as new.
        status.compared = Some(app.db.fingerprint(id).await?.is_some());
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
        State::Queued => turns::ahead_of(app, &submission.id).await?,
        State::Evaluating => 0,
        _ => return Ok((None, None)),
    };
    let (_, pace_ms) = app.db.evaluation_pace().await?;
    let eta_ms = pace_ms.unwrap_or(PACE_GUESS_MS).saturating_mul(u64::from(ahead) + 1);
    let position = (submission.state == State::Queued).then_some(ahead);
    Ok((position, Some(u32::try_from(eta_ms.div_ceil(1_000)).unwrap_or(u32::MAX))))
}
