//! What the picture says in words: names, tooltips, its description, ticks.

use super::Rows;
use crate::pages::figures;
use protocol::api::{BoardRow, RowKind};

pub(super) fn name(row: &BoardRow) -> String {
    match row.rank.filter(|_| !row.provisional) {
        Some(rank) => format!("#{rank} {}", row.architecture),
        None => row.architecture.clone(),
    }
}

/// A row as a sentence for tooltips and screen readers.
pub(super) fn sentence(row: &BoardRow) -> String {
    let who = match row.kind {
        RowKind::Teacher => "teacher".to_owned(),
        RowKind::Reference => format!("reference: {}", row.architecture),
        RowKind::Submission => name(row),
    };
    let by = if row.provisional { "; provisional: by public items alone" } else { "" };
    format!(
        "{who}: accuracy {} {}, latency {} {}, {}, {}{by}",
        figures::percent(row.accuracy_ppm),
        figures::percent_spread(row.accuracy_interval_ppm),
        figures::ratio(row.latency_ratio_ppm),
        figures::ratio_spread(row.latency_ratio_ppm, row.latency_ratio_interval_ppm),
        figures::micros(row.latency_us_p50),
        figures::bytes(row.size_bytes)
    )
}

/// The picture in words.
pub(super) fn describe(rows: &Rows, on_line: usize) -> String {
    let ranked = match rows.submissions.len() {
        0 => "No model is ranked yet.".to_owned(),
        1 => "One model is ranked.".to_owned(),
        many => format!("{many} models are ranked, {on_line} of them on the Pareto line."),
    };
    let provisional = match rows.submissions.iter().filter(|row| row.provisional).count() {
        0 => None,
        some => Some(format!("{some} provisional, by public items alone, and hollow.")),
    };
    let leads = |row: &&&BoardRow| row.submission.is_some() && row.submission == *rows.champion;
    let champion = rows.submissions.iter().find(leads).map(|row| format!("Champion {}.", sentence(row)));
    let teacher = rows.teacher.map(|row| format!("Ceiling: {}.", sentence(row)));
    [Some(ranked), provisional, champion, teacher].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

pub(super) fn ratio_tick(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M×", round(v / 1e6)),
        v if v >= 1e4 => format!("{}k×", round(v / 1e3)),
        v if v < 1e-4 => format!("{v:.0e}×"),
        v => format!("{}×", round(v)),
    }
}

/// Without the digits that floating point adds.
pub(super) fn round(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
