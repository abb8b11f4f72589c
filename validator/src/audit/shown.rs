//! What pages and API show of a round and on the board, held against the log.

use super::history::Past;
use super::members::{self, Field};
use super::{Case, Findings};
use crate::rounds::RoundEntryView;
use protocol::api::BoardRow;
use protocol::competition::ObjectRef;
use protocol::score::score;
use referee::RecordedMember;
use std::collections::BTreeMap;

/// Both.
pub(super) fn check(case: &Case<'_>, past: &Past, field: &Field, findings: &mut Findings<'_>) {
    round(case, past, findings);
    board(case, past, field, findings);
}

fn round(case: &Case<'_>, past: &Past, findings: &mut Findings<'_>) {
    let (shown, record) = (case.shown, &past.record);
    let mut problems = Vec::new();
    for (what, holds) in [
        ("the champion", shown.champion == record.champion),
        ("the champion before", shown.champion_before == record.champion_before),
        ("the weights", shown.weights == record.weights),
        ("the number that shared the level", shown.shared_by == record.shared_by),
        ("the champion's age", shown.champion_age_seconds == record.champion_age_seconds),
        ("the time of the crown", (shown.crowned_at, shown.crowned_in) == (record.crowned_at, record.crowned_in)),
    ] {
        if !holds {
            problems.push(format!("{what} shown is not the record's"));
        }
    }
    let members: BTreeMap<_, _> = record.members.iter().map(|member| (&member.submission, member)).collect();
    if members.len() != shown.entries.len() {
        problems.push(format!("{} entries are shown, the record has {}", shown.entries.len(), members.len()));
    }
    for entry in &shown.entries {
        match members.get(&entry.submission) {
            Some(member) if same(entry, member) => {}
            _ => problems.push(format!("{} is shown otherwise than the record has it", entry.submission)),
        }
    }
    findings.all("shown", &problems, format!("{} entries are shown as the record has them", shown.entries.len()));
}

fn same(entry: &RoundEntryView, member: &RecordedMember) -> bool {
    let digest = |object: Option<ObjectRef>| object.map(|object| object.sha256);
    (entry.role, entry.arrival, entry.verdict, &entry.failure, entry.screening)
        == (member.role, member.arrival, member.verdict, &member.failure, member.screening)
        && digest(entry.receipt) == digest(member.receipt)
}

fn board(case: &Case<'_>, past: &Past, field: &Field, findings: &mut Findings<'_>) {
    let Some(board) = case.board else { return };
    let is_latest = board.last_round == Some(past.record.round);
    let (mut problems, mut rows) = (Vec::new(), 0);
    for row in &board.rows {
        let Some(id) = &row.submission else { continue };
        rows += 1;
        let own = match field.own.get(id) {
            Some(own) => follows(row, &own.report, case),
            None => members::own(case, id).map(|own| follows(row, &own.report, case)).unwrap_or(false),
        };
        let stand = past.record.stands.iter().find(|stand| stand.submission == *id);
        let hidden = stand.map(|stand| stand.merit.composite_ppm);
        if !own {
            problems.push(format!("the row of {id} doesn't follow from its receipt"));
        } else if is_latest && hidden.is_some() && row.hidden_score_ppm != hidden {
            problems.push(format!("the row of {id} has another hidden score than the record"));
        }
    }
    if is_latest && board.champion != past.record.champion {
        problems.push("the board's champion isn't the record's".into());
    }
    findings.all("board", &problems, format!("{rows} rows follow from receipts"));
}

/// Whether a row shows what a report says.
fn follows(row: &BoardRow, report: &protocol::Report, case: &Case<'_>) -> bool {
    let score = score(report, case.competition.teacher.ceiling(), &case.competition.manifest.score);
    let shown = (row.accuracy_ppm, row.agreement_ppm, row.latency_ratio_ppm, row.score_ppm);
    let cost = (row.size_bytes, row.parameters, row.macs);
    let accuracy = (score.accuracy.value_ppm, score.agreement.value_ppm);
    shown == (accuracy.0, accuracy.1, report.latency.ratio.value_ppm, score.composite.value_ppm)
        && cost == (report.cost.size_bytes, report.cost.parameters, report.cost.macs)
}
