//! Accuracy against latency as an SVG drawn on the server: what the arena is about, in one picture.
//!
//! The x axis is the latency ratio to the reference (logarithmic), the y axis accuracy, error bars are the intervals of
//! the board, a circle's area is the size of the weights, and a step line joins the models that nothing beats in both. Who
//! has no rank by hidden items is hollow and on no line: whoever learnt the public ones by heart would lead there.
//! Geometry is computed here; `templates/scatter.svg` draws it and escapes every text. It does not know HTTP.

mod canvas;
mod words;

pub(crate) use canvas::Canvas;

use super::axis::{Axis, tenth};
use super::figures;
use super::labels::{Area, Label, Placer};
use super::pareto::{Trade, frontier};
use askama::Template;
use canvas::Format;
use protocol::SubmissionId;
use protocol::api::{BoardRow, Leaderboard, RowKind};
use words::{describe, name, ratio_tick, round, sentence};

/// Beyond this many models, error bars of those behind the Pareto line would be a grey smear.
const WHISKERS_MAX: usize = 60;
/// Ranks that get a label even when they lie behind the Pareto line.
const LABELLED_RANKS: u32 = 8;
/// The smallest circle that a finger finds.
const RADIUS_MIN: f64 = 4.0;
/// What words need above and below them, in pixels.
const EMPTY_ROOM: f64 = 28.0;
/// The largest circle that fits into the line of the legend.
const LEGEND_RADIUS_MAX: f64 = 11.0;

/// Everything that the template draws, in pixels.
#[derive(Template)]
#[template(path = "scatter.svg")]
struct Scatter<'a> {
    /// Tells the elements' ids of several charts in one page apart.
    id: &'static str,
    style: Option<&'static str>,
    title: String,
    description: String,
    width: f64,
    height: f64,
    plot: Area,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    x_caption: &'static str,
    teacher: Option<Teacher<'a>>,
    reference: Option<Reference>,
    /// An SVG path; empty without models.
    frontier: String,
    marks: Vec<Mark<'a>>,
    labels: Vec<Label>,
    /// Where there is room to say that nobody is there.
    empty_y: f64,
    legend: Legend,
}

struct Tick {
    at: f64,
    text: String,
}

struct Teacher<'a> {
    y: f64,
    text: String,
    label_y: f64,
    row: &'a BoardRow,
}

struct Reference {
    x: f64,
    /// `None` when its accuracy lies below the chart.
    y: Option<f64>,
    title: String,
}

/// A submission.
struct Mark<'a> {
    row: &'a BoardRow,
    x: f64,
    y: f64,
    radius: f64,
    /// `champion`, `front`, `behind`, or `hollow`.
    class: &'static str,
    /// Ends of the error bars, if drawn: x then y.
    whiskers: Option<([f64; 2], [f64; 2])>,
    /// Less accurate than the chart shows; drawn on its lower edge.
    below: bool,
    /// Passed over by the keyboard: one of so many behind the line that nobody would get through them.
    quiet: bool,
    title: String,
}

struct Legend {
    y: f64,
    /// A round size and its radius.
    size: Option<(f64, String)>,
    /// What hollow circles are, if there are any.
    hollow: Option<&'static str>,
    /// Left ends of the entries: champion, Pareto line, size, hollow ones.
    x: [f64; 4],
}

impl Mark<'_> {
    fn stands_out(&self) -> bool {
        matches!(self.class, "champion" | "front")
    }
}

/// Draws the board.
pub(crate) fn scatter(board: &Leaderboard, canvas: Canvas) -> String {
    Scatter::new(board, canvas).render().expect("a template that writes to a string can't fail")
}

impl<'a> Scatter<'a> {
    fn new(board: &'a Leaderboard, canvas: Canvas) -> Self {
        let Format { width, height, font, radius_max, ticks } = canvas.format();
        let plot = Area { left: 52.0, top: 34.0, right: width - 14.0, bottom: height - 84.0 };
        let rows = Rows::of(board);
        let x = x_axis(&rows, [plot.left, plot.right]);
        let y = y_axis(&rows, [plot.bottom, plot.top]);
        let sizes = Sizes::of(&rows, radius_max);
        let line = rows.frontier();

        let mut marks: Vec<Mark> =
            rows.submissions.iter().map(|row| mark(row, &rows, &line, (&x, &y), &sizes)).collect();
        let teacher = rows.teacher.map(|row| teacher(row, &y, plot));
        let reference = rows.reference.map(|row| reference(row, &x, &y));
        let mut taken = taken(&marks, teacher.as_ref(), plot);
        taken.extend(line_areas(&line, (&x, &y), plot.right));
        let placer = Placer { room: plot, font, taken };
        let labels = label(placer, &marks, reference.as_ref());
        let empty_y = free_height(plot, teacher.as_ref(), reference.as_ref());
        // Large circles first, so that small ones stay visible on top; the champion is drawn last.
        marks.sort_by(|a, b| (a.class == "champion").cmp(&(b.class == "champion")).then(b.radius.total_cmp(&a.radius)));
        Self {
            id: canvas.id(),
            style: (canvas == Canvas::Alone).then_some(include_str!("../../templates/chart.css")),
            title: format!("{}: accuracy against latency", board.competition),
            description: describe(&rows, line.len()),
            width,
            height,
            plot,
            x_ticks: x.ticks(ticks[0]).into_iter().map(|v| Tick { at: x.at(v), text: ratio_tick(v) }).collect(),
            y_ticks: y.ticks(ticks[1]).into_iter().map(|v| Tick { at: y.at(v), text: round(v) }).collect(),
            x_caption: if canvas == Canvas::Narrow {
                "← faster · latency ÷ reference"
            } else {
                "← faster · latency ÷ reference, logarithmic"
            },
            teacher,
            reference,
            frontier: step_line(&line, &rows, (&x, &y), plot.right),
            marks,
            labels,
            empty_y,
            legend: legend(&rows, &sizes, canvas),
        }
    }
}

/// The board by what its rows stand for.
struct Rows<'a> {
    teacher: Option<&'a BoardRow>,
    reference: Option<&'a BoardRow>,
    submissions: Vec<&'a BoardRow>,
    champion: &'a Option<SubmissionId>,
}

impl<'a> Rows<'a> {
    fn of(board: &'a Leaderboard) -> Self {
        let first = |kind| board.rows.iter().find(|row| row.kind == kind);
        Self {
            teacher: first(RowKind::Teacher),
            reference: first(RowKind::Reference),
            // Who wasn't timed has no place here.
            submissions: board.rows.iter().filter(|row| row.kind == RowKind::Submission && row.is_timed()).collect(),
            champion: &board.champion,
        }
    }

    /// Whether a row decides what the axes show: a model that failed the quality gate doesn't, unless all did.
    fn decides(&self, row: &BoardRow) -> bool {
        row.score_ppm > 0 || self.submissions.iter().all(|row| row.score_ppm <= 0)
    }

    /// The submissions on the Pareto line, fastest first. Whoever has no rank, a copy or below a gate, leads nobody there, nor
    /// does who is ranked by public items alone.
    fn frontier(&self) -> Vec<&'a BoardRow> {
        let ranked = |row: &&BoardRow| !is_hollow(row) && self.decides(row);
        let rows: Vec<&BoardRow> = self.submissions.iter().copied().filter(ranked).collect();
        let trade = |row: &&BoardRow| Trade { latency_ppm: row.latency_ratio_ppm, accuracy_ppm: row.accuracy_ppm };
        frontier(&rows.iter().map(trade).collect::<Vec<_>>()).into_iter().map(|at| rows[at]).collect()
    }
}

/// Whether hidden items say nothing for it: it wasn't asked any yet, is below a gate, or a copy.
fn is_hollow(row: &BoardRow) -> bool {
    row.provisional || row.rank.is_none()
}

/// Latency ratios, always around the reference's 1. The teacher is often so slow that it would squeeze all others.
fn x_axis(rows: &Rows, pixels: [f64; 2]) -> Axis {
    let ends = rows
        .submissions
        .iter()
        .flat_map(|row| [row.latency_ratio_ppm, row.latency_ratio_interval_ppm[0], row.latency_ratio_interval_ppm[1]]);
    let decades = ends.chain([1_000_000]).map(|ppm| (ppm.max(1) as f64 / 1e6).log10());
    let (low, high) = decades.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
    let margin = ((high - low) * 0.07).max(0.15);
    Axis::logarithmic([low - margin, high + margin].map(|at| 10f64.powf(at)), pixels)
}

/// Accuracy in percent, from the least accurate model that counts to the teacher.
fn y_axis(rows: &Rows, pixels: [f64; 2]) -> Axis {
    let deciding = rows.submissions.iter().copied().filter(|row| rows.decides(row));
    let ends = deciding.flat_map(|row| [row.accuracy_ppm, row.accuracy_interval_ppm[0], row.accuracy_interval_ppm[1]]);
    let fixed = [rows.teacher, rows.reference].into_iter().flatten().map(|row| row.accuracy_ppm);
    let percents = ends.chain(fixed).map(|ppm| ppm as f64 / 1e4);
    let (low, high) = percents.fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)));
    let (low, high) = if low > high { (0.0, 100.0) } else { (low, high) };
    let margin = ((high - low) * 0.1).max(0.5);
    Axis::linear([(low - margin).max(-1.0), (high + margin).min(101.0)], pixels)
}

/// Turns bytes into radii: area is proportional to size.
struct Sizes {
    bytes_max: u64,
    radius_max: f64,
}

impl Sizes {
    fn of(rows: &Rows, radius_max: f64) -> Self {
        let crowd = (rows.submissions.len() as f64 / 12.0).max(1.0).sqrt();
        Self {
            bytes_max: rows.submissions.iter().map(|row| row.size_bytes).max().unwrap_or(0),
            radius_max: (radius_max / crowd).max(RADIUS_MIN + 2.0),
        }
    }

    fn radius(&self, bytes: u64) -> f64 {
        let share = bytes as f64 / self.bytes_max.max(1) as f64;
        tenth((share.sqrt() * self.radius_max).max(RADIUS_MIN))
    }

    /// A round size for the legend, that fits into its line.
    fn example(&self) -> Option<(f64, String)> {
        let decades = (0..=self.bytes_max.checked_ilog10()?).rev().map(|exponent| 10u64.pow(exponent));
        let mut rounds = decades.flat_map(|decade| [5, 2, 1].into_iter().filter_map(move |n| decade.checked_mul(n)));
        let fits = |bytes: &u64| *bytes <= self.bytes_max && self.radius(*bytes) <= LEGEND_RADIUS_MAX;
        let round = rounds.find(fits)?;
        let text = figures::bytes(round).replace(".00", "").replace(".0", "");
        Some((self.radius(round), text))
    }
}

fn mark<'a>(row: &'a BoardRow, rows: &Rows, line: &[&BoardRow], (x, y): (&Axis, &Axis), sizes: &Sizes) -> Mark<'a> {
    let ratio = |ppm: i64| x.at(ppm as f64 / 1e6);
    let percent = |ppm: i64| y.at(ppm as f64 / 1e4);
    let on_line = line.iter().any(|member| std::ptr::eq(*member, row));
    let class = match row.submission {
        Some(_) if row.submission == *rows.champion => "champion",
        _ if on_line => "front",
        _ if is_hollow(row) => "hollow",
        _ => "behind",
    };
    let below = !y.shows(row.accuracy_ppm as f64 / 1e4);
    let is_crowded = rows.submissions.len() > WHISKERS_MAX && !matches!(class, "champion" | "front");
    let drawn = !below && !is_crowded;
    Mark {
        row,
        x: ratio(row.latency_ratio_ppm),
        y: percent(row.accuracy_ppm),
        radius: sizes.radius(row.size_bytes),
        class,
        whiskers: drawn.then(|| (row.latency_ratio_interval_ppm.map(ratio), row.accuracy_interval_ppm.map(percent))),
        below,
        quiet: is_crowded,
        title: sentence(row),
    }
}

fn teacher<'a>(row: &'a BoardRow, y: &Axis, plot: Area) -> Teacher<'a> {
    let at = y.at(row.accuracy_ppm as f64 / 1e4);
    let text = format!(
        "teacher {} · {} · {}",
        figures::percent(row.accuracy_ppm),
        figures::ratio(row.latency_ratio_ppm),
        figures::bytes(row.size_bytes)
    );
    // Above the line, unless that would leave the plot.
    let label_y = if at - 18.0 < plot.top { at + 15.0 } else { at - 6.0 };
    Teacher { y: at, text, label_y, row }
}

fn reference(row: &BoardRow, x: &Axis, y: &Axis) -> Reference {
    let accuracy = row.accuracy_ppm as f64 / 1e4;
    Reference { x: x.at(1.0), y: y.shows(accuracy).then(|| y.at(accuracy)), title: sentence(row) }
}

/// Circles, error bars and the teacher's line, which labels must not cover.
fn taken(marks: &[Mark], teacher: Option<&Teacher>, plot: Area) -> Vec<Area> {
    let line = teacher.map(|teacher| Area {
        left: plot.left,
        top: teacher.y.min(teacher.label_y - 13.0),
        right: plot.right,
        bottom: teacher.y.max(teacher.label_y + 4.0),
    });
    let circles = || marks.iter().filter(|mark| marks.len() <= WHISKERS_MAX || mark.stands_out());
    let bars = circles().filter_map(|mark| {
        let (_, [low, high]) = mark.whiskers?;
        Some(Area { left: mark.x - 1.0, top: high.min(low), right: mark.x + 1.0, bottom: high.max(low) })
    });
    circles().map(|mark| Area::around(mark.x, mark.y, mark.radius * 0.8)).chain(bars).chain(line).collect()
}

/// The middle, or the nearest height to it where neither the reference nor the teacher's line would lie under words.
fn free_height(plot: Area, teacher: Option<&Teacher>, reference: Option<&Reference>) -> f64 {
    let lines = teacher.map(|teacher| [teacher.y, teacher.label_y]).into_iter().flatten();
    let taken: Vec<f64> = lines.chain(reference.and_then(|reference| reference.y)).collect();
    let at = |share: f64| tenth(plot.top + share * (plot.bottom - plot.top));
    let is_free = |y: &f64| taken.iter().all(|taken| (taken - y).abs() > EMPTY_ROOM);
    [0.5, 0.35, 0.65, 0.2, 0.8].map(at).into_iter().find(is_free).unwrap_or(at(0.5))
}

/// The steps of the Pareto line as thin areas.
fn line_areas(line: &[&BoardRow], axes: (&Axis, &Axis), right: f64) -> Vec<Area> {
    let points: Vec<(f64, f64)> = line.iter().map(|row| point(row, axes)).collect();
    let across = |from: (f64, f64), to_x| Area { left: from.0, top: from.1 - 1.5, right: to_x, bottom: from.1 + 1.5 };
    let up = |from: (f64, f64), to: (f64, f64)| Area { left: to.0 - 1.5, top: to.1, right: to.0 + 1.5, bottom: from.1 };
    let steps = points.windows(2).flat_map(|pair| [across(pair[0], pair[1].0), up(pair[0], pair[1])]);
    steps.chain(points.last().map(|last| across(*last, right))).collect()
}

fn point(row: &BoardRow, (x, y): (&Axis, &Axis)) -> (f64, f64) {
    (x.at(row.latency_ratio_ppm as f64 / 1e6), y.at(row.accuracy_ppm as f64 / 1e4))
}

/// Labels the champion, the reference, the Pareto line and the first ranks, as far as there is room.
fn label(mut placer: Placer, marks: &[Mark], reference: Option<&Reference>) -> Vec<Label> {
    let square = reference.and_then(|reference| Some((reference.x, reference.y?, 6.0)));
    placer.taken.extend(square.map(|(x, y, radius)| Area::around(x, y, radius)));
    let mut wanted: Vec<&Mark> = marks
        .iter()
        .filter(|mark| mark.stands_out() || mark.row.place.is_some_and(|place| place <= LABELLED_RANKS))
        .collect();
    wanted.sort_by_key(|mark| mark.row.place.unwrap_or(u32::MAX));
    let (first, others) = wanted.split_at(wanted.len().min(1));
    let beside = |placer: &mut Placer, marks: &[&Mark]| -> Vec<Label> {
        let place = |mark: &&Mark| placer.beside((mark.x, mark.y, mark.radius), name(mark.row), mark.class);
        marks.iter().filter_map(place).collect()
    };
    // The places are given out in this order.
    let mut labels = beside(&mut placer, first);
    labels.extend(square.and_then(|square| placer.beside(square, "reference".into(), "reference")));
    labels.extend(beside(&mut placer, others));
    labels
}

/// What the signs mean that are there. A phone has no room for all of them.
fn legend(rows: &Rows, sizes: &Sizes, canvas: Canvas) -> Legend {
    let any = rows.submissions.iter().any(|row| is_hollow(row));
    let (hollow, size) = match canvas {
        Canvas::Narrow if any => (Some("no hidden rank"), None),
        _ => (any.then_some("no rank by hidden items"), sizes.example()),
    };
    Legend { y: canvas.format().height - 14.0, size, hollow, x: canvas.legend_places() }
}

/// Right to the next model's latency, then up to its accuracy: what is attainable without mixing models.
fn step_line(line: &[&BoardRow], rows: &Rows, axes: (&Axis, &Axis), right: f64) -> String {
    let Some(first) = line.first() else { return String::new() };
    let (start_x, start_y) = point(first, axes);
    let steps = line[1..].iter().map(|row| point(row, axes)).map(|(x, y)| format!("H{x}V{y}")).collect::<String>();
    let end = if rows.submissions.len() > 1 { format!("H{right}") } else { String::new() };
    format!("M{start_x} {start_y}{steps}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn assert_xml(text: &str) {
        sample::assert_markup(text);
        assert!(text.starts_with("<svg"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn boards_of_every_size_are_well_formed() {
        for models in [0, 1, 2, 12, 1000] {
            for canvas in [Canvas::Wide, Canvas::Narrow, Canvas::Alone] {
                let svg = scatter(&sample::board(models), canvas);
                assert_xml(&svg);
                assert_eq!(svg.matches("class=\"sc-mark").count(), models);
            }
        }
    }

    #[test]
    fn a_board_without_any_row_is_drawn() {
        let mut board = sample::board(0);
        board.rows.clear();
        assert_xml(&scatter(&board, Canvas::Wide));
    }

    /// Whatever is there already, and wherever.
    #[test]
    fn words_in_an_empty_chart_lie_over_no_sign() {
        for distance in [0, 3_000, 20_000, 200_000] {
            let mut board = sample::board(0);
            let at = |kind| board.rows.iter().position(|row| row.kind == kind).unwrap();
            let [teacher, reference] = [RowKind::Teacher, RowKind::Reference].map(at);
            board.rows[reference].accuracy_ppm = board.rows[teacher].accuracy_ppm - distance;
            for canvas in [Canvas::Wide, Canvas::Narrow] {
                let chart = Scatter::new(&board, canvas);
                let taken = [chart.reference.unwrap().y.unwrap(), chart.teacher.unwrap().y];
                assert!(taken.iter().all(|y| (y - chart.empty_y).abs() > EMPTY_ROOM), "{distance}: {taken:?}");
            }
        }
    }

    #[test]
    fn huge_ranges_and_broken_numbers_are_drawn_inside_the_canvas() {
        let mut board = sample::board(6);
        let extremes = [i64::MIN, -1, 0, 1, 4_000_000_000_000, i64::MAX];
        for (row, extreme) in board.rows.iter_mut().skip(1).zip(extremes) {
            row.latency_ratio_ppm = extreme;
            row.latency_ratio_interval_ppm = [extreme, i64::MAX];
            row.accuracy_ppm = extreme;
            row.accuracy_interval_ppm = [i64::MIN, extreme];
            row.size_bytes = u64::MAX;
        }
        assert_xml(&scatter(&board, Canvas::Wide));
    }

    /// It answers all public items, faster than anybody.
    #[test]
    fn who_is_ranked_by_public_items_alone_is_hollow_and_on_no_line() {
        let mut board = sample::board(6);
        let memoriser = board.rows.iter_mut().find(|row| row.rank == Some(2)).unwrap();
        (memoriser.provisional, memoriser.accuracy_ppm, memoriser.latency_ratio_ppm) = (true, 1_000_000, 1_000);
        for canvas in [Canvas::Wide, Canvas::Narrow, Canvas::Alone] {
            let chart = Scatter::new(&board, canvas);
            let hollow = chart.marks.iter().filter(|mark| mark.class == "hollow");
            assert_eq!(hollow.map(|mark| mark.row.accuracy_ppm).collect::<Vec<_>>(), [1_000_000]);
            assert!(chart.legend.hollow.is_some());
            assert!(Rows::of(&board).frontier().iter().all(|row| !row.provisional));
            let svg = scatter(&board, canvas);
            assert!(svg.contains("sc-mark hollow") && svg.contains("by public items alone"), "{svg}");
            assert_xml(&svg);
        }
        assert!(!scatter(&sample::board(6), Canvas::Wide).contains("hollow"));
    }

    #[test]
    fn hostile_names_are_escaped() {
        let mut board = sample::board(3);
        for row in &mut board.rows {
            row.architecture = "</title><script>alert(1)</script>".into();
        }
        let svg = scatter(&board, Canvas::Wide);
        assert_xml(&svg);
        assert!(!svg.contains("<script"));
    }

    #[test]
    fn models_below_the_gate_do_not_squeeze_the_others() {
        let mut board = sample::board(12);
        let before = Scatter::new(&board, Canvas::Wide).y_ticks.len();
        let last = board.rows.iter_mut().rfind(|row| row.kind == RowKind::Submission).unwrap();
        (last.accuracy_ppm, last.accuracy_interval_ppm, last.score_ppm) = (100_000, [94_000, 106_000], 0);
        let chart = Scatter::new(&board, Canvas::Wide);
        assert_eq!(chart.y_ticks.len(), before);
        assert_eq!(chart.marks.iter().filter(|mark| mark.below).count(), 1);
    }
}
