//! The leaderboard as a table with error bars.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::api::{BoardRow, Leaderboard, RowKind};

/// The board, best first, the teacher above and the reference below.
pub(crate) fn board(leaderboard: &Leaderboard) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "#",
        "who",
        "model",
        "accuracy %",
        "agrees %",
        "latency ×ref",
        "p50 µs",
        "size",
        "params",
        "score",
        "why",
    ]);
    for row in &leaderboard.rows {
        let mut cells: Vec<Cell> = cells(row).into_iter().map(Cell::new).collect();
        for cell in &mut cells[3..10] {
            *cell = cell.clone().set_alignment(CellAlignment::Right);
        }
        table.add_row(cells);
    }
    table.to_string()
}

fn cells(row: &BoardRow) -> [String; 11] {
    [
        row.rank.map_or_else(String::new, |rank| rank.to_string()),
        who(row),
        row.architecture.clone(),
        with_error(row.accuracy_ppm, row.accuracy_interval_ppm, 1e4, 2),
        format!("{:.1}", row.agreement_ppm as f64 / 1e4),
        with_error(row.latency_ratio_ppm, row.latency_ratio_interval_ppm, 1e6, 3),
        row.latency_us_p50.to_string(),
        bytes(row.size_bytes),
        thousands(row.parameters),
        with_error(row.score_ppm, row.score_interval_ppm, 1e6, 4),
        row.why.clone(),
    ]
}

/// The owner's first letters, or what the row stands for.
pub(crate) fn who(row: &BoardRow) -> String {
    match (row.kind, &row.hotkey) {
        (RowKind::Teacher, _) => "teacher".into(),
        (RowKind::Reference, _) => "reference".into(),
        (RowKind::Submission, Some(hotkey)) => format!("{}…", hotkey.to_string().chars().take(6).collect::<String>()),
        (RowKind::Submission, None) => "?".into(),
    }
}

/// `value ± half-width` in units of `unit` parts per million.
fn with_error(value: i64, [low, high]: [i64; 2], unit: f64, digits: usize) -> String {
    let half = (high - low).max(0) as f64 / 2.0 / unit;
    format!("{:.digits$} ± {half:.digits$}", value as f64 / unit)
}

/// A size for people: `308 kB`.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn thousands(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { format!("{:.1} K", count as f64 / 1e3) }
}
