//! What judged rounds say about submissions: who holds the seat, the last attempt of each, and what hidden items cost.
//!
//! It only reads what `rounds` wrote; who wins and when it may be known is decided there.

use crate::app::App;
use protocol::api::Attempt;
use protocol::dethrone::Rule;
use protocol::score::{Ceiling, share_ppm};
use protocol::submission::State;
use protocol::{CompetitionId, SubmissionId};
use referee::Stand;
use std::collections::{HashMap, HashSet};
use store::db::DbError;
use store::db::rounds::{EntryResult, Record, RoundEntry};

/// What the judged rounds of a competition found.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Who holds the seat.
    pub(super) seat: Option<SubmissionId>,
    /// The last judged round, and when it closed in Unix seconds.
    pub(super) last: Option<(u64, u64)>,
    /// Everybody's place by fresh items after the last judged round, the best first, and after the one before.
    stands: [Vec<Stand>; 2],
    /// The teacher on the last round's fresh items.
    pub(super) fresh_ceiling: Option<Ceiling>,
    /// Who is below the gate on fresh items.
    below_gate: HashSet<SubmissionId>,
    /// The last verdict on each submission.
    attempts: HashMap<SubmissionId, Attempt>,
    /// The last figures on hidden items of each submission, with their round.
    hidden: HashMap<SubmissionId, (u64, Hidden)>,
    /// The teacher's, by round.
    teacher: HashMap<u64, Hidden>,
}

/// Accuracy on hidden items, and how much less that is than on public ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hidden {
    /// Parts per million of the hidden items.
    pub(super) accuracy_ppm: i64,
    /// Public accuracy minus hidden accuracy.
    pub(super) gap_ppm: i64,
}

/// Who holds the seat by the record of the last judged round. That of one that was disqualified is empty.
pub(super) async fn seat(app: &App, latest: &Record) -> Result<Option<SubmissionId>, DbError> {
    let Some(champion) = &latest.champion else { return Ok(None) };
    let found = app.db.submission(champion).await?;
    Ok(found.filter(|found| found.state == State::Scored).map(|found| found.id))
}

impl Rounds {
    /// Reads them.
    pub(super) async fn of(app: &App, competition: &CompetitionId) -> Result<Self, DbError> {
        let Some(latest) = app.db.latest_judged(competition).await? else { return Ok(Self::default()) };
        let Some(stored) = app.db.competition(competition).await? else { return Ok(Self::default()) };
        let mut rounds = Self { last: latest.closes_at.map(|at| (latest.number, at)), ..Self::default() };
        rounds.fresh_ceiling = latest.record.drawn.as_ref().map(|drawn| drawn.fresh_ceiling);
        rounds.seat = seat(app, &latest.record).await?;
        for entry in app.db.last_attempts(competition).await? {
            rounds.take(entry);
        }
        let teacher = stored.competition.teacher.ceiling();
        let settled = app.db.rounds(competition).await?;
        let mut settled = settled.iter().filter_map(|round| round.record.settled.as_ref());
        if let Some(last) = settled.next() {
            let below = last.standing.entrants.iter().filter(|it| it.copy_of.is_none() && it.score_ppm == 0);
            rounds.below_gate.extend(below.map(|it| it.submission.clone()));
            rounds.stands = [last.stands.clone(), settled.next().map(|it| it.stands.clone()).unwrap_or_default()];
        }
        for round in app.db.rounds(competition).await? {
            if let Some(hidden) = teachers(&round.record, [teacher.correct, teacher.items]) {
                rounds.teacher.insert(round.number, hidden);
            }
        }
        Ok(rounds)
    }

    fn take(&mut self, entry: RoundEntry) {
        let round = entry.round;
        if let Some(verdict) = entry.verdict {
            if verdict.rule == Rule::BelowHiddenGate {
                self.below_gate.insert(entry.submission.clone());
            }
            self.attempts.insert(entry.submission.clone(), Attempt { round, verdict });
        }
        if let Some(EntryResult { clean_correct, clean_items, changed_correct, changed_items, .. }) = entry.result {
            let hidden = Hidden::new([clean_correct, clean_items], [changed_correct, changed_items]);
            self.hidden.insert(entry.submission, (round, hidden));
        }
    }

    /// Its place by fresh items, and in which order.
    pub(super) fn stand(&self, id: &SubmissionId) -> Option<(usize, &Stand)> {
        let [last, _] = &self.stands;
        last.iter().enumerate().find(|(_, stand)| stand.submission == *id)
    }

    /// Its rank after the judged round before the last.
    pub(super) fn rank_before(&self, id: &SubmissionId) -> Option<u32> {
        let [_, before] = &self.stands;
        before.iter().find(|stand| stand.submission == *id).map(|stand| stand.rank)
    }

    /// Whether fresh items showed it below the gate.
    pub(super) fn is_below_gate(&self, id: &SubmissionId) -> bool {
        self.below_gate.contains(id)
    }

    /// The last attempt of a submission.
    pub(super) fn attempt(&self, id: &SubmissionId) -> Option<Attempt> {
        self.attempts.get(id).copied()
    }

    /// The last figures of a submission on hidden items, and the teacher's in the same round.
    pub(super) fn hidden(&self, id: &SubmissionId) -> Option<(Hidden, Option<Hidden>)> {
        self.hidden.get(id).map(|(round, hidden)| (*hidden, self.teacher.get(round).copied()))
    }

    /// The teacher's figures in the last round that anybody was measured in.
    pub(super) fn teacher(&self) -> Option<Hidden> {
        let last = self.hidden.values().map(|(round, _)| round).max()?;
        self.teacher.get(last).copied()
    }
}

impl Hidden {
    fn new(clean: [u32; 2], changed: [u32; 2]) -> Self {
        let share = |[correct, items]: [u32; 2]| share_ppm(correct.into(), items.into());
        Self { accuracy_ppm: share(changed), gap_ppm: share(clean) - share(changed) }
    }
}

/// The teacher on a round's hidden items: the fixed ones are what is known beyond the public ones, the others are fresh.
fn teachers(record: &Record, public: [u32; 2]) -> Option<Hidden> {
    let drawn = record.drawn.as_ref()?;
    let (known, fresh) = (drawn.known_ceiling, drawn.fresh_ceiling);
    let correct = known.correct.checked_sub(public[0])?.checked_add(fresh.correct)?;
    let items = known.items.checked_sub(public[1])?.checked_add(fresh.items)?;
    (items > 0).then(|| Hidden::new(public, [correct, items]))
}
