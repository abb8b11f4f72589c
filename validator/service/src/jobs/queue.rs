//! The one queue of all that is measured: whose work is next (docs/RULES.md tells it to miners), and a turn for it.
//!
//! Submissions, rounds and publications each have a share: of those that wait, it is the turn of the kind for which the machine worked
//! least in the last minutes. So none waits for another's end, however long that is. Among rounds, and among publications, it is the
//! turn of the competition for which it worked least, there in the order in which was asked; among submissions `turns` says. It does
//! not know what is measured.

use super::evaluate::Post;
use super::turns::Taker;
use super::{IDLE, evaluate, pieces, turns};
use crate::app::App;
use crate::breaker;
use crate::engines;
use crate::evaluator::{AtHome, Evaluator, Machine, ProgressFn, silent};
use crate::fleet::Seated;
use protocol::submission::State;
use protocol::{CompetitionId, SubmissionId};
use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::db::DbError;
use store::db::work::{AskedKind, Piece, WorkUsed};
use tokio_util::sync::CancellationToken;

/// The window in which it counts for whom the machine worked. What had the machine alone before waits for half of it at most.
const WINDOW_SECONDS: u64 = 600;
/// How long a machine that can't even be waited for is left alone.
const MACHINE_REST: Duration = Duration::from_secs(10);

/// What can be next: whatever is measured is one of these.
#[derive(Debug)]
pub(super) enum Work {
    /// A submission, whose row says that it is queued for this attempt.
    Submission(SubmissionId, u64),
    /// Whatever else has a row of its own: a round's member, a round's teacher, a publication's model.
    Asked(Box<Piece>),
}

/// Who shares the machine. Of two for which it worked as long, the first is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Rounds,
    Submissions,
    /// Models of a competition that is to appear, and forms of a champion that are.
    Publications,
}

impl Kind {
    fn of(asked: AskedKind) -> Self {
        match asked {
            AskedKind::RoundEntry | AskedKind::Teacher => Self::Rounds,
            AskedKind::Publication | AskedKind::Form => Self::Publications,
        }
    }
}

/// For whom the machine worked how long, in milliseconds.
#[derive(Debug, Default)]
struct Used {
    kinds: HashMap<Kind, u64>,
    competitions: HashMap<(Kind, CompetitionId), u64>,
}

/// Who comes first has the smallest.
type Place = (u64, Kind, u64, u64);

impl Used {
    async fn lately(app: &App, now: u64) -> Result<Self, DbError> {
        let since = now.saturating_sub(WINDOW_SECONDS);
        let mut used = Self::default();
        for WorkUsed { kind, competition, used_ms } in app.db.work_time(since, now).await? {
            used.add(Kind::of(kind), Some(competition), used_ms);
        }
        for submissions in app.db.machine_time(since, now).await? {
            used.add(Kind::Submissions, None, submissions.used_ms);
        }
        Ok(used)
    }

    fn add(&mut self, kind: Kind, competition: Option<CompetitionId>, used_ms: u64) {
        let add = |sum: &mut u64| *sum = sum.saturating_add(used_ms);
        add(self.kinds.entry(kind).or_default());
        if let Some(competition) = competition {
            add(self.competitions.entry((kind, competition)).or_default());
        }
    }

    /// The place of something of this kind, which came as this number of those of its competition, if it has one.
    fn place(&self, kind: Kind, asked: Option<(&CompetitionId, u64)>) -> Place {
        let of_kind = self.kinds.get(&kind).copied().unwrap_or_default();
        let Some((competition, number)) = asked else { return (of_kind, kind, 0, 0) };
        let of_competition = self.competitions.get(&(kind, competition.clone())).copied().unwrap_or_default();
        (of_kind, kind, of_competition, number)
    }
}

/// Whose turn it is on this machine; `None` if nobody's next attempt may begin yet.
async fn next(app: &App) -> Result<Option<Work>, DbError> {
    let now = app.clock.now();
    let taker = if app.config.submissions_elsewhere { Taker::OursForTheRest } else { Taker::Ours };
    let submission = turns::next(app, State::Queued, taker).await?.map(|(id, attempt)| Work::Submission(id, attempt));
    let pieces = app.db.pieces_due(now).await?;
    if pieces.is_empty() {
        return Ok(submission);
    }
    let used = Used::lately(app, now).await?;
    let asked = pieces.into_iter().map(|piece| Work::Asked(Box::new(piece)));
    Ok(asked.chain(submission).min_by_key(|work| match work {
        Work::Submission(..) => used.place(Kind::Submissions, None),
        Work::Asked(piece) => used.place(Kind::of((&piece.asked).into()), Some((&piece.competition, piece.id))),
    }))
}

/// Measures for whose turn it is, if it is anybody's. A turn waits while nothing can be measured.
pub(super) async fn turn(app: &App, stop: &CancellationToken) -> Result<(), Box<dyn Error + Send + Sync>> {
    app.breaker.whole(stop).await;
    if stop.is_cancelled() || next(app).await?.is_none() {
        return Ok(());
    }
    let Some(machine) = machine(app, stop).await else { return Ok(()) };
    // It may be another's turn by now.
    match next(app).await? {
        Some(Work::Submission(id, attempt)) => {
            let post = Post { evaluator: &*app.evaluator, machine };
            Ok(Box::pin(evaluate::attempt(app, post, (&id, attempt), stop)).await?)
        }
        Some(Work::Asked(piece)) => Ok(Box::pin(pieces::attempt(app, machine, *piece, silent(), stop)).await?),
        None => Ok(()),
    }
}

/// Has the submission whose turn it is measured by a worker elsewhere, if it is there and the submission is one for it. What rounds and
/// publications ask stays on this machine: all that a round compares is measured on one.
pub(super) async fn turn_elsewhere(
    app: &App,
    worker: &AtHome<Seated>,
    stop: &CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    app.breaker.whole(stop).await;
    let machine = tokio::select! {
        machine = worker.machine() => machine?,
        () = stop.cancelled() => return Ok(()),
        () = tokio::time::sleep(IDLE) => return Ok(()),
    };
    let taker = if worker.0.seat.trust.is_own() { Taker::Ours } else { Taker::Others };
    let Some((id, attempt)) = turns::next(app, State::Queued, taker).await? else { return Ok(()) };
    if !is_for(app, &worker.0, &id).await? {
        tokio::time::sleep(IDLE).await;
        return Ok(());
    }
    let post = Post { evaluator: worker, machine };
    Ok(Box::pin(evaluate::attempt(app, post, (&id, attempt), stop)).await?)
}

/// Whether a worker has what a submission's competition is measured on, and is of its class.
async fn is_for(app: &App, worker: &Seated, id: &SubmissionId) -> Result<bool, DbError> {
    let Some(submission) = app.db.submission(id).await? else { return Ok(false) };
    let Some(stored) = app.db.competition(&submission.competition).await? else { return Ok(false) };
    let (engine, facts) = (engines::in_force(app, &stored).await?, &worker.seat.facts);
    let is_of_class = stored.competition.manifest.hardware.is_none_or(|named| named.is_of(&facts.class));
    Ok(is_of_class && facts.engines.iter().any(|here| engine.is_met_by(here)))
}

/// Measures the next that a competition's rounds or its publication ask, where nobody serves who would; whether there was any.
///
/// # Errors
/// When what came of it can't be recorded.
pub async fn measure_for(
    app: &App,
    competition: &CompetitionId,
    progress: ProgressFn,
) -> Result<bool, crate::rounds::RoundError> {
    let stop = CancellationToken::new();
    let mut due = app.db.pieces_due(app.clock.now()).await?.into_iter();
    let Some(piece) = due.find(|piece| piece.competition == *competition) else { return Ok(false) };
    if let Some(machine) = machine(app, &stop).await {
        Box::pin(pieces::attempt(app, machine, piece, progress, &stop)).await?;
    }
    Ok(true)
}

/// The machine, once it is free; `None` when there is no time left to wait for it. Until then whoever is next is queued, and
/// neither a clock runs nor an attempt counts: somebody may measure for an hour.
async fn machine(app: &App, stop: &CancellationToken) -> Option<Machine> {
    let free = async {
        loop {
            match app.evaluator.machine().await {
                Ok(machine) => return machine,
                Err(failure) => {
                    tracing::error!("no measurement can begin: {failure}");
                    breaker::look(app).await;
                }
            }
            tokio::time::sleep(MACHINE_REST).await;
        }
    };
    let waits_on = async {
        loop {
            // Whoever waits isn't stuck.
            app.signals.busy_at.store(app.clock.now(), Ordering::Relaxed);
            tokio::time::sleep(IDLE).await;
        }
    };
    tokio::select! {
        machine = free => Some(machine),
        () = stop.cancelled() => None,
        () = waits_on => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who waits, and how long each of its pieces takes.
    type Waits = (Kind, Option<CompetitionId>, u64);

    fn competition(name: &str) -> Option<CompetitionId> {
        Some(name.parse().unwrap())
    }

    /// Who has the machine in turn while all wait on, from what it did before.
    fn turns(used: &mut Used, waits: &[Waits], count: usize) -> Vec<usize> {
        let place = |used: &Used, index: usize| {
            let (kind, competition, _) = &waits[index];
            used.place(*kind, competition.as_ref().map(|competition| (competition, index as u64)))
        };
        (0..count)
            .map(|_| {
                let next = (0..waits.len()).min_by_key(|index| place(used, *index)).unwrap();
                let (kind, competition, takes_ms) = &waits[next];
                used.add(*kind, competition.clone(), *takes_ms);
                next
            })
            .collect()
    }

    #[test]
    fn each_kind_has_its_share_of_the_machines_time_however_much_of_another_waits() {
        let waits = [
            (Kind::Submissions, None, 20_000),
            (Kind::Rounds, competition("digits"), 1_000),
            (Kind::Publications, competition("letters"), 5_000),
        ];
        let mut used = Used::default();
        let turns = turns(&mut used, &waits, 2_600);
        for kind in [Kind::Submissions, Kind::Rounds, Kind::Publications] {
            let share = used.kinds[&kind] * 100 / used.kinds.values().sum::<u64>();
            assert!((32..=34).contains(&share), "{kind:?}: {share} %");
        }
        assert_eq!(turns[..3], [1, 0, 2], "a round first, and then whoever had nothing");
    }

    #[test]
    fn a_round_of_one_competition_waits_for_no_end_of_anothers() {
        let waits = [
            (Kind::Rounds, competition("long"), 30_000),
            (Kind::Rounds, competition("short"), 10_000),
            (Kind::Rounds, competition("other"), 10_000),
        ];
        let mut used = Used::default();
        used.add(Kind::Rounds, competition("long"), 300_000);
        let turns = turns(&mut used, &waits, 20);
        assert!(turns.iter().all(|turn| *turn != 0), "it had its share: {turns:?}");
        assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "the others take turns: {turns:?}");
    }

    #[test]
    fn who_comes_when_another_kind_had_the_machine_alone_is_next() {
        let waits = [(Kind::Rounds, competition("digits"), 1_000), (Kind::Submissions, None, 20_000)];
        for (before, next) in [(Kind::Rounds, 1), (Kind::Submissions, 0)] {
            let mut used = Used::default();
            used.add(before, None, 600_000);
            assert_eq!(turns(&mut used, &waits, 1), [next]);
        }
    }
}
