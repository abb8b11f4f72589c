//! Puts a board together: groups, places, divisions, and every figure of every row. Pure.
//!
//! It reads nothing and knows no formula: those are `protocol`'s.

use super::rounds::Rounds;
use super::{details, own_best, resampled, why};
use crate::db::competitions::{Role, StoredCompetition, StoredModel};
use crate::db::evaluations::ScoredSubmission;
use protocol::SubmissionId;
use protocol::api::{BoardRow, DivisionBoard, DivisionPlace, Leaderboard, OwnBest, RowKind};
use protocol::needs::Needs;
use protocol::report::Estimate;
use protocol::score::{Contender, rank};
use protocol::significance::{Difference, Replicates};
use protocol::standing::{Division, Entry, Placed, Standing, division, groups};
use std::collections::HashMap;

/// What a board is made of.
pub(super) struct Sources {
    pub(super) stored: StoredCompetition,
    pub(super) models: Vec<StoredModel>,
    /// In order of arrival.
    pub(super) scored: Vec<ScoredSubmission>,
    pub(super) replicates: HashMap<SubmissionId, Replicates>,
    /// Which submissions count as which earlier one of another owner.
    pub(super) copies: HashMap<SubmissionId, SubmissionId>,
    pub(super) rounds: Rounds,
}

/// An entry with its resampled composite.
type Candidate<'a> = (&'a ScoredSubmission, &'a Replicates);

/// Submissions that have no rank follow the ranked ones: those that can't be compared, copies, and those below the gate.
pub(super) fn compute(sources: &Sources) -> Leaderboard {
    let Sorted { candidates, incomparable, copied, gated } = sort_out(sources);
    let entries = candidates.iter().map(|&(submission, replicates)| Entry {
        key: (submission, replicates),
        arrival: submission.arrival,
        replicates,
    });
    let placed = groups(entries.collect());
    let ranks = Ranks::new(sources, &candidates, &placed);

    let mut rows: Vec<BoardRow> = model_rows(sources, Role::Teacher).collect();
    rows.extend((0..placed.len()).map(|index| ranks.row(index)));
    let unranked = |submission: &ScoredSubmission, why| with_rounds(submission_row(submission, why), sources);
    for submission in incomparable {
        rows.push(unranked(submission, "its outcomes can't be read at the moment, so it can't be compared".into()));
    }
    for (submission, original) in copied {
        rows.push(unranked(submission, why::copy(original)));
    }
    for submission in in_order(gated) {
        rows.push(unranked(submission, why::below_gate(&sources.stored, &submission.score)));
    }
    rows.extend(model_rows(sources, Role::Reference));
    for row in &mut rows {
        row.details = details::of(row);
    }
    let competition = sources.stored.competition.manifest.id.clone();
    let last_round = sources.rounds.last.map(|(round, _)| round);
    Leaderboard { competition, rows, champion: ranks.champion().cloned(), last_round, divisions: ranks.divisions }
}

/// Submissions by what becomes of them, each part in order of arrival.
#[derive(Default)]
struct Sorted<'a> {
    /// Those that can be ranked.
    candidates: Vec<Candidate<'a>>,
    /// Those that can't be compared.
    incomparable: Vec<&'a ScoredSubmission>,
    /// Those that count as another one, and as which: they take nobody's place.
    copied: Vec<(&'a ScoredSubmission, &'a SubmissionId)>,
    /// Those below the gate.
    gated: Vec<&'a ScoredSubmission>,
}

fn sort_out(sources: &Sources) -> Sorted<'_> {
    let mut sorted = Sorted::default();
    for submission in &sources.scored {
        match (sources.copies.get(&submission.id), sources.replicates.get(&submission.id)) {
            _ if !submission.score.gate => sorted.gated.push(submission),
            (Some(original), _) => sorted.copied.push((submission, original)),
            (None, Some(replicates)) => sorted.candidates.push((submission, replicates)),
            (None, None) => sorted.incomparable.push(submission),
        }
    }
    sorted
}

/// Best first, ties to the earlier.
fn in_order(submissions: Vec<&ScoredSubmission>) -> Vec<&ScoredSubmission> {
    let contenders = submissions.into_iter().map(|submission| Contender {
        score_ppm: submission.score.accuracy.value_ppm,
        arrival: submission.arrival,
        key: submission,
    });
    rank(contenders.collect()).into_iter().map(|contender| contender.key).collect()
}

/// Everything that rows are made of beyond their own measurements.
struct Ranks<'a> {
    sources: &'a Sources,
    placed: &'a [Placed<Candidate<'a>>],
    group_sizes: HashMap<u32, u32>,
    /// Ranks when the last judged round closed.
    before: HashMap<&'a SubmissionId, u32>,
    own_best: HashMap<&'a SubmissionId, OwnBest>,
    divisions: Vec<DivisionBoard>,
    division_places: HashMap<SubmissionId, Vec<DivisionPlace>>,
}

impl<'a> Ranks<'a> {
    fn new(sources: &'a Sources, candidates: &[Candidate<'a>], placed: &'a [Placed<Candidate<'a>>]) -> Self {
        let mut group_sizes = HashMap::new();
        placed.iter().for_each(|place| *group_sizes.entry(place.rank).or_default() += 1);
        let divisions = divisions(sources, candidates);
        let mut division_places: HashMap<_, Vec<_>> = HashMap::new();
        for of in &divisions {
            for (place, id) in (1..).zip(&of.entries) {
                let here = DivisionPlace { division: of.division, place };
                division_places.entry(id.clone()).or_default().push(here);
            }
        }
        let own_best = own_best::of(candidates.iter().copied());
        let before = before(sources, candidates);
        Self { sources, placed, group_sizes, before, own_best, divisions, division_places }
    }

    /// Who holds the seat; while nobody does, the first place, unless its composite is worth nothing.
    fn champion(&self) -> Option<&'a SubmissionId> {
        let first = self.placed.first().filter(|first| first.sort_key.composite_ppm > 0);
        self.sources.rounds.seat.as_ref().or(first.map(|first| &first.key.0.id))
    }

    fn row(&self, index: usize) -> BoardRow {
        let here = &self.placed[index];
        let (submission, replicates) = here.key;
        let difference = self.placed.first().filter(|_| index > 0).and_then(|first| first.key.1.minus(replicates));
        let behind = if index == 0 { Some(Estimate::default()) } else { difference.map(|d| d.estimate) };
        let row = submission_row(submission, self.why(index, behind));
        let row = BoardRow {
            rank: Some(here.rank),
            place: u32::try_from(index + 1).ok(),
            group_size: self.group_sizes.get(&here.rank).copied(),
            last_round_rank: self.before.get(&submission.id).copied(),
            sort_key: Some(here.sort_key),
            behind_leader_ppm: behind.map(|behind| behind.value_ppm),
            behind_leader_interval_ppm: behind.map(|behind| [behind.low_ppm, behind.high_ppm]),
            divisions: self.division_places.get(&submission.id).cloned().unwrap_or_default(),
            own_best: self.own_best.get(&submission.id).cloned(),
            needs: self.needs(submission, replicates, difference),
            ..row
        };
        with_rounds(row, self.sources)
    }

    /// What it lacks against the champion; `behind_first` spares a subtraction where the first place is the champion.
    fn needs(
        &self,
        submission: &ScoredSubmission,
        replicates: &Replicates,
        behind_first: Option<Difference>,
    ) -> Option<Needs> {
        let champion = self.champion().filter(|champion| **champion != submission.id)?;
        let leads = self.placed.first().is_some_and(|first| first.key.0.id == *champion);
        let behind = match behind_first {
            Some(behind) if leads => behind,
            _ => self.sources.replicates.get(champion)?.minus(replicates)?,
        };
        let Estimate { value_ppm, low_ppm, high_ppm } = behind.estimate;
        let ahead = Estimate { value_ppm: -value_ppm, low_ppm: -high_ppm, high_ppm: -low_ppm };
        let rules = &self.sources.stored.competition.manifest.dethrone;
        let items = submission.report.data.public_items;
        Some(Needs::of(&Difference { estimate: ahead, ..behind }, items, rules))
    }

    fn why(&self, index: usize, behind: Option<Estimate>) -> String {
        let here = &self.placed[index];
        let group_leader = &self.placed[(here.rank as usize).saturating_sub(1).min(index)];
        why::ranked(&why::Position {
            weights: &self.sources.stored.competition.manifest.score.weights,
            here: here.key.0,
            rank: here.rank,
            group_size: self.group_sizes.get(&here.rank).copied().unwrap_or(1),
            leader: self.placed.first().filter(|_| index > 0).zip(behind).map(|(first, by)| (first.key.0, by)),
            group_leader: here.behind_leader.filter(|_| here.rank > 1).map(|by| (group_leader.key.0, by)),
            next: self.placed.get(1).filter(|_| index == 0).and_then(|next| {
                let lead = here.key.1.minus(next.key.1)?;
                Some((next.key.0, lead.estimate))
            }),
        })
    }
}

/// How those stood that were scored when the last judged round closed, by the same rules as today.
fn before<'a>(sources: &Sources, candidates: &[Candidate<'a>]) -> HashMap<&'a SubmissionId, u32> {
    let Some((_, closed_at)) = sources.rounds.last else { return HashMap::new() };
    let early = candidates.iter().filter(|(submission, _)| submission.evaluated_at <= closed_at);
    let entries =
        early.map(|&(submission, replicates)| Entry { key: &submission.id, arrival: submission.arrival, replicates });
    groups(entries.collect()).into_iter().map(|placed| (placed.key, placed.rank)).collect()
}

fn divisions(sources: &Sources, candidates: &[Candidate<'_>]) -> Vec<DivisionBoard> {
    let ceiling = resampled::round(&sources.stored).ceiling;
    let standing = |(submission, replicates): &Candidate<'_>| Standing {
        key: submission.id.clone(),
        correct: submission.report.quality.public_correct,
        items: submission.report.data.public_items,
        latency_ratio_ppm: submission.report.latency.ratio.value_ppm,
        size_bytes: submission.report.cost.size_bytes,
        composite_ppm: replicates.composite_ppm(),
        arrival: submission.arrival,
    };
    let models: Vec<_> = candidates.iter().map(standing).collect();
    let board = |of| DivisionBoard {
        division: of,
        entries: division(of, &models, ceiling).into_iter().map(|model| model.key).collect(),
    };
    Division::ALL.map(board).into()
}

fn submission_row(submission: &ScoredSubmission, why: String) -> BoardRow {
    let ScoredSubmission { id, hotkey, architecture, report, score, .. } = submission;
    let mut row = BoardRow::measured(RowKind::Submission, architecture, report, score, why);
    if row.latency_verdict.is_unstable() {
        row.why.push_str("; its latency is provisional: the host never became calm enough");
    }
    BoardRow { submission: Some(id.clone()), hotkey: Some(*hotkey), ..row }
}

/// Adds what judged rounds found.
fn with_rounds(row: BoardRow, sources: &Sources) -> BoardRow {
    let Some(id) = &row.submission else { return row };
    let last_attempt = sources.rounds.attempt(id);
    let Some((hidden, teacher)) = sources.rounds.hidden(id) else { return BoardRow { last_attempt, ..row } };
    BoardRow {
        last_attempt,
        hidden_accuracy_ppm: Some(hidden.accuracy_ppm),
        gap_ppm: Some(hidden.gap_ppm),
        teacher_gap_ppm: teacher.map(|teacher| teacher.gap_ppm),
        ..row
    }
}

fn model_rows(sources: &Sources, role: Role) -> impl Iterator<Item = BoardRow> {
    sources.models.iter().filter(move |model| model.role == role).map(|model| model_row(sources, model))
}

fn model_row(sources: &Sources, model: &StoredModel) -> BoardRow {
    let competition = &sources.stored.competition;
    let (kind, published, why) = match model.role {
        Role::Teacher => (RowKind::Teacher, &competition.teacher, "the model to distil"),
        Role::Reference => (RowKind::Reference, &competition.reference, "the model that latencies are ratios to"),
    };
    let row = BoardRow::measured(kind, &published.config.architecture, &model.report, &model.score, why.into());
    let hidden = if model.role == Role::Teacher { sources.rounds.teacher() } else { None };
    BoardRow {
        hidden_accuracy_ppm: hidden.map(|hidden| hidden.accuracy_ppm),
        gap_ppm: hidden.map(|hidden| hidden.gap_ppm),
        ..row
    }
}
