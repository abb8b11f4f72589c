//! The leaderboard as a table with error bars, and below it what the figures mean.

use crate::fitted::{self, Column, STAYS, cut, wrapped};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::standing::Division;
use protocol::{Hotkey, SubmissionId};

/// A narrower terminal is shown what fits it.
const WIDE_COLUMNS_MIN: u16 = 150;

/// How many columns there are: what `COLUMNS` says, or else the terminal; none where neither does.
pub(crate) fn columns() -> Option<u16> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<u16>().ok());
    said.filter(|columns| *columns > 0).or_else(|| Table::new().width())
}

/// How many columns there are, where tables have to be fitted into them: where it isn't wide.
pub(crate) fn narrow() -> Option<usize> {
    columns().filter(|columns| *columns < WIDE_COLUMNS_MIN).map(usize::from)
}

/// The board, best first, the teacher above and the reference below: as much of it as fits where it is shown.
pub(crate) fn board(leaderboard: &Leaderboard) -> String {
    match narrow() {
        Some(columns) => fitting(leaderboard, columns),
        None => wide(leaderboard),
    }
}

/// What fits so many columns, and below a row without a rank why it has none. All of it is in the wide one, in JSON and in
/// CSV; `--why` says the rest in words.
fn fitting(leaderboard: &Leaderboard, columns: usize) -> String {
    let fitted = fitted::table(columns_of(&leaderboard.rows, columns), columns);
    let mut lines = fitted.lines.into_iter();
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (row, line) in leaderboard.rows.iter().zip(lines) {
        text.push(line);
        if row.kind == RowKind::Submission && row.rank.is_none() && !row.why.is_empty() {
            text.push(wrapped(&row.why, columns, WHY_INDENT));
        }
    }
    let left_out: Vec<&str> = fitted.left_out.into_iter().chain(WIDE_ALONE).collect();
    let left_out = format!("no room for: {}; a wider terminal has it, or --json", left_out.join(", "));
    text.push(wrapped(&left_out, columns, 0));
    text.join("\n")
}

/// The columns of a board that is fitted, with what each is worth.
fn columns_of(rows: &[BoardRow], columns: usize) -> Vec<Column> {
    let column = |name, worth, cell: &dyn Fn(&BoardRow) -> String| Column::new(name, worth, rows.iter().map(cell));
    let score = |row: &BoardRow| score(row, 3).replace(" ± ", "±");
    let latency = |row: &BoardRow| match row.is_timed() {
        true => close_error(row.latency_ratio_ppm, row.latency_ratio_interval_ppm, 1e6, 3),
        false => String::new(),
    };
    let hidden = |ppm: i64| format!("{:.3}", ppm as f64 / 1e6);
    // A name is more than a family, which several have.
    let model_worth = if rows.iter().any(|row| row.model_name.is_some()) { 4 } else { 2 };
    vec![
        column("#", STAYS, &|row| row.rank_label().unwrap_or_default()),
        column("id", 7, &|row| row.submission.as_ref().map_or_else(String::new, tail)),
        column("who", STAYS, &|row| called(row, columns * 2 / 5)),
        column("model", model_worth, &|row| {
            cut(row.model_name.as_deref().unwrap_or(&row.architecture), MODEL_CHARS_MAX)
        }),
        column("acc. %", 5, &|row| close_error(row.accuracy_ppm, row.accuracy_interval_ppm, 1e4, 1)),
        column("lat. ×ref", 3, &latency),
        column("size", 1, &|row| bytes(row.size_bytes).replace(' ', "")),
        column("score", STAYS, &score),
        column("hidden", 6, &|row| row.hidden_score_ppm.map_or_else(String::new, hidden)),
    ]
}

/// What a board that is fitted never has: the columns of the wide one alone.
const WIDE_ALONE: [&str; 4] = ["agrees %", "p50 µs", "params", "to the seat"];
/// Characters of a model's or a family's name, where there is little room.
const MODEL_CHARS_MAX: usize = 9;
/// Blanks before the reason below a row.
const WHY_INDENT: usize = 4;

/// `value±half-width`, close together.
fn close_error(value: i64, interval: [i64; 2], unit: f64, digits: usize) -> String {
    with_error(value, interval, unit, digits).replace(" ± ", "±")
}

/// `1 row`, `2 rows`.
pub(crate) fn count(number: impl TryInto<u64>, what: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// The end of an id, which every command takes in its place.
pub(crate) fn tail(id: &SubmissionId) -> String {
    let id = id.to_string();
    id.chars().skip(id.len().saturating_sub(8)).collect()
}

fn wide(leaderboard: &Leaderboard) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if let Some(columns) = columns() {
        table.set_width(columns);
    }
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
            "=N: shares rank N, since the paired interval of its distance to the first of them holds 0: that of 95 % of the \
             second, a wider one of each after it\n",
        );
    }
    text.push_str(
        "hidden: the score on fresh items of rounds, by which ranks and pay go; provisional: not asked yet\n",
    );
    if narrow().is_none() {
        text.push_str("to the seat: points of score that were missing in the last bout with the champion\n");
    }
    text.push_str(&format!("in the divisions: {}", divisions.join(", ")));
    in_room(&text, 0)
}

/// A text behind blanks, broken between words where there is an end to the columns.
pub(crate) fn in_room(text: &str, indent: usize) -> String {
    match columns() {
        Some(columns) => wrapped(text, columns.into(), indent),
        None => " ".repeat(indent) + text,
    }
}

/// What there is to say of each row, in sentences.
pub(crate) fn reasons(leaderboard: &Leaderboard) -> String {
    let reason = |row: &BoardRow| {
        let rank = row.rank_label().unwrap_or_else(|| "-".into());
        let id = row.submission.as_ref().map_or_else(String::new, |id| format!(" {id}"));
        let sentences = std::iter::once(&row.why).chain(&row.details);
        let sentences = sentences.map(|sentence| format!("\n{}", in_room(sentence, WHY_INDENT)));
        format!("{rank:>3} {}{id}{}", who(row), sentences.collect::<String>())
    };
    leaderboard.rows.iter().map(reason).collect::<Vec<_>>().join("\n")
}

fn cells(row: &BoardRow) -> [String; 14] {
    let timed = |figure: String| if row.is_timed() { figure } else { "not timed".into() };
    [
        row.rank_label().unwrap_or_default(),
        row.submission.as_ref().map_or_else(String::new, tail),
        who(row),
        model(row),
        with_error(row.accuracy_ppm, row.accuracy_interval_ppm, 1e4, 2),
        format!("{:.1}", row.agreement_ppm as f64 / 1e4),
        timed(with_error(row.latency_ratio_ppm, row.latency_ratio_interval_ppm, 1e6, 3)),
        timed(row.latency_us_p50.to_string()),
        bytes(row.size_bytes),
        thousands(row.parameters),
        score(row, 4),
        hidden(row),
        row.needs.map_or_else(String::new, |needs| missing(needs.missing_ppm)),
        row.why.clone(),
    ]
}

/// The score; none for the teacher, which nobody competes with, as on the page.
fn score(row: &BoardRow, digits: usize) -> String {
    match row.kind {
        RowKind::Teacher => String::new(),
        RowKind::Reference | RowKind::Submission => with_error(row.score_ppm, row.score_interval_ppm, 1e6, digits),
    }
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
    called(row, usize::MAX)
}

/// The same with so many characters of the name.
fn called(row: &BoardRow, chars: usize) -> String {
    let name = row.owner_name.as_ref().map(|name| cut(name, chars));
    name.into_iter().chain([short_owner(row)]).collect::<Vec<_>>().join(" ")
}

/// The owner's first letters, or what the row stands for.
fn short_owner(row: &BoardRow) -> String {
    match (row.kind, &row.hotkey) {
        (RowKind::Teacher, _) => "teacher".into(),
        (RowKind::Reference, _) => "reference".into(),
        (RowKind::Submission, Some(hotkey)) => short_key(hotkey),
        (RowKind::Submission, None) => "?".into(),
    }
}

/// A key's first letters.
pub(crate) fn short_key(hotkey: &Hotkey) -> String {
    format!("{}…", hotkey.to_string().chars().take(6).collect::<String>())
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::auth::Keypair;
    use serde_json::json;

    fn board() -> Leaderboard {
        let row = |number: u8, more: serde_json::Value| {
            let mut row = json!({
                "kind": "submission", "rank": number, "provisional": false, "hidden_score_ppm": 442_400, "fresh_items": 3_500,
                "submission": format!("01M8JV69QXABCRQNWY24N1900{number}"), "hotkey": Keypair::from_seed(&[number; 32]).hotkey(),
                "owner_name": null, "model_name": null, "architecture": "depthwise_cnn", "accuracy_ppm": 836_800,
                "accuracy_interval_ppm": [826_600, 847_000], "agreement_ppm": 800_000, "latency_ratio_ppm": 120_000,
                "latency_ratio_interval_ppm": [119_000, 121_000], "latency_verdict": { "verdict": "sound" }, "latency_us_p50": 40,
                "latency_us_p90": null, "size_bytes": 101_780, "parameters": 50_890, "macs": 50_000, "score_ppm": 579_100,
                "score_interval_ppm": [542_000, 616_200], "state": "scored", "why": "holds the seat", "brings_answers": true,
                "details": [], "divisions": [],
            });
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        let copy = "counts as 01M8JV69QXABCRQNWY24N19CEB, which came earlier: a copy under another key takes no place";
        let rows = json!([
            row(1, json!({ "owner_name": "small-net-works" })),
            row(2, json!({ "owner_name": "eve", "rank": null, "why": copy, "hidden_score_ppm": null })),
        ]);
        let board = json!({ "competition": "digits", "rows": rows, "champion": null, "divisions": [] });
        serde_json::from_value(board).unwrap()
    }

    #[test]
    fn baselines_have_the_scores_that_the_page_shows() {
        let mut board = board();
        let baseline = |kind, score_ppm| {
            let row = board.rows[0].clone();
            let interval = [score_ppm, score_ppm];
            BoardRow {
                kind,
                submission: None,
                hotkey: None,
                rank: None,
                score_ppm,
                score_interval_ppm: interval,
                ..row
            }
        };
        board.rows = vec![baseline(RowKind::Teacher, 0), baseline(RowKind::Reference, 598_000)];
        for text in [fitting(&board, 100), wide(&board)] {
            let line =
                |who: &str| text.lines().find(|line| line.contains(who)).unwrap_or_else(|| panic!("{who}: {text}"));
            assert!(line("reference").contains("0.598") && !line("teacher").contains("0.000"), "{text}");
        }
    }

    #[test]
    fn every_width_shows_names_and_why_there_is_no_rank_and_no_line_is_too_wide() {
        let board = board();
        for columns in [40, 60, 80, 100, 149] {
            let text = fitting(&board, columns);
            for line in text.lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for shown in ["small-net-works 5", "eve 5", "which came earlier: a copy under another key takes no place"] {
                assert!(words.contains(shown), "{columns}: {text}");
            }
            assert!(!words.contains("holds the seat"), "a rank speaks for itself: {text}");
        }
        let most = fitting(&board, 149);
        assert!(most.contains("depthwis…") && most.contains("no room for: agrees %, "), "{most}");
        let narrow = fitting(&board, 80);
        assert!(narrow.contains("no room for: ") && narrow.contains("size") && narrow.contains("hidden"), "{narrow}");
        let mut named = board;
        named.rows[0].model_name = Some("small net".into());
        assert!(fitting(&named, 149).contains("small net"), "instead of its family: {}", fitting(&named, 149));
    }
}
