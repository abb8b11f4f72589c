//! The board as CSV (RFC 4180), for spreadsheets and data frames.
//!
//! Same columns and units as the JSON; absent values are empty.

use protocol::api::{BoardRow, Leaderboard, RowKind};

const HEADER: &str = "kind,rank,submission,hotkey,architecture,accuracy_ppm,accuracy_low_ppm,accuracy_high_ppm,\
agreement_ppm,latency_ratio_ppm,latency_ratio_low_ppm,latency_ratio_high_ppm,latency_us_p50,latency_us_p90,size_bytes,\
parameters,macs,score_ppm,score_low_ppm,score_high_ppm,state,why";

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
    [
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
        row.latency_us_p50.to_string(),
        optional(row.latency_us_p90),
        row.size_bytes.to_string(),
        row.parameters.to_string(),
        row.macs.to_string(),
        row.score_ppm.to_string(),
        row.score_interval_ppm[0].to_string(),
        row.score_interval_ppm[1].to_string(),
        row.state.to_string(),
        format!("\"{}\"", row.why.replace('"', "\"\"")),
    ]
    .join(",")
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
