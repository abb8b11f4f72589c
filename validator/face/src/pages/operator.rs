//! The operator's page: whether the host is calm enough to time models on, and how long the queue is.

use super::figures;
use super::layout::{self, Layout};
use crate::operator::{OperatorView, Places};
use askama::Template;
use protocol::fleet::Standing;
use protocol::score::PPM;
use store::db::blocks::BlockRow;
use store::db::latency::LatencyControl;
use store::db::watch::{DiskHolder, Storage, Waiting, WorkerSeen};
use store::db::work::WorkSeen;
use store::db::workers::Worker as FleetWorker;

/// Seconds between reloads.
const RELOAD_SECONDS: u32 = 30;
/// The chart's size in pixels.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 220.0;
/// Room for the axis' captions.
const LEFT: f64 = 62.0;
/// What the chart shows at least, beyond which points lie on its edge: three times the band.
const BANDS_SHOWN: i64 = 3;
/// A worker says twice a minute that it is alive.
const SILENT_SECONDS_MAX: u64 = 60;
/// Rows of the table of measurements.
const ROWS_MAX: usize = 30;

#[derive(Template)]
#[template(path = "operator.html")]
struct Page<'a> {
    layout: Layout,
    view: &'a OperatorView,
    /// What commands end with.
    dir: &'a str,
    headline: String,
    facts: Vec<(&'static str, String)>,
    storage: Vec<(&'static str, String)>,
    workers: Vec<Worker<'a>>,
    queue: Vec<InLine<'a>>,
    places: Vec<InUse>,
    work: Vec<Asked<'a>>,
    disk: Vec<OnDisk<'a>>,
    blocks: Vec<Shut<'a>>,
    fleet: Vec<Elsewhere<'a>>,
    chart: Chart,
    rows: Vec<Row>,
}

/// Places of one kind with what they are for.
struct InUse {
    what: &'static str,
    taken: u64,
    of: u64,
}

/// A worker on another machine.
struct Elsewhere<'a> {
    seen: &'a FleetWorker,
    control: String,
    heard: String,
    is_silent: bool,
}

/// What a round or a publication has measured.
struct Asked<'a> {
    seen: &'a WorkSeen,
    what: String,
    waited: String,
}

/// A hotkey whose packages take space.
struct OnDisk<'a> {
    holder: &'a DiskHolder,
    bytes: String,
}

/// Somebody who is blocked.
struct Shut<'a> {
    row: &'a BlockRow,
    since: String,
}

/// What everybody else sees at the page's address.
#[derive(Template)]
#[template(path = "locked.html")]
struct Locked {
    layout: Layout,
}

/// A worker with how long it has been silent.
struct Worker<'a> {
    seen: &'a WorkerSeen,
    silent: String,
    /// Twice as long as it may be.
    is_lost: bool,
}

/// A submission in the queue with how long it has been there.
struct InLine<'a> {
    waiting: &'a Waiting,
    waited: String,
}

/// Control ratios in order of time, oldest left.
struct Chart {
    description: String,
    /// The upper and the lower edge of the band, and its middle.
    band: [f64; 3],
    marks: Vec<Mark>,
}

struct Mark {
    x: f64,
    y: f64,
    /// `sound`, `unstable` or `breach`.
    class: &'static str,
    title: String,
}

/// One measurement in the table.
struct Row {
    time: String,
    submission: String,
    control: String,
    half_width: String,
    overhead: String,
    launches: u32,
    verdict: String,
    class: &'static str,
}

/// Renders the page without anything on it, for whoever has shown no token.
pub(crate) fn locked() -> String {
    layout::render(&Locked { layout: Layout::new("Operator · Retort", "For the operator alone.") })
}

/// Renders the page; `dir` names this validator's directory to commands, where they need that.
pub(crate) fn render(view: &OperatorView, dir: &str) -> String {
    let mut layout = Layout::new("Operator · Retort", "The health of this validator.");
    layout.reload_seconds = Some(RELOAD_SECONDS);
    layout.events = Some("/api/v1/events".into());
    layout.poll_seconds = Some(RELOAD_SECONDS);
    layout::render(&Page {
        layout,
        view,
        dir,
        headline: headline(view),
        facts: facts(view),
        storage: storage(&view.storage, view),
        workers: workers(view),
        queue: queue(view),
        places: view.places.iter().map(in_use).collect(),
        work: work(view),
        disk: view.disk_holders.iter().map(|holder| OnDisk { holder, bytes: figures::bytes(holder.bytes) }).collect(),
        blocks: view.blocks.iter().map(|row| Shut { row, since: figures::moment(row.since) }).collect(),
        fleet: view.fleet.iter().map(|seen| elsewhere(seen, view.now)).collect(),
        chart: chart(view),
        rows: rows(view),
    })
}

fn elsewhere(seen: &FleetWorker, now: u64) -> Elsewhere<'_> {
    let silent_seconds = now.saturating_sub(seen.seen_at);
    let is_silent = seen.state == Standing::Active && silent_seconds > SILENT_SECONDS_MAX;
    let control = seen.control.map_or_else(String::new, |control| {
        let [low, high] = control.band_ppm.map(ratio);
        format!(
            "{} [{low}, {high}], {} of {} spoiled",
            ratio(control.median_ppm),
            control.unstable,
            control.measurements
        )
    });
    Elsewhere { seen, control, heard: figures::duration(silent_seconds), is_silent }
}

/// What matters most, in a sentence.
fn headline(view: &OperatorView) -> String {
    let unstable = view.controls.iter().filter(|control| control.verdict.is_unstable()).count();
    match (view.controls.len(), unstable) {
        (0, _) => "No latency has been measured yet".into(),
        (count, 0) => format!("This machine was calm in all of the last {count} latency measurements"),
        (count, unstable) => {
            format!("In {unstable} of the last {count} latency measurements this machine was too restless")
        }
    }
}

fn facts(view: &OperatorView) -> Vec<(&'static str, String)> {
    let unknown = || "not said by this system".to_owned();
    let load = |loads: [u64; 3]| loads.map(|load| format!("{:.2}", load as f64 / 1e3)).join(", ");
    let count = |state: &str| view.submissions.get(state).copied().unwrap_or(0).to_string();
    vec![
        ("Processor cores", view.host.cores.to_string()),
        ("Load average over 1, 5 and 15 minutes", view.host.load_milli.map_or_else(unknown, load)),
        ("Free memory", view.host.memory_available_bytes.map_or_else(unknown, figures::bytes)),
        ("Free disk space", view.host.disk_free_bytes.map_or_else(unknown, figures::bytes)),
        ("Announced, files still to come", count("awaiting_upload")),
        ("In the admission check", count("checking")),
        ("Waiting to be measured", count("queued")),
        ("Longest wait of those", figures::duration(view.queue_age_seconds)),
        ("Being measured", count("evaluating")),
        ("Scored", count("scored")),
        ("Rejected: the package was at fault", count("rejected")),
        ("Failed: this validator was at fault", count("failed")),
        (
            "Time of an evaluation, mean of the last twenty",
            view.evaluation_pace_ms.map_or("none yet".into(), |ms| figures::micros(ms.saturating_mul(1_000))),
        ),
        ("Setting latency in validator.toml", view.latency.as_str().to_owned()),
    ]
}

fn storage(storage: &Storage, view: &OperatorView) -> Vec<(&'static str, String)> {
    vec![
        (
            "Files that anybody may download",
            format!("{}, {}", storage.public_objects, figures::bytes(storage.public_bytes)),
        ),
        ("Database", figures::bytes(storage.database_bytes)),
        ("Entries of the public log", storage.log_leaves.to_string()),
        ("Entries still to be written into it", storage.log_pending.to_string()),
        ("Events of the live feed so far", storage.events.to_string()),
        ("Connections to the live feed now", view.streams.to_string()),
    ]
}

fn workers(view: &OperatorView) -> Vec<Worker<'_>> {
    let now = view.workers.iter().map(|worker| worker.seen_at).max().unwrap_or(0).max(view.now);
    let silent = |seen: &WorkerSeen| now.saturating_sub(seen.seen_at);
    let row = |(seen, silent)| Worker { seen, silent: figures::duration(silent), is_lost: silent > SILENT_SECONDS_MAX };
    view.workers.iter().map(|seen| (seen, silent(seen))).map(row).collect()
}

fn in_use(places: &Places) -> InUse {
    let what = match places.kind {
        "connections" => "Open connections",
        "uploads" => "Uploads under way",
        "reads" => "Requests that read, now",
        "writes" => "Requests that write, now",
        "streams" => "Connections to the live feed",
        "drafts" => "Uploads file by file (hf upload_file)",
        "announcements" => "Submissions without files yet",
        "waiting" => "Hotkeys with submissions in the queue",
        "webhooks" => "Webhooks",
        "challenges" => "Webhooks not confirmed yet",
        other => other,
    };
    InUse { what, taken: places.taken, of: places.of }
}

fn queue(view: &OperatorView) -> Vec<InLine<'_>> {
    let waited = |since: u64| figures::duration(view.now.saturating_sub(since));
    view.queue.iter().map(|waiting| InLine { waiting, waited: waited(waiting.since) }).collect()
}

fn work(view: &OperatorView) -> Vec<Asked<'_>> {
    let row = |seen| Asked { seen, what: asked(seen), waited: figures::duration(view.now.saturating_sub(seen.since)) };
    view.work.iter().map(row).collect()
}

/// Who asks, in words.
fn asked(seen: &WorkSeen) -> String {
    match (seen.round, seen.kind) {
        (Some(round), "teacher") => format!("round {round}, teacher or reference"),
        (Some(round), _) => format!("round {round}, a member"),
        (None, _) => "publishing".to_owned(),
    }
}

fn chart(view: &OperatorView) -> Chart {
    let reach = view.control_ppm_max * BANDS_SHOWN;
    let y = |ppm: i64| {
        let share = (ppm - PPM).clamp(-reach, reach) as f64 / reach as f64;
        (HEIGHT / 2.0 - share * (HEIGHT / 2.0 - 14.0)).round()
    };
    let made: Vec<_> = view.controls.iter().filter(|control| control.control_launches > 0).collect();
    let step = (WIDTH - LEFT - 20.0) / made.len().max(1) as f64;
    let mark = |(index, control): (usize, &&LatencyControl)| Mark {
        x: (LEFT + 10.0 + (index as f64 + 0.5) * step).round(),
        y: y(control.control_ppm),
        class: control.verdict.name(),
        title: format!("{}: {} ({})", figures::moment(control.at), ratio(control.control_ppm), control.verdict),
    };
    let outside = made.iter().filter(|c| (c.control_ppm - PPM).abs() > view.control_ppm_max).count();
    Chart {
        description: format!("{} measurements, {outside} of them outside of the band of 1 %", made.len()),
        band: [y(PPM + view.control_ppm_max), y(PPM - view.control_ppm_max), y(PPM)],
        marks: made.iter().enumerate().map(mark).collect(),
    }
}

fn rows(view: &OperatorView) -> Vec<Row> {
    let row = |control: &LatencyControl| Row {
        time: figures::moment(control.at),
        submission: control.submission.to_string(),
        control: if control.control_launches > 0 { ratio(control.control_ppm) } else { "not made".into() },
        half_width: format!("±{}", figures::percent(control.half_width_ppm.min(100 * PPM))),
        overhead: figures::percent(i64::try_from(control.overhead_ppm).unwrap_or(i64::MAX)),
        launches: control.launches,
        verdict: control.verdict.to_string(),
        class: control.verdict.name(),
    };
    view.controls.iter().rev().take(ROWS_MAX).map(row).collect()
}

/// Four decimals: the band is a hundredth wide.
fn ratio(ppm: i64) -> String {
    format!("{:.4}", ppm as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::HostHealth;
    use crate::pages::sample;
    use protocol::fleet::{BUILD, Trust, WorkerFacts};
    use protocol::latency::{CONTROL_PPM_MAX, LatencyVerdict, Unstable};
    use protocol::report::Clock;
    use service::guard::holders::Holder;
    use store::config::LatencyEffort;
    use store::db::watch::QueueHolder;
    use store::db::workers::Steadiness;

    fn view(controls: Vec<LatencyControl>) -> OperatorView {
        OperatorView {
            now: sample::NOW,
            host: HostHealth {
                cores: 2,
                load_milli: None,
                memory_available_bytes: Some(1 << 30),
                disk_free_bytes: None,
            },
            submissions: [("queued", 3)].into(),
            queue_age_seconds: 61,
            evaluations: 7,
            workers: vec![WorkerSeen {
                name: "cpu-1".into(),
                queue: "cpu".into(),
                started_at: None,
                seen_at: sample::NOW - 400,
                submission: Some(sample::id(1)),
            }],
            queue: vec![Waiting {
                submission: sample::id(1),
                competition: "digits".parse().unwrap(),
                state: protocol::submission::State::Queued,
                since: sample::NOW - 61,
                failures: 1,
            }],
            work: vec![WorkSeen {
                kind: "round_entry",
                competition: "digits".parse().unwrap(),
                round: Some(3),
                submission: Some(sample::id(1)),
                running: true,
                since: sample::NOW - 5,
                failures: 0,
            }],
            places: vec![Places { kind: "writes", taken: 64, of: 64 }],
            holders: vec![Holder { address: "192.0.2.7".into(), connections: 32, writes: 32, ..Holder::default() }],
            queue_holders: vec![QueueHolder {
                hotkey: sample::hotkey(1),
                awaiting_upload: 2,
                waiting: 4,
                seconds_today: 600,
            }],
            disk_holders: vec![DiskHolder { hotkey: sample::hotkey(1), submissions: 3, bytes: 5_000_000 }],
            fleet: vec![FleetWorker {
                key: sample::hotkey(2),
                name: "bench-1".parse().unwrap(),
                trust: Trust::Rented,
                state: Standing::Draining,
                reason: Some("a <new> kernel".into()),
                stands_since: sample::NOW - 60,
                facts: WorkerFacts {
                    build: BUILD.into(),
                    class: "x86_64-v4".into(),
                    machine: protocol::Digest::of(b"machine"),
                    engines: Vec::new(),
                },
                enrolled_at: sample::NOW - 100_000,
                seen_at: sample::NOW - 7,
                answered: 41,
                confirmed: 2,
                control: Some(Steadiness {
                    measurements: 41,
                    unstable: 2,
                    median_ppm: 1_000_100,
                    band_ppm: [996_000, 1_004_000],
                }),
                failed: 0,
                lost: 1,
                measures: Some(sample::id(1)),
            }],
            blocks: vec![BlockRow { who: "203.0.113.0/24".into(), reason: "a <flood>".into(), since: sample::NOW }],
            storage: Storage {
                public_objects: 3,
                public_bytes: 9_000_000,
                database_bytes: 40_960,
                log_leaves: 7,
                log_pending: 0,
                events: 12,
            },
            streams: 2,
            evaluation_pace_ms: Some(30_000),
            latency: LatencyEffort::Full,
            control_ppm_max: CONTROL_PPM_MAX,
            verdicts: Default::default(),
            controls,
        }
    }

    fn control(control_ppm: i64, verdict: LatencyVerdict) -> LatencyControl {
        LatencyControl {
            at: sample::NOW,
            submission: sample::id(1),
            control_launches: 3,
            control_ppm,
            ratio_ppm: 500_000,
            half_width_ppm: 4_000,
            launches: 15,
            overhead_ppm: 21_000,
            clock: Clock::Parent,
            pinned_core: Some(1),
            verdict,
            worker: None,
        }
    }

    #[test]
    fn a_locked_page_says_how_it_is_opened() {
        let page = locked();
        sample::assert_markup(&page);
        assert!(page.contains("retort validator operator") && !page.contains("sse-connect"), "{page}");
    }

    #[test]
    fn a_quiet_and_a_restless_host_render() {
        for controls in [
            vec![],
            vec![control(1_000_400, LatencyVerdict::Sound)],
            vec![control(i64::MAX, LatencyVerdict::Unstable(Unstable::Control)), control(0, LatencyVerdict::Sound)],
        ] {
            let page = render(&view(controls), " --dir /var/lib/retort");
            sample::assert_markup(&page);
            assert!(page.contains("not said by this system"));
            for part in [
                "Requests that write, now</dt><dd>64 of 64",
                "192.0.2.7",
                "203.0.113.0/24",
                "a &#60;flood&#62;",
                "TEXT --dir /var/lib/retort<",
            ] {
                assert!(page.contains(part), "{part}: {page}");
            }
        }
    }

    #[test]
    fn a_point_outside_of_the_band_is_drawn_outside_and_inside_the_chart() {
        let unstable = LatencyVerdict::Unstable(Unstable::Control);
        let chart = chart(&view(vec![control(1_000_000, LatencyVerdict::Sound), control(5_000_000, unstable)]));
        let [upper, lower, middle] = chart.band;
        assert!(upper < middle && middle < lower);
        assert_eq!((chart.marks[0].y, chart.marks[0].class), (middle, "sound"));
        assert!(chart.marks[1].y < upper && chart.marks[1].y > 0.0);
        assert!(chart.description.contains("1 of them outside"), "{}", chart.description);
    }
}
