//! The leaderboard as a table with error bars, and below it what the figures mean.

use comfy_table::{
    Cell, CellAlignment, ContentArrangement, Table,
    presets::{NOTHING, UTF8_FULL_CONDENSED},
};
use protocol::SubmissionId;
use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::standing::Division;

/// A narrower terminal is shown the board that fits 80 columns.
const WIDE_COLUMNS_MIN: u16 = 150;

/// The board, best first, the teacher above and the reference below: as much of it as fits where it is shown.
pub(crate) fn board(leaderboard: &Leaderboard) -> String {
    match Table::new().width() {
        Some(columns) if columns < WIDE_COLUMNS_MIN => narrow(leaderboard),
        _ => wide(leaderboard),
    }
}

/// What fits 80 columns. All of it is in the wide one, in JSON and in CSV; `--why` says the rest in words.
fn narrow(leaderboard: &Leaderboard) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["#", "id", "who", "model", "acc. %", "lat. ×ref", "size", "score", "hidden"]);
    for row in &leaderboard.rows {
        let id = row.submission.as_ref().map_or_else(String::new, tail);
        let hidden = row.hidden_score_ppm.map_or_else(String::new, |ppm| format!("{:.3}", ppm as f64 / 1e6));
        table.add_row([
            row.rank_label().unwrap_or_default(),
            id,
            short_owner(row),
            row.architecture.chars().take(9).collect(),
            close_error(row.accuracy_ppm, row.accuracy_interval_ppm, 1e4, 1),
            close_error(row.latency_ratio_ppm, row.latency_ratio_interval_ppm, 1e6, 3),
            bytes(row.size_bytes).replace(' ', ""),
            close_error(row.score_ppm, row.score_interval_ppm, 1e6, 3),
            hidden,
        ]);
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 1));
    });
    let lines = table.to_string();
    lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `value±half-width`, close together.
fn close_error(value: i64, interval: [i64; 2], unit: f64, digits: usize) -> String {
    with_error(value, interval, unit, digits).replace(" ± ", "±")
}

/// The end of an id, which every command takes in its place.
fn tail(id: &SubmissionId) -> String {
    let id = id.to_string();
    id.chars().skip(id.len().saturating_sub(8)).collect()
}

fn wide(leaderboard: &Leaderboard) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "#",
        "id",
        "who",
        "model",
        "accuracy %",
        "agrees %",
        "latency ×ref",
        "p50 µs",
        "size",
        "params",
        "score",
        "hidden",
        "to the seat",
        "why",
    ]);
    for row in &leaderboard.rows {
        let mut cells: Vec<Cell> = cells(row).into_iter().map(Cell::new).collect();
        for cell in &mut cells[4..13] {
            *cell = cell.clone().set_alignment(CellAlignment::Right);
        }
        table.add_row(cells);
    }
    table.to_string()
}

/// A division of the board in its own order, between the same teacher and reference.
pub(crate) fn of_division(leaderboard: &Leaderboard, division: Division) -> Leaderboard {
    let entries = leaderboard.divisions.iter().find(|board| board.division == division);
    let place = |row: &BoardRow| row.divisions.iter().find(|at| at.division == division).map(|at| at.place);
    let mut submissions: Vec<BoardRow> = leaderboard.rows.iter().filter(|row| place(row).is_some()).cloned().collect();
    submissions.sort_by_key(place);
    let models = |kind| leaderboard.rows.iter().filter(move |row| row.kind == kind).cloned();
    Leaderboard {
        competition: leaderboard.competition.clone(),
        rows: models(RowKind::Teacher).chain(submissions).chain(models(RowKind::Reference)).collect(),
        champion: leaderboard.champion.clone(),
        leader: leaderboard.leader.clone(),
        last_round: leaderboard.last_round,
        divisions: entries.cloned().into_iter().collect(),
    }
}

/// Shows places in a division where ranks of the whole board were.
pub(crate) fn show_places(leaderboard: &mut Leaderboard, division: Division) {
    for row in &mut leaderboard.rows {
        let place = row.divisions.iter().find(|at| at.division == division).map(|at| at.place);
        (row.rank, row.place, row.group_size) = (place, place, None);
    }
}

/// How to read ranks, and who stands where.
pub(crate) fn legend(leaderboard: &Leaderboard) -> String {
    let divisions: Vec<String> =
        leaderboard.divisions.iter().map(|board| format!("{} {}", board.division, board.entries.len())).collect();
    let mut text = String::new();
    if leaderboard.rows.iter().any(|row| row.group_size.is_some_and(|size| size > 1)) {
        text.push_str(
            "=N: shares rank N, since the paired 95 % interval of its distance to the first of them holds 0\n",
        );
    }
    text.push_str(
        "hidden: the score on fresh items of rounds, by which ranks and pay go; provisional: not asked yet\n",
    );
    text.push_str("to the seat: points of score that were missing in the last bout with the champion\n");
    text.push_str(&format!("in the divisions: {}", divisions.join(", ")));
    text
}

/// What there is to say of each row, in sentences.
pub(crate) fn reasons(leaderboard: &Leaderboard) -> String {
    let reason = |row: &BoardRow| {
        let rank = row.rank_label().unwrap_or_else(|| "-".into());
        let id = row.submission.as_ref().map_or_else(String::new, |id| format!(" {id}"));
        let sentences = std::iter::once(&row.why).chain(&row.details).map(|sentence| format!("\n    {sentence}"));
        format!("{rank:>3} {}{id}{}", who(row), sentences.collect::<String>())
    };
    leaderboard.rows.iter().map(reason).collect::<Vec<_>>().join("\n")
}

fn cells(row: &BoardRow) -> [String; 14] {
    [
        row.rank_label().unwrap_or_default(),
        row.submission.as_ref().map_or_else(String::new, tail),
        who(row),
        model(row),
        with_error(row.accuracy_ppm, row.accuracy_interval_ppm, 1e4, 2),
        format!("{:.1}", row.agreement_ppm as f64 / 1e4),
        with_error(row.latency_ratio_ppm, row.latency_ratio_interval_ppm, 1e6, 3),
        row.latency_us_p50.to_string(),
        bytes(row.size_bytes),
        thousands(row.parameters),
        with_error(row.score_ppm, row.score_interval_ppm, 1e6, 4),
        hidden(row),
        row.needs.map_or_else(String::new, |needs| missing(needs.missing_ppm)),
        row.why.clone(),
    ]
}

/// What its owner calls it, and its family.
fn model(row: &BoardRow) -> String {
    row.model_name.iter().chain([&row.architecture]).cloned().collect::<Vec<_>>().join(", ")
}

/// What it is worth on fresh hidden items, or that nobody asked it yet.
fn hidden(row: &BoardRow) -> String {
    match row.hidden_score_ppm {
        Some(ppm) => format!("{:.4}", ppm as f64 / 1e6),
        None if row.provisional => "provisional".into(),
        None => String::new(),
    }
}

/// Points of score, rounded up so that no promise is too small: `+0.42`.
fn missing(ppm: i64) -> String {
    if ppm == 0 { "enough".into() } else { format!("+{:.2}", (ppm as f64 / 100.0).ceil() / 100.0) }
}

/// What the owner is called beside the key's first letters, or what the row stands for.
pub(crate) fn who(row: &BoardRow) -> String {
    row.owner_name.iter().cloned().chain([short_owner(row)]).collect::<Vec<_>>().join(" ")
}

/// The owner's first letters, or what the row stands for.
fn short_owner(row: &BoardRow) -> String {
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
