//! The board: submissions ranked by score, between the teacher above and the reference below.
//!
//! It is derived from evaluations and can be computed again at any time; what is served is kept as bytes until a new
//! score comes. It does not decide what a score is (`protocol::score`), nor what is luck (`protocol::significance`).
//!
//! # What is shown exactly, and what isn't shown
//!
//! The stepped public score (the Ladder, `protocol::standing::step`) protects figures on items whose labels are secret:
//! exact ones let a prober learn the labels answer by answer. Submissions are measured on the public items alone, whose
//! images, labels and teacher outputs everybody has; `retort miner check` gives a miner the very same figures, as often
//! as they like, without telling us. So there is nothing to protect in them, and hiding them would only keep honest
//! people from recomputing a rank: score, report, latency samples and outcomes item by item are exact and public.
//!
//! What is secret is a round's hidden items, from the draw to the reveal. No figure on them is shown before the round is
//! judged; then all are, exactly, since nobody is measured on those items any more: the round took no submissions since
//! before they were drawn, the fresh items of the next one come from another seed, and the fixed ones count as known from
//! then on. Each model meets fresh items once, so there is nothing to probe.
//!
//! Two things remain for the step. It says to owners whether an entry is clearly better than the best that they had
//! before (`own_best`), so that nobody takes the best of many equal tries for progress; and the public p-value alone
//! dethrones nobody, however well somebody has fitted the public items.

mod csv;
mod details;
mod own_best;
mod ranking;
pub mod resampled;
mod rounds;
mod why;

use crate::app::App;
use crate::state::board::Served;
use protocol::{CompetitionId, SubmissionId};
use ranking::Sources;
use rounds::Rounds;
use std::sync::Arc;
use std::time::Instant;
use store::db::DbError;
use store::ready::Ready;
use tokio_util::sync::CancellationToken;

/// A competition's board; `None` when there is no such competition.
///
/// # Errors
/// When the database fails.
pub async fn leaderboard(app: &App, competition: &CompetitionId) -> Result<Option<Arc<Served>>, DbError> {
    if let Some(served) = app.board.kept(competition) {
        // A worker of another process tells us nothing but what it writes.
        if app.db.count_scored(competition).await? == served.scored {
            return Ok(Some(served));
        }
        app.board.changed(competition);
    }
    let generation = app.board.generation();
    let Some(stored) = app.db.competition(competition).await? else { return Ok(None) };
    let scored = app.db.scored(competition).await?;
    let resampled = resampled::of(app, &stored, &scored).await?;
    let sources = Sources {
        models: app.db.models(competition).await?,
        rounds: Rounds::of(app, competition).await?,
        replicates: resampled.replicates,
        copies: crate::copies::found_copies(&app.db, competition).await?,
        stored,
        scored,
    };
    let served = Arc::new(
        tokio::task::spawn_blocking(move || serve(&sources, resampled.complete))
            .await
            .expect("no panic, because ranking is pure and checked"),
    );
    if resampled.complete {
        app.board.keep(generation, competition, &served);
    }
    Ok(Some(served))
}

fn serve(sources: &Sources, complete: bool) -> Served {
    let began = Instant::now();
    let leaderboard = ranking::compute(sources);
    let (json, csv) = (Ready::new(store::db::to_json(&leaderboard)), Ready::new(csv::of(&leaderboard)));
    let elapsed_ms = began.elapsed().as_millis();
    tracing::debug!(competition = %leaderboard.competition, rows = leaderboard.rows.len(), elapsed_ms, "ranked");
    Served { leaderboard, json, csv, scored: sources.scored.len() as u64, complete }
}

/// Draws what replicates are missing, once after a start, before somebody waits for a board.
pub async fn warm(app: &App, stop: &CancellationToken) -> Result<(), DbError> {
    for stored in app.db.competitions().await? {
        let scored = app.db.scored(&stored.competition.manifest.id).await?;
        tokio::select! {
            drawn = resampled::of(app, &stored, &scored) => drop(drawn?),
            () = stop.cancelled() => break,
        }
    }
    Ok(())
}

/// The submission that holds the seat.
///
/// # Errors
/// When the database fails.
pub async fn champion(app: &App, competition: &CompetitionId) -> Result<Option<SubmissionId>, DbError> {
    match app.db.latest_judged(competition).await? {
        Some(latest) => rounds::seat(app, &latest.record).await,
        None => Ok(None),
    }
}

/// The same; while the seat is empty the one that leads, provisionally.
///
/// # Errors
/// When the database fails.
pub async fn first(app: &App, competition: &CompetitionId) -> Result<Option<SubmissionId>, DbError> {
    let served = leaderboard(app, competition).await?;
    Ok(served.and_then(|served| served.leaderboard.champion.clone().or(served.leaderboard.leader.clone())))
}
