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
pub(crate) mod resampled;
mod rounds;
mod why;

use crate::app::App;
use crate::conditional::Ready;
use crate::db::DbError;
use protocol::api::{BoardRow, Leaderboard};
use protocol::{CompetitionId, SubmissionId};
use ranking::Sources;
use rounds::Rounds;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes of boards, as they are served, that are kept; their rows are about as much again. Five boards of a thousand rows.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// A leaderboard as it is served.
#[derive(Debug)]
pub struct Served {
    /// The board.
    pub leaderboard: Leaderboard,
    /// As JSON.
    pub(crate) json: Ready,
    /// As CSV.
    pub(crate) csv: Ready,
    /// Scored submissions that it was made of.
    pub scored: u64,
    /// Whether everything that it is made of could be read.
    pub(crate) complete: bool,
}

impl Served {
    /// The rank of every submission that has one.
    pub(crate) fn ranks(&self) -> HashMap<SubmissionId, u32> {
        let ranked = |row: &BoardRow| Some((row.submission.clone()?, row.rank?));
        self.leaderboard.rows.iter().filter_map(ranked).collect()
    }
}

/// The boards that are kept, at most 8 MiB of them or one: old competitions stay for ever, and are seldom
/// asked for.
#[derive(Debug, Default)]
pub struct Board {
    kept: RwLock<HashMap<CompetitionId, Arc<Served>>>,
    /// Counts changes, so that a board computed before one isn't kept after it.
    generation: AtomicU64,
    /// Held while missing replicates are drawn, so that many requests draw them once.
    drawing: tokio::sync::Mutex<()>,
}

impl Board {
    /// Forgets a competition's board after a new score or verdict.
    pub fn changed(&self, competition: &CompetitionId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(competition);
    }

    /// Forgets all boards after an act of the operator, who may have been another process.
    pub(crate) fn changed_by_hand(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn kept(&self, competition: &CompetitionId) -> Option<Arc<Served>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(competition).cloned()
    }

    fn keep(&self, generation: u64, competition: &CompetitionId, served: &Arc<Served>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::SeqCst) == generation {
            kept.insert(competition.clone(), Arc::clone(served));
        }
        while kept.values().map(|served| served.json.bytes() + served.csv.bytes()).sum::<usize>() > KEPT_BYTES_MAX {
            // Whichever the map names first is as good as another: it costs one ranking when it is asked for again.
            let Some(other) = kept.keys().find(|kept| *kept != competition).cloned() else { break };
            kept.remove(&other);
        }
    }
}

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
    let generation = app.board.generation.load(Ordering::SeqCst);
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
    let (json, csv) = (Ready::new(crate::db::to_json(&leaderboard)), Ready::new(csv::of(&leaderboard)));
    let elapsed_ms = began.elapsed().as_millis();
    tracing::debug!(competition = %leaderboard.competition, rows = leaderboard.rows.len(), elapsed_ms, "ranked");
    Served { leaderboard, json, csv, scored: sources.scored.len() as u64, complete }
}

/// Draws what replicates are missing, once after a start, before somebody waits for a board.
pub(crate) async fn warm(app: &App, stop: &CancellationToken) -> Result<(), DbError> {
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
    Ok(leaderboard(app, competition).await?.and_then(|served| served.leaderboard.champion.clone()))
}

/// The same; while the seat is empty the one that leads, provisionally.
///
/// # Errors
/// When the database fails.
pub(crate) async fn first(app: &App, competition: &CompetitionId) -> Result<Option<SubmissionId>, DbError> {
    let served = leaderboard(app, competition).await?;
    Ok(served.and_then(|served| served.leaderboard.champion.clone().or(served.leaderboard.leader.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn the_boards_of_many_competitions_are_kept_within_bounds_and_the_newest_is_among_them() {
        let board = Board::default();
        let served = Arc::new(Served {
            leaderboard: sample::board(1),
            json: Ready::new("7".repeat(KEPT_BYTES_MAX / 8)),
            csv: Ready::new(String::new()),
            scored: 1,
            complete: true,
        });
        for number in 0..20 {
            let competition = format!("digits-{number}").parse().unwrap();
            board.keep(0, &competition, &served);
            assert!(board.kept(&competition).is_some());
        }
        assert_eq!(board.kept.read().unwrap().len(), 7);
    }
}
