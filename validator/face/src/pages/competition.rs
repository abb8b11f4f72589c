//! A competition's page: the champion, the scatter, the board with error bars, and everything a miner needs.

use super::axis::{Axis, tenth};
use super::figures;
use super::layout::{self, Layout};
use super::prose;
use super::query::{BoardQuery, ROWS_MAX, Selection, Sort};
use super::scatter::{Canvas, scatter};
use super::timeline::{self, Span};
use askama::Template;
use protocol::amendment::Amended;
use protocol::api::{BoardRow, CompetitionView, DivisionBoard, Leaderboard, RowKind};
use protocol::competition::{InputSpec, Manifest, ObjectRef, OfficialEngine, Taken, Task};
use protocol::published::{Competition, PublishedModel, Tables};
use protocol::score::{Ceiling, share_ppm};
use protocol::standing::Division;
use protocol::{CompetitionId, SubmissionId};
use service::views::Reign;

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
    champion: Option<&'a BoardRow>,
    /// Where the Hub's clients find this validator.
    endpoint: &'a str,
    charts: [String; 2],
    reigns: Vec<Span<'a>>,
    columns: [Column; 8],
    choices: [Vec<Choice>; 2],
    /// The round that arrows refer to.
    board_round: Option<u64>,
    /// What the query found: the first and the last of so many.
    shown: String,
    pages: Vec<Choice>,
    entries: Vec<Entry<'a>>,
    divisions: Vec<DivisionCard<'a>>,
    models: Vec<(&'static str, &'a PublishedModel)>,
    objects: Vec<(&'static str, ObjectRef)>,
}

/// A row of the board with its error bars.
struct Entry<'a> {
    row: &'a BoardRow,
    /// What stands where a rank would: the rank, or a word for the unranked.
    place: String,
    class: &'static str,
    /// How it moved since the last round: its class and its words.
    moved: Option<(&'static str, String)>,
    /// Whether it shares the rank of the row above.
    joins: bool,
    score: Option<Bar>,
    accuracy: Bar,
    latency: Option<Bar>,
}

/// The head of a column: what it is called, and the link that sorts by it.
struct Column {
    name: &'static str,
    class: &'static str,
    link: String,
    /// For `aria-sort`.
    direction: Option<&'static str>,
}

/// A choice among several: a division, a family, a page.
struct Choice {
    name: String,
    link: String,
    chosen: bool,
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

/// What the page is made of.
pub(super) struct Sources<'a> {
    pub(super) view: &'a CompetitionView,
    pub(super) board: &'a Leaderboard,
    /// The newest round.
    pub(super) round: Option<u64>,
    /// Who held the seat, oldest first.
    pub(super) reigns: &'a [Reign],
    pub(super) query: &'a BoardQuery,
    /// The validator's address.
    pub(super) endpoint: &'a str,
    /// Unix seconds.
    pub(super) now: u64,
}

/// Renders the page.
pub(super) fn render(sources: &Sources) -> String {
    let Sources { view, board, round, reigns, query, endpoint, now } = *sources;
    let manifest = &view.manifest(round.unwrap_or_default());
    let selection = query.select(board);
    let submissions = || board.rows.iter().filter(|row| row.kind == RowKind::Submission);
    let mut layout = Layout::new(format!("{} · Retort", manifest.title), manifest.description.as_str());
    layout.events = Some(format!("/api/v1/events?competition={}", manifest.id));
    layout::render(&Page {
        layout,
        id: &manifest.id,
        view,
        manifest,
        open: !manifest.is_closed(now),
        round,
        champion: submissions().find(|row| row.submission.is_some() && row.submission == board.champion),
        endpoint,
        charts: [scatter(board, Canvas::Wide), scatter(board, Canvas::Narrow)],
        reigns: timeline::spans(reigns, now),
        columns: columns(query),
        choices: choices(query, board),
        board_round: board.last_round,
        shown: shown(query, &selection),
        pages: pages(query, &selection),
        entries: entries(board, query, &selection),
        divisions: board.divisions.iter().map(|of| division_card(of, board)).collect(),
        models: (view.competition.teacher.model().map(|model| ("Teacher", model)).into_iter())
            .chain([("Reference", &view.competition.reference)])
            .collect(),
        objects: objects(&view.competition),
    })
}

/// The columns that a board can be sorted by.
fn columns(query: &BoardQuery) -> [Column; 8] {
    [
        (Sort::Rank, "Rank", ""),
        (Sort::Score, "Score", ""),
        (Sort::Accuracy, "Accuracy", ""),
        (Sort::Latency, "Latency ÷ reference", ""),
        (Sort::Median, "p50 / p90", "n"),
        (Sort::Size, "Size", "n"),
        (Sort::Parameters, "Parameters", "n"),
        (Sort::Agreement, "Agreement", "n"),
    ]
    .map(|(sort, name, class)| Column {
        name,
        class,
        link: query.sorted_by(sort).link(),
        direction: query.direction(sort),
    })
}

/// Divisions and families to choose from; a board of one family has nothing to choose.
fn choices(query: &BoardQuery, board: &Leaderboard) -> [Vec<Choice>; 2] {
    let choice = |name: &str, query: BoardQuery, chosen| Choice { name: name.into(), link: query.link(), chosen };
    let mut divisions = vec![choice("all", query.in_division(None), query.division.is_none())];
    divisions.extend(Division::ALL.map(|division| {
        choice(division.as_str(), query.in_division(Some(division)), query.division == Some(division))
    }));
    let submissions = board.rows.iter().filter(|row| row.kind == RowKind::Submission);
    let mut families: Vec<&str> = submissions.map(|row| row.architecture.as_str()).collect();
    families.sort_unstable();
    families.dedup();
    let all = choice("all", query.of_family(None), query.family.is_none());
    let of = |family: &&str| choice(family, query.of_family(Some(family)), query.family.as_deref() == Some(*family));
    let families =
        if families.len() < 2 { Vec::new() } else { [all].into_iter().chain(families.iter().map(of)).collect() };
    [divisions, families]
}

/// The first and the last submission of the page, and how many there are.
fn shown(query: &BoardQuery, selection: &Selection) -> String {
    let (first, last) = ((query.page - 1) * ROWS_MAX + 1, (query.page * ROWS_MAX).min(selection.found));
    match selection.found {
        0 => "Nobody stands here yet.".into(),
        found if first > found => format!("This page is empty: {found} submissions have {} pages.", selection.pages),
        found => format!("{first} to {last} of {found}"),
    }
}

/// Links to the other pages; nothing where there is one only.
fn pages(query: &BoardQuery, selection: &Selection) -> Vec<Choice> {
    if selection.pages < 2 {
        return Vec::new();
    }
    // The ends and what is near; a gap in the numbers says that some are left out.
    let near = |page: &usize| *page == 1 || *page == selection.pages || page.abs_diff(query.page) <= 2;
    let page =
        |page: usize| Choice { name: page.to_string(), link: query.at_page(page).link(), chosen: page == query.page };
    (1..=selection.pages).filter(near).map(page).collect()
}

/// How a rank moved since the last round was judged.
fn moved(row: &BoardRow, board: &Leaderboard) -> Option<(&'static str, String)> {
    let (rank, _) = (row.rank?, board.last_round?);
    Some(match row.last_round_rank {
        None => ("new", "new".into()),
        Some(before) if before > rank => ("up", format!("▲ {}", before - rank)),
        Some(before) if before < rank => ("down", format!("▼ {}", rank - before)),
        Some(_) => return None,
    })
}

fn entries<'a>(board: &Leaderboard, query: &BoardQuery, selection: &Selection<'a>) -> Vec<Entry<'a>> {
    let timed = board.rows.iter().filter(|row| row.is_timed());
    let score = column(board.rows.iter(), false, |row| row.score_interval_ppm);
    let accuracy = column(board.rows.iter(), false, |row| row.accuracy_interval_ppm);
    let latency = column(timed, true, |row| row.latency_ratio_interval_ppm);
    let by_rank = query.sort == Sort::Rank && query.division.is_none() && query.family.is_none() && !query.reversed;
    let entry = |row: &'a BoardRow| Entry {
        place: place(row),
        class: class(row, board),
        moved: moved(row, board),
        joins: by_rank && row.rank.is_some() && row.rank != row.place,
        score: (row.kind != RowKind::Teacher).then(|| bar(&score, row.score_ppm, row.score_interval_ppm)),
        accuracy: bar(&accuracy, row.accuracy_ppm, row.accuracy_interval_ppm),
        latency: row.is_timed().then(|| bar(&latency, row.latency_ratio_ppm, row.latency_ratio_interval_ppm)),
        row,
    };
    selection.rows.iter().copied().map(entry).collect()
}

/// The scale that all rows of a column share, so that their bars can be compared by eye.
fn column<'a>(rows: impl Iterator<Item = &'a BoardRow>, logarithmic: bool, ends: fn(&BoardRow) -> [i64; 2]) -> Axis {
    let values = rows.flat_map(ends).map(|ppm| ppm.max(1) as f64);
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
        RowKind::Reference => "reference".into(),
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
    let Tables { training, evaluation } = competition.tables;
    vec![
        ("Training images with labels and, where it was asked, the teacher's answers: Parquet", training),
        ("Public evaluation images with labels and the teacher's answers: Parquet", evaluation),
    ]
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

/// What kinds of models may be entered.
fn taken(manifest: &Manifest) -> &'static str {
    match (manifest.takes(Taken::Catalogue), manifest.takes(Taken::Onnx)) {
        (true, true) => "architectures of the catalogue, and ONNX",
        (false, true) => "ONNX",
        _ => "architectures of the catalogue",
    }
}

/// The engine with its version; the digest of its library is in the manifest.
fn engine(engine: &OfficialEngine) -> String {
    let mut without_library = *engine;
    without_library.library = None;
    without_library.to_string()
}

fn accuracy(ceiling: Ceiling) -> i64 {
    share_ppm(u64::from(ceiling.correct), u64::from(ceiling.items))
}

/// A submission's id as text, for the row's links.
fn link(id: &SubmissionId) -> String {
    format!("/submissions/{id}")
}

/// Where a click on a contact leads: it is a mail address or an https URL.
fn contact_link(contact: &str) -> String {
    if contact.starts_with("https://") { contact.to_owned() } else { format!("mailto:{contact}") }
}

/// What an amendment changed, in words.
fn changed(change: &Amended) -> String {
    match change {
        Amended::Title(_) => "another title".into(),
        Amended::Description(_) => "another description".into(),
        Amended::Contact(contact) => format!("questions go to {contact}"),
        Amended::Hidden(true) => "left out of lists".into(),
        Amended::Hidden(false) => "in lists again".into(),
        Amended::ClosesAt(at) => format!("it ends {}", figures::moment(*at)),
        Amended::SubmissionsPerDay { quota, from_round } => {
            format!("{quota} submissions a day from round {from_round} on")
        }
        Amended::Engine { engine, from_round } => format!("measured on {engine} from round {from_round} on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn page(view: &CompetitionView, board: &Leaderboard, query: &str, now: u64) -> String {
        let query = BoardQuery::parse(query).unwrap();
        let reigns = [sample::reign(0, 1_000), sample::reign(1, 90_000)];
        let endpoint = "https://validator.example";
        render(&Sources { view, board, round: Some(2), reigns: &reigns, query: &query, endpoint, now })
    }

    #[test]
    fn boards_of_every_size_render() {
        for models in [0, 1, 1000] {
            let page = page(&sample::competition(), &sample::board(models), "", sample::NOW);
            sample::assert_markup(&page);
            assert_eq!(page.matches("<tbody").count(), models.min(ROWS_MAX) + 2);
        }
    }

    /// It is kept as it is sent, so nothing in it counts time.
    #[test]
    fn a_reign_says_since_when_it_is_the_same_page_an_hour_later() {
        let (view, board) = (sample::competition(), sample::board(5));
        let reigns = [sample::reign(0, 200)];
        let at = |now| {
            let (query, endpoint) = (BoardQuery::parse("").unwrap(), "http://127.0.0.1:7070");
            let sources =
                Sources { view: &view, board: &board, round: Some(1), reigns: &reigns, query: &query, endpoint, now };
            render(&sources)
        };
        let page = at(sample::NOW);
        assert!(page.contains(&format!("since {}", figures::moment(sample::NOW - 200))), "{page}");
        assert_eq!(page, at(sample::NOW + 3_600));
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
        let page = page(&view, &board, "", sample::NOW);
        sample::assert_markup(&page);
        assert!(!page.contains("<script>") && !page.contains("<b onclick"));
    }

    #[test]
    fn pages_hold_neither_inline_scripts_nor_inline_style() {
        let page = page(&sample::competition(), &sample::board(5), "", sample::NOW);
        assert!(page.matches("<script").count() == page.matches("<script src=\"/assets/").count());
        for forbidden in [" style=", " onclick=", "<style", "javascript:", "https://cdn"] {
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
        assert!(page(&view, &sample::board(1), "", sample::NOW).contains("closed since"));
        assert!(page(&view, &sample::board(1), "", sample::NOW - 1).contains("open until"));
    }

    #[test]
    fn a_board_can_be_sorted_filtered_and_turned_over_without_a_script() {
        let (view, board) = (sample::competition(), sample::board(250));
        let whole = page(&view, &board, "", sample::NOW);
        for link in ["?sort=latency#board", "?division=c99#board", "?family=mlp#board", "?page=3#board"] {
            assert!(whole.contains(&format!("href=\"{link}\"")), "{link}");
        }
        let sorted = page(&view, &board, "sort=latency&page=2", sample::NOW);
        assert!(sorted.contains("aria-sort=\"ascending\"") && sorted.contains("101 to 200 of 250"), "{sorted}");
        assert!(sorted.contains("?sort=latency&#38;order=desc#board"), "the other way round");
    }

    #[test]
    fn a_row_says_how_it_moved_since_the_last_round() {
        let board = sample::board(12);
        let page = page(&sample::competition(), &board, "", sample::NOW);
        for expected in ["▲ 3", ">new<", "hf download arena/fashion-mnist-resnet18"] {
            assert!(page.contains(expected), "{expected}");
        }
    }
}
