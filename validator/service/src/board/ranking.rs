//! Puts a board together: groups, places, divisions, and every figure of every row. Pure.
//!
//! Who was measured on fresh hidden items stands as the last judged round's referee said; the others follow by public
//! items, provisionally. It reads nothing and knows no formula: those are `protocol`'s and `referee`'s.

use super::rounds::Rounds;
use super::{details, own_best, resampled, why};
use crate::copies::Original;
use protocol::SubmissionId;
use protocol::api::{BoardRow, DivisionBoard, DivisionPlace, Leaderboard, OwnBest, RowKind};
use protocol::needs::Needs;
use protocol::report::Estimate;
use protocol::score::{Contender, rank, share_ppm};
use protocol::significance::Replicates;
use protocol::standing::{Division, Placed, RankEntry, SortKey, Standing, division, groups};
use std::collections::HashMap;
use store::db::competitions::{Role, StoredCompetition, StoredModel};
use store::db::evaluations::ScoredSubmission;

/// What a board is made of.
pub(super) struct Sources {
    pub(super) stored: StoredCompetition,
    pub(super) models: Vec<StoredModel>,
    /// In order of arrival.
    pub(super) scored: Vec<ScoredSubmission>,
    pub(super) replicates: HashMap<SubmissionId, Replicates>,
    /// Which submissions count as which earlier one of another owner.
    pub(super) copies: HashMap<SubmissionId, Original>,
    pub(super) rounds: Rounds,
}

/// An entry with its resampled composite.
pub(super) type Candidate<'a> = (&'a ScoredSubmission, &'a Replicates);

/// Submissions that have no rank follow the ranked ones: those that can't be compared, copies, and those below the gate.
pub(super) fn compute(sources: &Sources) -> Leaderboard {
    let Sorted { measured, provisional, incomparable, copied, gated, below_hidden } = sort_out(sources);
    let mut placed = by_fresh_items(sources, measured);
    placed.extend(by_public_items(provisional, placed.len()));
    let ranks = Ranks::new(sources, &placed);

    let mut rows: Vec<BoardRow> = model_rows(sources, Role::Teacher).collect();
    rows.extend((0..placed.len()).map(|index| ranks.row(index)));
    let unranked = |submission: &ScoredSubmission, why| with_rounds(submission_row(sources, submission, why), sources);
    for submission in incomparable {
        rows.push(unranked(submission, "its outcomes can't be read at the moment, so it can't be compared".into()));
    }
    for (submission, original) in copied {
        rows.push(unranked(submission, why::copy(original)));
    }
    for submission in in_order(below_hidden) {
        rows.push(unranked(submission, "below the accuracy gate on fresh hidden items".into()));
    }
    for submission in in_order(gated) {
        rows.push(unranked(submission, why::below_gate(&sources.stored, &submission.score)));
    }
    rows.extend(model_rows(sources, Role::Reference));
    for row in &mut rows {
        row.details = details::of(row);
    }
    Leaderboard {
        competition: sources.stored.competition.manifest.id.clone(),
        rows,
        champion: sources.rounds.seat.clone(),
        leader: placed.iter().find(|place| leads(sources, place)).map(|first| first.key.0.id.clone()),
        last_round: sources.rounds.last.map(|(round, _)| round),
        divisions: ranks.divisions,
    }
}

/// Whether a place may be named the first: what others' machines say of a model doesn't make it that.
fn leads(sources: &Sources, place: &Placed<Candidate<'_>>) -> bool {
    let submission = place.key.0;
    let is_ours = submission.worker.is_none() || sources.rounds.stand(&submission.id).is_some();
    is_ours && place.sort_key.composite_ppm > 0
}

/// In the order of the last judged round. Who has left since leaves no gap.
fn by_fresh_items<'a>(sources: &Sources, mut measured: Vec<Candidate<'a>>) -> Vec<Placed<Candidate<'a>>> {
    let stand = |candidate: &Candidate<'_>| sources.rounds.stand(&candidate.0.id);
    measured.sort_by_key(|candidate| stand(candidate).map_or(usize::MAX, |(place, _)| place));
    let (mut placed, mut group): (Vec<Placed<Candidate<'a>>>, _) = (Vec::with_capacity(measured.len()), None);
    for (place, candidate) in (1..).zip(measured) {
        let Some((_, stand)) = stand(&candidate) else { continue };
        let rank = match (placed.last(), group) {
            (Some(before), Some(rank)) if rank == stand.rank => before.rank,
            _ => place,
        };
        group = Some(stand.rank);
        let sort_key = SortKey { composite_ppm: stand.merit.composite_ppm, arrival: candidate.0.arrival };
        placed.push(Placed { key: candidate, rank, sort_key, behind_leader: stand.behind_leader });
    }
    placed
}

/// Below all that were measured on fresh items, who are so many.
fn by_public_items(provisional: Vec<Candidate<'_>>, measured: usize) -> Vec<Placed<Candidate<'_>>> {
    let entries = provisional.into_iter().map(|(submission, replicates)| RankEntry {
        key: (submission, replicates),
        arrival: submission.arrival,
        replicates,
    });
    let below = |placed: Placed<_>| Placed { rank: placed.rank + measured as u32, ..placed };
    groups(entries.collect()).into_iter().map(below).collect()
}

/// Submissions by what becomes of them, each part in order of arrival.
#[derive(Default)]
struct Sorted<'a> {
    /// Those that were measured on fresh items, and are above the gate on them.
    measured: Vec<Candidate<'a>>,
    /// Those that weren't yet.
    provisional: Vec<Candidate<'a>>,
    /// Those that are below the gate on fresh items.
    below_hidden: Vec<&'a ScoredSubmission>,
    /// Those that can't be compared.
    incomparable: Vec<&'a ScoredSubmission>,
    /// Those that count as another one, and as which: they take nobody's place.
    copied: Vec<(&'a ScoredSubmission, &'a Original)>,
    /// Those below the gate.
    gated: Vec<&'a ScoredSubmission>,
}

fn sort_out(sources: &Sources) -> Sorted<'_> {
    let mut sorted = Sorted::default();
    for submission in &sources.scored {
        match (sources.copies.get(&submission.id), sources.replicates.get(&submission.id)) {
            _ if !submission.score.gate => sorted.gated.push(submission),
            (Some(original), _) => sorted.copied.push((submission, original)),
            (None, _) if sources.rounds.is_below_gate(&submission.id) => sorted.below_hidden.push(submission),
            (None, Some(replicates)) if sources.rounds.stand(&submission.id).is_some() => {
                sorted.measured.push((submission, replicates));
            }
            (None, Some(replicates)) => sorted.provisional.push((submission, replicates)),
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
    own_best: HashMap<&'a SubmissionId, OwnBest>,
    divisions: Vec<DivisionBoard>,
    division_places: HashMap<SubmissionId, Vec<DivisionPlace>>,
}

impl<'a> Ranks<'a> {
    fn new(sources: &'a Sources, placed: &'a [Placed<Candidate<'a>>]) -> Self {
        let mut group_sizes = HashMap::new();
        placed.iter().for_each(|place| *group_sizes.entry(place.rank).or_default() += 1);
        let divisions = divisions(sources, placed);
        let mut division_places: HashMap<_, Vec<_>> = HashMap::new();
        for of in &divisions {
            for (place, id) in (1..).zip(&of.entries) {
                let here = DivisionPlace { division: of.division, place };
                division_places.entry(id.clone()).or_default().push(here);
            }
        }
        let mut candidates: Vec<Candidate<'a>> = placed.iter().map(|place| place.key).collect();
        candidates.sort_by_key(|(submission, _)| submission.arrival);
        let own_best = own_best::of(candidates);
        Self { sources, placed, group_sizes, own_best, divisions, division_places }
    }

    fn row(&self, index: usize) -> BoardRow {
        let here = &self.placed[index];
        let (submission, _) = here.key;
        let stand = self.sources.rounds.stand(&submission.id).map(|(_, stand)| stand);
        let behind = self.behind(index);
        let row = submission_row(self.sources, submission, self.why(index, stand.is_none(), behind));
        let last = self.sources.rounds.attempt(&submission.id);
        let row = BoardRow {
            rank: Some(here.rank),
            place: u32::try_from(index + 1).ok(),
            provisional: stand.is_none(),
            hidden_score_ppm: stand.map(|stand| stand.merit.composite_ppm),
            fresh_items: stand.map(|stand| stand.merit.items),
            group_size: self.group_sizes.get(&here.rank).copied(),
            last_round_rank: self.sources.rounds.rank_before(&submission.id),
            sort_key: Some(here.sort_key),
            behind_leader_ppm: behind.map(|(by, _)| by),
            behind_leader_interval_ppm: behind.and_then(|(_, interval)| interval),
            divisions: self.division_places.get(&submission.id).cloned().unwrap_or_default(),
            own_best: self.own_best.get(&submission.id).cloned(),
            needs: last.and_then(|attempt| Needs::of(&attempt.verdict)),
            ..row
        };
        with_rounds(row, self.sources)
    }

    /// How far a place is behind the first, on the items that ranks go by, with the paired interval where there is one.
    fn behind(&self, index: usize) -> Option<(i64, Option<[i64; 2]>)> {
        let (first, here) = (self.placed.first()?, &self.placed[index]);
        if index == 0 {
            return Some((0, Some([0, 0])));
        }
        let ends = |by: Estimate| [by.low_ppm, by.high_ppm];
        let measured = |place: &Placed<Candidate<'_>>| self.sources.rounds.stand(&place.key.0.id).is_some();
        match (measured(first), measured(here)) {
            (true, true) if here.rank == first.rank => here.behind_leader.map(|by| (by.value_ppm, Some(ends(by)))),
            (true, true) => Some((first.sort_key.composite_ppm - here.sort_key.composite_ppm, None)),
            (false, false) => first.key.1.minus(here.key.1).map(|by| (by.estimate.value_ppm, Some(ends(by.estimate)))),
            // On other items than the first.
            _ => None,
        }
    }

    fn why(&self, index: usize, provisional: bool, behind: Option<(i64, Option<[i64; 2]>)>) -> String {
        let here = &self.placed[index];
        if !provisional {
            return why::measured(here, self.sources.rounds.stand(&here.key.0.id), self.placed.first(), self.sources);
        }
        let group_leader = &self.placed[(here.rank as usize).saturating_sub(1).min(index)];
        let first_is_public =
            self.placed.first().is_some_and(|first| self.sources.rounds.stand(&first.key.0.id).is_none());
        let estimate = |(value_ppm, interval): (i64, Option<[i64; 2]>)| {
            let [low_ppm, high_ppm] = interval.unwrap_or([value_ppm; 2]);
            Estimate { value_ppm, low_ppm, high_ppm }
        };
        let leader = self.placed.first().filter(|_| index > 0 && first_is_public);
        let text = why::ranked(&why::Position {
            weights: &self.sources.stored.competition.manifest.score.weights,
            here: here.key.0,
            rank: here.rank,
            group_size: self.group_sizes.get(&here.rank).copied().unwrap_or(1),
            number: why::number_in_group(index, here.rank),
            leader: leader.zip(behind).map(|(first, by)| (first.key.0, estimate(by))),
            group_leader: here.behind_leader.filter(|_| here.rank > 1).map(|by| (group_leader.key.0, by)),
            next: self.placed.get(1).filter(|_| index == 0).and_then(|next| {
                let lead = here.key.1.minus(next.key.1)?;
                Some((next.key.0, lead.estimate))
            }),
        });
        match first_is_public {
            true => format!("{text}, provisional: by public items alone"),
            false => {
                "provisional: below all that were measured on fresh hidden items, and not measured on them yet".into()
            }
        }
    }
}

/// By fresh items of those that were measured on them; while nobody was, by public ones.
fn divisions(sources: &Sources, placed: &[Placed<Candidate<'_>>]) -> Vec<DivisionBoard> {
    let fresh = placed.iter().any(|place| sources.rounds.stand(&place.key.0.id).is_some());
    let ceiling = match sources.rounds.fresh_ceiling {
        Some(fresh_ceiling) if fresh => fresh_ceiling,
        _ => resampled::round(&sources.stored).ceiling,
    };
    let standing = |place: &Placed<Candidate<'_>>| {
        let (submission, _) = place.key;
        let (correct, items) = match sources.rounds.stand(&submission.id) {
            // Not everybody answered the same number of fresh items: shares of a million compare.
            Some((_, stand)) => (share_ppm(stand.merit.correct.into(), stand.merit.items.into()) as u32, 1_000_000),
            None if fresh || submission.worker.is_some() => return None,
            None => (submission.report.quality.public_correct, submission.report.data.public_items),
        };
        Some(Standing {
            key: submission.id.clone(),
            correct,
            items,
            latency_ratio_ppm: submission.report.latency.ratio.value_ppm,
            size_bytes: submission.report.cost.size_bytes,
            composite_ppm: place.sort_key.composite_ppm,
            arrival: submission.arrival,
        })
    };
    let models: Vec<_> = placed.iter().filter_map(standing).collect();
    let board = |of| DivisionBoard {
        division: of,
        entries: division(of, &models, ceiling).into_iter().map(|model| model.key).collect(),
    };
    Division::ALL.map(board).into()
}

fn submission_row(sources: &Sources, submission: &ScoredSubmission, why: String) -> BoardRow {
    let ScoredSubmission { id, hotkey, architecture, report, score, .. } = submission;
    let mut row = BoardRow::measured(RowKind::Submission, architecture.kind(), report, score, why);
    if row.latency_verdict.is_unstable() {
        row.why.push_str("; its latency is provisional: the host never became calm enough");
    }
    if submission.worker.is_some() {
        row.why.push_str("; measured on somebody else's machine, whose word decides nothing");
    }
    let engine = sources.stored.engine_in(sources.rounds.last.map_or(0, |(round, _)| round));
    if !engine.timed(&report.engine) {
        row.why.push_str(&format!("; rounds go by {}, and the latency shown is of the engine before", engine.engine));
    }
    BoardRow {
        submission: Some(id.clone()),
        hotkey: Some(*hotkey),
        owner_name: submission.owner_name.clone(),
        model_name: submission.model_name.clone(),
        brings_answers: submission.brings_answers,
        ..row
    }
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
    sources.models.iter().filter(move |model| model.role == role).filter_map(|model| model_row(sources, model))
}

/// The row of a model; a teacher that is known by its answers only has none.
fn model_row(sources: &Sources, model: &StoredModel) -> Option<BoardRow> {
    let competition = &sources.stored.competition;
    let (kind, published, why) = match model.role {
        Role::Teacher => (RowKind::Teacher, competition.teacher.model()?, "the model to distil"),
        Role::Reference => (RowKind::Reference, &competition.reference, "the model that latencies are ratios to"),
    };
    let row = BoardRow::measured(kind, published.config.architecture.kind(), &model.report, &model.score, why.into());
    let hidden = if model.role == Role::Teacher { sources.rounds.teacher() } else { None };
    Some(BoardRow {
        hidden_accuracy_ppm: hidden.map(|hidden| hidden.accuracy_ppm),
        gap_ppm: hidden.map(|hidden| hidden.gap_ppm),
        ..row
    })
}
