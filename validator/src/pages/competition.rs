//! A competition's page: the champion, the scatter, the board with error bars, and everything a miner needs.

use super::axis::{Axis, tenth};
use super::figures;
use super::layout::{self, Layout};
use super::scatter::{Canvas, scatter};
use askama::Template;
use protocol::api::{BoardRow, CompetitionView, DivisionBoard, Leaderboard, RowKind};
use protocol::competition::{Competition, InputSpec, Manifest, ObjectRef, PublishedModel, Task};
use protocol::score::share_ppm;
use protocol::standing::Division;
use protocol::{CompetitionId, SubmissionId};

/// Pixels of an error bar in the board.
const BAR: [f64; 2] = [3.0, 93.0];
/// How many of a division are shown.
const DIVISION_ROWS: usize = 8;

#[derive(Template)]
#[template(path = "competition.html")]
struct Page<'a> {
    layout: Layout,
    id: &'a CompetitionId,
    view: &'a CompetitionView,
    manifest: &'a Manifest,
    open: bool,
    /// The newest round.
    round: Option<u64>,
    ranked: usize,
    champion: Option<&'a BoardRow>,
    charts: [String; 2],
    entries: Vec<Entry<'a>>,
    divisions: Vec<DivisionCard<'a>>,
    models: [(&'static str, &'a PublishedModel); 2],
    objects: Vec<(&'static str, ObjectRef)>,
}

/// A row of the board with its error bars.
struct Entry<'a> {
    row: &'a BoardRow,
    /// What stands where a rank would: the rank, or a word for the unranked.
    place: String,
    class: &'static str,
    /// Whether it shares the rank of the row above.
    joins: bool,
    score: Option<Bar>,
    accuracy: Bar,
    latency: Bar,
}

/// A division with the first of its entries.
struct DivisionCard<'a> {
    division: Division,
    first: Vec<&'a BoardRow>,
    /// How many follow those.
    more: usize,
}

/// An interval in pixels, comparable along its column.
#[derive(Debug, PartialEq)]
struct Bar {
    low: f64,
    at: f64,
    high: f64,
}

/// Renders the page at `now`, in Unix seconds.
pub(crate) fn render(view: &CompetitionView, board: &Leaderboard, round: Option<u64>, now: u64) -> String {
    let manifest = &view.competition.manifest;
    let submissions = || board.rows.iter().filter(|row| row.kind == RowKind::Submission);
    layout::render(&Page {
        layout: Layout::new(format!("{} · Retort", manifest.title), manifest.description.as_str()),
        id: &manifest.id,
        view,
        manifest,
        open: !manifest.is_closed(now),
        round,
        ranked: submissions().filter(|row| row.rank.is_some()).count(),
        champion: submissions().find(|row| row.submission.is_some() && row.submission == board.champion),
        charts: [scatter(board, Canvas::Wide), scatter(board, Canvas::Narrow)],
        entries: entries(board),
        divisions: board.divisions.iter().map(|of| division_card(of, board)).collect(),
        models: [("Teacher", &view.competition.teacher), ("Reference", &view.competition.reference)],
        objects: objects(&view.competition),
    })
}

fn entries(board: &Leaderboard) -> Vec<Entry<'_>> {
    let scale = |logarithmic, ends: fn(&BoardRow) -> [i64; 2]| column(&board.rows, logarithmic, ends);
    let score = scale(false, |row| row.score_interval_ppm);
    let accuracy = scale(false, |row| row.accuracy_interval_ppm);
    let latency = scale(true, |row| row.latency_ratio_interval_ppm);
    let entry = |row| Entry {
        place: place(row),
        class: class(row, board),
        joins: row.rank.is_some() && row.rank != row.place,
        score: (row.kind != RowKind::Teacher).then(|| bar(&score, row.score_ppm, row.score_interval_ppm)),
        accuracy: bar(&accuracy, row.accuracy_ppm, row.accuracy_interval_ppm),
        latency: bar(&latency, row.latency_ratio_ppm, row.latency_ratio_interval_ppm),
        row,
    };
    board.rows.iter().map(entry).collect()
}

/// The scale that all rows of a column share, so that their bars can be compared by eye.
fn column(rows: &[BoardRow], logarithmic: bool, ends: fn(&BoardRow) -> [i64; 2]) -> Axis {
    let values = rows.iter().flat_map(ends).map(|ppm| ppm.max(1) as f64);
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    let domain = if low < high { [low, high] } else { [1.0, 1e6] };
    if logarithmic { Axis::logarithmic(domain, BAR) } else { Axis::linear(domain, BAR) }
}

fn bar(axis: &Axis, value: i64, [low, high]: [i64; 2]) -> Bar {
    let at = |ppm: i64| axis.at(ppm as f64);
    let (low, high) = (at(low), at(high));
    // An interval narrower than a pixel would be invisible.
    let widen = if high - low < 1.0 { 0.5 } else { 0.0 };
    Bar { low: tenth(low - widen), at: at(value), high: tenth(high + widen) }
}

fn place(row: &BoardRow) -> String {
    match row.kind {
        RowKind::Teacher => "teacher".into(),
        RowKind::Reference => "ref".into(),
        RowKind::Submission => row.rank_label().unwrap_or_else(|| "–".into()),
    }
}

fn division_card<'a>(of: &DivisionBoard, board: &'a Leaderboard) -> DivisionCard<'a> {
    let row = |id| board.rows.iter().find(|row| row.submission.as_ref() == Some(id));
    let first = of.entries.iter().take(DIVISION_ROWS).filter_map(row).collect();
    DivisionCard { division: of.division, first, more: of.entries.len().saturating_sub(DIVISION_ROWS) }
}

fn class(row: &BoardRow, board: &Leaderboard) -> &'static str {
    match (row.kind, &row.submission) {
        (RowKind::Teacher, _) => "teacher",
        (RowKind::Reference, _) => "reference",
        (RowKind::Submission, Some(_)) if row.submission == board.champion => "champion",
        (RowKind::Submission, _) => "submission",
    }
}

fn objects(competition: &Competition) -> Vec<(&'static str, ObjectRef)> {
    let mut objects = vec![
        ("Training images with labels", competition.training_images),
        ("Public evaluation images with labels", competition.public_images),
        ("Teacher's logits on the public images", competition.public_teacher_logits),
    ];
    objects
        .extend(competition.training_teacher_logits.map(|logits| ("Teacher's logits on the training images", logits)));
    objects
}

fn task(task: Task) -> &'static str {
    match task {
        Task::ImageClassification => "image classification",
    }
}

fn input(input: &InputSpec) -> String {
    let colour = if input.channels == 1 { "grey".into() } else { format!("{} planes", input.channels) };
    format!("{} × {} pixels, {colour}", input.width, input.height)
}

fn accuracy(model: &PublishedModel) -> i64 {
    share_ppm(u64::from(model.correct), u64::from(model.items))
}

/// A submission's id as text, for the row's links.
fn link(id: &SubmissionId) -> String {
    format!("/submissions/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn boards_of_every_size_render() {
        for models in [0, 1, 1000] {
            let page = render(&sample::competition(), &sample::board(models), Some(2), sample::NOW);
            sample::assert_markup(&page);
            assert_eq!(page.matches("<tbody").count(), models + 2);
        }
    }

    #[test]
    fn hostile_words_are_escaped() {
        let hostile = "</td><script>alert('x')</script><b onclick=\"x\">";
        let (mut view, mut board) = (sample::competition(), sample::board(4));
        let manifest = &mut view.competition.manifest;
        manifest.title = hostile.into();
        manifest.description = hostile.into();
        manifest.data.source = hostile.into();
        manifest.labels[0] = hostile.into();
        for row in &mut board.rows {
            row.why = hostile.into();
            row.architecture = hostile.into();
        }
        let page = render(&view, &board, Some(2), sample::NOW);
        sample::assert_markup(&page);
        assert!(!page.contains("<script") && !page.contains("<b onclick"));
    }

    #[test]
    fn pages_need_neither_scripts_nor_inline_style() {
        let page = render(&sample::competition(), &sample::board(5), Some(2), sample::NOW);
        for forbidden in ["<script", " style=", "<style", "javascript:", "https://cdn"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn bars_of_one_column_share_a_scale() {
        let axis = Axis::linear([0.0, 100.0], BAR);
        assert_eq!(bar(&axis, 50, [0, 100]), Bar { low: 3.0, at: 48.0, high: 93.0 });
        assert_eq!(bar(&axis, 50, [50, 50]), Bar { low: 47.5, at: 48.0, high: 48.5 });
    }

    #[test]
    fn a_closed_competition_says_so() {
        let mut view = sample::competition();
        view.competition.manifest.closes_at = Some(sample::NOW);
        assert!(render(&view, &sample::board(1), Some(2), sample::NOW).contains("closed since"));
        assert!(render(&view, &sample::board(1), Some(2), sample::NOW - 1).contains("open until"));
    }
}
