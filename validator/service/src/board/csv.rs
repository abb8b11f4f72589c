//! The board as CSV (RFC 4180), for spreadsheets and data frames.
//!
//! Same columns and units as the JSON; absent values are empty.

use protocol::api::{BoardRow, Leaderboard, RowKind};

const HEADER: &str = "kind,rank,submission,hotkey,architecture,accuracy_ppm,accuracy_low_ppm,accuracy_high_ppm,\
agreement_ppm,latency_ratio_ppm,latency_ratio_low_ppm,latency_ratio_high_ppm,latency_verdict,latency_us_p50,latency_us_p90,\
size_bytes,parameters,macs,score_ppm,score_low_ppm,score_high_ppm,state,why,place,group_size,behind_leader_ppm,\
behind_leader_low_ppm,behind_leader_high_ppm,divisions,own_best,own_gain_ppm,needs_ppm,last_round,last_rule,\
last_hidden_p_ppb,hidden_accuracy_ppm,gap_ppm,teacher_gap_ppm,details,last_round_rank,provisional,hidden_score_ppm,\
fresh_items";

/// The whole board with a header line.
pub(super) fn of(leaderboard: &Leaderboard) -> String {
    let mut text = format!("{HEADER}\r\n");
    for row in &leaderboard.rows {
        text.push_str(&line(row));
        text.push_str("\r\n");
    }
    text
}

fn line(row: &BoardRow) -> String {
    let kind = match row.kind {
        RowKind::Teacher => "teacher",
        RowKind::Reference => "reference",
        RowKind::Submission => "submission",
    };
    let measured = [
        kind.to_owned(),
        optional(row.rank),
        optional(row.submission.as_ref()),
        optional(row.hotkey),
        row.architecture.clone(),
        row.accuracy_ppm.to_string(),
        row.accuracy_interval_ppm[0].to_string(),
        row.accuracy_interval_ppm[1].to_string(),
        row.agreement_ppm.to_string(),
        row.latency_ratio_ppm.to_string(),
        row.latency_ratio_interval_ppm[0].to_string(),
        row.latency_ratio_interval_ppm[1].to_string(),
        row.latency_verdict.name().to_owned(),
        row.latency_us_p50.to_string(),
        optional(row.latency_us_p90),
        row.size_bytes.to_string(),
        row.parameters.to_string(),
        row.macs.to_string(),
        row.score_ppm.to_string(),
        row.score_interval_ppm[0].to_string(),
        row.score_interval_ppm[1].to_string(),
        row.state.to_string(),
        quoted(&row.why),
    ];
    measured.into_iter().chain(reasons(row)).collect::<Vec<_>>().join(",")
}

/// The columns that say why; they come last, so that those who count columns find the others where they were.
fn reasons(row: &BoardRow) -> [String; 20] {
    let behind = row.behind_leader_interval_ppm;
    let divisions: Vec<&str> = row.divisions.iter().map(|place| place.division.as_str()).collect();
    let verdict = row.last_attempt.as_ref().map(|attempt| &attempt.verdict);
    [
        optional(row.place),
        optional(row.group_size),
        optional(row.behind_leader_ppm),
        optional(behind.map(|[low, _]| low)),
        optional(behind.map(|[_, high]| high)),
        divisions.join(" "),
        optional(row.own_best.as_ref().map(|own| &own.submission)),
        optional(row.own_best.as_ref().map(|own| own.gain_ppm)),
        optional(row.needs.map(|needs| needs.missing_ppm)),
        optional(row.last_attempt.as_ref().map(|attempt| attempt.round)),
        optional(verdict.map(|verdict| verdict.rule)),
        optional(verdict.and_then(|verdict| Some(verdict.hidden?.p.ppb()))),
        optional(row.hidden_accuracy_ppm),
        optional(row.gap_ppm),
        optional(row.teacher_gap_ppm),
        quoted(&row.details.join(" ")),
        optional(row.last_round_rank),
        row.provisional.to_string(),
        optional(row.hidden_score_ppm),
        optional(row.fresh_items),
    ]
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
