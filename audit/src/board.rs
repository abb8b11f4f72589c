//! The board, held against receipts, and its places against the record of the round that it rests on.
//!
//! It does NOT compute places among those that no fresh items were asked of, which are provisional and paid nothing; nor
//! sentences, names and divisions.

use super::history::Past;
use super::members::{self, Decided, Field};
use super::{Case, Findings};
use protocol::SubmissionId;
use protocol::api::{Attempt, BoardRow, Leaderboard, RowKind};
use protocol::needs::Needs;
use protocol::score::{Ceiling, score, share_ppm};
use protocol::standing::SortKey;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// All of it.
pub(super) fn check(case: &Case<'_>, past: &Past, field: &Field, findings: &mut Findings<'_>) {
    let Some(board) = case.board else { return };
    let mut problems: Vec<String> = newest(case, board).into_iter().collect();
    problems.extend(rows(case, field, board));
    problems.extend(missing(case, board));
    if board.last_round == Some(past.record.round) {
        let Places { wrong, unplaced } = places(case, past, board);
        problems.extend(wrong);
        problems.extend(rounds(case, past, field, board));
        let told =
            |id: SubmissionId| format!("{id} has a place by fresh items and none on the board: a copy, found since?");
        unplaced.into_iter().for_each(|id| findings.unclear("board", told(id)));
    }
    findings.all("board", &problems, format!("{} rows follow from receipts", board.rows.len()));
}

/// Whether it rests on the newest judged round.
fn newest(case: &Case<'_>, board: &Leaderboard) -> Option<String> {
    if board.competition != *case.id() {
        return Some(format!("it is the board of {}", board.competition));
    }
    let [least, most] = [case.seen, u64::MAX].map(|entries| case.log.latest_judged(case.id(), entries));
    let shown = board.last_round.unwrap_or(0);
    let named = |round: u64| if round == 0 { "no round".to_owned() } else { format!("round {round}") };
    let problem = || format!("it rests on {}, and the newest that the log judges is {}", named(shown), named(most));
    (!(least..=most).contains(&shown)).then(problem)
}

/// Whether each row shows what its receipt says, or what was published of its model.
fn rows(case: &Case<'_>, field: &Field, board: &Leaderboard) -> Vec<String> {
    let (mut problems, mut seen) = (Vec::new(), BTreeSet::new());
    for row in &board.rows {
        let holds = match (row.kind, &row.submission) {
            (RowKind::Submission, Some(id)) => {
                let other;
                let own = match field.own.get(id) {
                    Some(own) => Some(own),
                    None => {
                        other = members::own(case, id).ok();
                        other.as_ref()
                    }
                };
                let hotkey = case.log.commitments.get(id).map(|(_, commitment)| commitment.hotkey);
                own.is_some_and(|own| row.hotkey == hotkey && follows(row, &own.report, case))
            }
            (RowKind::Teacher, None) => published(row, case.competition.teacher.ceiling()),
            (RowKind::Reference, None) => published(row, case.competition.reference.ceiling()),
            _ => false,
        };
        let name =
            row.submission.as_ref().map_or_else(|| format!("the {:?}", row.kind).to_lowercase(), |id| id.to_string());
        if !holds {
            problems.push(format!("the row of {name} doesn't follow from its receipt"));
        }
        if !seen.insert(name.clone()) {
            problems.push(format!("{name} has two rows"));
        }
    }
    let [first, last] = [board.rows.first(), board.rows.last()].map(|row| row.map(|row| row.kind));
    // A teacher that is known by its answers only has no row.
    let leads = (first == Some(RowKind::Teacher)) == case.competition.teacher.model().is_some();
    if !leads || last != Some(RowKind::Reference) {
        problems.push("the teacher doesn't lead it, or the reference doesn't end it".into());
    }
    problems
}

/// Whether a row shows what a report says.
fn follows(row: &BoardRow, report: &protocol::Report, case: &Case<'_>) -> bool {
    let score = score(report, case.competition.teacher.ceiling(), &case.competition.manifest.score);
    // The family stands in the package, not in the report.
    figures(row) == figures(&BoardRow::measured(row.kind, &row.architecture, report, &score, String::new()))
}

/// Everything of a row that one measurement says.
fn figures(row: &BoardRow) -> serde_json::Value {
    json!([
        [row.accuracy_ppm, row.agreement_ppm, row.latency_ratio_ppm, row.score_ppm],
        [row.accuracy_interval_ppm, row.latency_ratio_interval_ppm, row.score_interval_ppm],
        [row.size_bytes, row.parameters, row.macs, row.latency_us_p50],
        [json!(row.latency_us_p90), json!(row.latency_verdict), json!(row.state)],
    ])
}

/// Whether a published model's row has its right answers, which the competition's digest binds; nothing else of it is signed.
fn published(row: &BoardRow, ceiling: Ceiling) -> bool {
    row.accuracy_ppm == share_ppm(ceiling.correct.into(), ceiling.items.into())
}

/// Who was scored before the board was asked for and has no row.
fn missing(case: &Case<'_>, board: &Leaderboard) -> Vec<String> {
    let shown: BTreeSet<&SubmissionId> = board.rows.iter().filter_map(|row| row.submission.as_ref()).collect();
    let scored = case
        .log
        .receipts
        .iter()
        .filter(|(_, (index, signed))| *index < case.seen && signed.receipt.subject.competition == *case.id());
    let missing = scored.filter(|(id, (index, _))| !shown.contains(id) && !left(case, id, *index));
    missing.map(|(id, _)| format!("{id} is scored, and has no row")).collect()
}

/// Whether a submission was taken out after it was scored.
fn left(case: &Case<'_>, id: &SubmissionId, scored: u64) -> bool {
    case.log.disqualified.contains_key(id)
        || case.log.ends.get(id).is_some_and(|ends| ends.iter().any(|(index, _)| *index > scored))
}

/// What places are not the record's.
struct Places {
    wrong: Vec<String>,
    /// Who has a place in the record and is shown without one.
    unplaced: Vec<SubmissionId>,
}

fn places(case: &Case<'_>, past: &Past, board: &Leaderboard) -> Places {
    let record = &past.record;
    let (mut wrong, mut unplaced) = (Vec::new(), Vec::new());
    let rows: BTreeMap<&SubmissionId, &BoardRow> =
        board.rows.iter().filter_map(|row| Some((row.submission.as_ref()?, row))).collect();
    let (mut place, mut group) = (0, None);
    for stand in &record.stands {
        let id = &stand.submission;
        let Some(row) = rows.get(id) else { continue };
        if row.rank.is_none() {
            // What is worth nothing is below the gate.
            unplaced.extend((stand.merit.composite_ppm > 0).then(|| id.clone()));
            continue;
        }
        place += 1;
        let rank = match group {
            Some((theirs, rank)) if theirs == stand.rank => rank,
            _ => place,
        };
        group = Some((stand.rank, rank));
        let arrival = case.log.commitments.get(id).map_or(0, |(_, commitment)| commitment.arrival);
        let sort_key = SortKey { composite_ppm: stand.merit.composite_ppm, arrival };
        let expected = (Some(rank), Some(place), Some(stand.merit.composite_ppm), Some(stand.merit.items), false);
        let found = (row.rank, row.place, row.hidden_score_ppm, row.fresh_items, row.provisional);
        if found != expected || row.sort_key != Some(sort_key) {
            wrong.push(format!("the row of {id} has another hidden score, rank or place than the record gives it"));
        }
    }
    wrong.extend(order(past, board, place));
    let seat = &record.champion;
    let may_be_empty = seat.as_ref().is_some_and(|id| case.log.disqualified.contains_key(id));
    if board.champion != *seat && !(may_be_empty && board.champion.is_none()) {
        wrong.push("the board's champion isn't the record's".into());
    }
    Places { wrong, unplaced }
}

/// Whether rows stand in the order of their places, and those without fresh items below the `measured` ones.
fn order(past: &Past, board: &Leaderboard, measured: u32) -> Vec<String> {
    let mut wrong = Vec::new();
    let ranked: Vec<&BoardRow> = board.rows.iter().filter(|row| row.rank.is_some()).collect();
    let size = |row: &BoardRow| ranked.iter().filter(|other| other.rank == row.rank).count() as u32;
    for (place, row) in (1..).zip(&ranked) {
        let Some(id) = &row.submission else { continue };
        let stands = past.record.stands.iter().any(|stand| stand.submission == *id);
        let below = row.provisional && row.rank > Some(measured) && row.hidden_score_ppm.is_none();
        if row.place != Some(place) || row.group_size != Some(size(row)) || !(stands || below) {
            wrong.push(format!("the row of {id} stands where no fresh items put it"));
        }
    }
    let first = ranked.first().filter(|row| row.sort_key.is_some_and(|key| key.composite_ppm > 0));
    if board.leader != first.and_then(|row| row.submission.clone()) {
        wrong.push("it names another leader than its first row".into());
    }
    wrong
}

/// Whether rows show what the round said of its members, and of the teacher.
fn rounds(case: &Case<'_>, past: &Past, field: &Field, board: &Leaderboard) -> Vec<String> {
    let record = &past.record;
    let teacher = teacher(case, past);
    let mut wrong = Vec::new();
    for row in &board.rows {
        let Some(id) = &row.submission else {
            let expected = teacher.filter(|_| row.kind == RowKind::Teacher);
            // Where nobody was measured, the teacher's are of an earlier round.
            if !field.decided.is_empty() && (row.hidden_accuracy_ppm, row.gap_ppm) != expected.unzip() {
                wrong.push("the teacher's row has other hidden figures than the record".to_owned());
            }
            continue;
        };
        let Some(member) = record.members.iter().find(|member| member.submission == *id) else { continue };
        let decided = field.decided.get(id);
        if decided.is_none() && member.receipt.is_some() {
            continue;
        }
        let hidden = decided.map(|decided: &Decided| compared(decided.counts(case))).unzip();
        let attempt = member.verdict.map(|verdict| Attempt { round: record.round, verdict });
        let needs = member.verdict.filter(|_| row.rank.is_some()).and_then(|verdict| Needs::of(&verdict));
        let teacher_gap = teacher.filter(|_| decided.is_some()).map(|(_, gap)| gap);
        let holds = (row.hidden_accuracy_ppm, row.gap_ppm) == hidden
            && (row.last_attempt, row.teacher_gap_ppm) == (attempt, teacher_gap)
            && row.needs == needs;
        if !holds {
            wrong.push(format!("the row of {id} says otherwise what became of it in the round"));
        }
    }
    wrong
}

/// The teacher's accuracy on the round's hidden items, and how much less that is than on public ones.
fn teacher(case: &Case<'_>, past: &Past) -> Option<(i64, i64)> {
    let (public, items) = (case.competition.teacher.ceiling(), &past.record.items);
    let correct = items.known_ceiling.correct.checked_sub(public.correct)?.checked_add(items.fresh_ceiling.correct)?;
    let count = items.known_ceiling.items.checked_sub(public.items)?.checked_add(items.fresh_ceiling.items)?;
    (count > 0).then(|| compared([[public.correct, public.items], [correct, count]]))
}

/// Accuracy on hidden items, and that on public ones minus it.
fn compared(counts: [[u32; 2]; 2]) -> (i64, i64) {
    let [clean, changed] = counts.map(|[correct, items]| share_ppm(correct.into(), items.into()));
    (changed, clean - changed)
}
