//! A submission's page: where it is, why it ended, what was measured, and where its files are.

use super::confusion::Confusion;
use super::copies;
use super::figures;
use super::histogram;
use super::layout::{self, Layout};
use super::prose;
use ::copies::Relation;
use askama::Template;
use protocol::SubmissionId;
use protocol::api::{AppealView, CompetitionView, SubmissionStatus};
use protocol::backend::OnBackend;
use protocol::competition::Manifest;
use protocol::latency::{is_short, judge};
use protocol::package::{ModelKind, OnnxModel};
use protocol::report::{Calibration, Report};
use protocol::score::{Score, ScoreRules};
use protocol::submission::{Blame, Code, State};
use service::copies::{EntryZero, Original, RankedPair};
use std::collections::HashMap;
use store::db::copies::EntryPair;
use store::db::submissions::Event;

/// Seconds between reloads while a submission moves.
const RELOAD_SECONDS: u32 = 5;
/// Seconds between looks of the script, which hears of its own steps at once.
const POLL_SECONDS: u32 = 15;

#[derive(Template)]
#[template(path = "submission.html")]
struct Page<'a> {
    layout: Layout,
    status: &'a SubmissionStatus,
    manifest: &'a Manifest,
    /// The family, once admitted.
    architecture: &'a str,
    /// What is told of it where it is a graph.
    graph: Option<&'a OnnxModel>,
    headline: String,
    champion: bool,
    /// What its forms were measured on; one engine for all.
    forms_engine: &'a str,
    /// Where the Hub's clients find this validator.
    endpoint: &'a str,
    stages: Vec<Stage>,
    /// Other submissions that it isn't independent of.
    notes: Vec<Note>,
    /// What its owner said about its end, and the operator.
    appeals: &'a [AppealView],
    /// What its miner says about it: text, whatever it is written in.
    readme: Option<&'a str>,
    /// Report and score, once scored.
    result: Option<Measured<'a>>,
}

/// A line about another submission.
struct Note {
    /// Whether it has consequences for this one.
    is_grave: bool,
    sentence: String,
    /// The pair's page.
    link: String,
}

/// A step of the journey.
#[derive(Debug, PartialEq)]
struct Stage {
    name: &'static str,
    /// `done`, `now`, `bad` or `next`.
    class: &'static str,
    time: String,
}

/// What the page shows of a report.
struct Measured<'a> {
    report: &'a Report,
    score: &'a Score,
    parts: [Part; 4],
    /// How its times are spread, as SVG.
    histogram: Option<String>,
    likeness: [Likeness; 8],
    facts: Vec<(&'static str, String)>,
    confusion: Confusion<'a>,
}

/// One utility's share of the score.
struct Part {
    name: &'static str,
    utility_ppm: i64,
    weight_ppm: i64,
    /// Pixels of the bar, of 200.
    width: f64,
}

/// A figure of the fidelity panel.
struct Likeness {
    name: &'static str,
    value: String,
    /// The teacher's own, where it has one.
    teacher: String,
    meaning: &'static str,
}

/// What the page is made of.
pub(super) struct Sources<'a> {
    pub(super) status: &'a SubmissionStatus,
    pub(super) view: &'a CompetitionView,
    /// The teacher's report, where it is known.
    pub(super) teacher: Option<&'a Report>,
    /// Other submissions that it isn't independent of.
    pub(super) pairs: &'a [RankedPair],
    /// Which submissions of the competition count as which earlier one.
    pub(super) copies: &'a HashMap<SubmissionId, Original>,
    /// The entries 0 that it isn't independent of.
    pub(super) entries: &'a [EntryPair],
    /// Its history, oldest first.
    pub(super) events: &'a [Event],
    /// What its owner said about its end, and the operator.
    pub(super) appeals: &'a [AppealView],
    /// Its README.md, once everybody may have it.
    pub(super) readme: Option<&'a str>,
    /// The raw samples of its latency.
    pub(super) samples: Option<&'a [u8]>,
    /// The validator's address.
    pub(super) endpoint: &'a str,
}

/// Renders the page.
pub(super) fn render(sources: &Sources) -> String {
    let Sources { status, view, teacher, pairs, copies: counted, entries, events, appeals, readme, samples, endpoint } =
        *sources;
    let manifest = &view.manifest(0);
    let title = format!("{} in {} · Retort", status.id, manifest.title);
    let mut layout = Layout::new(title, format!("A submission to {}.", manifest.title));
    if !status.state.is_terminal() {
        layout.reload_seconds = Some(RELOAD_SECONDS);
        layout.events = Some(format!("/api/v1/events?submission={}", status.id));
        // What happens to those before it in the queue moves it too.
        layout.poll_seconds = Some(POLL_SECONDS);
    }
    let both = status.report.as_ref().zip(status.score.as_ref());
    let champion = view.champion.as_ref() == Some(&status.id);
    layout::render(&Page {
        layout,
        status,
        manifest,
        architecture: status.architecture.as_ref().map_or("package", |architecture| architecture.kind()),
        graph: status.architecture.as_ref().and_then(ModelKind::graph),
        headline: headline(status, champion),
        champion,
        forms_engine: status.forms.first().map_or("", |form| &form.engine),
        endpoint,
        stages: stages(status, events),
        appeals,
        readme: readme.map(str::trim).filter(|text| !text.is_empty()),
        result: both.map(|(report, score)| Measured {
            histogram: samples.and_then(histogram::draw),
            ..Measured::new(report, score, manifest, teacher)
        }),
        notes: (entries.iter().map(|pair| entry_note(status, pair)))
            .chain(pairs.iter().map(|pair| note(status, pair, counted.contains_key(&pair.pair.later))))
            .collect(),
    })
}

/// What an entry 0 is to this submission.
fn entry_note(status: &SubmissionStatus, EntryPair { entry, relation, .. }: &EntryPair) -> Note {
    let is_known = matches!(entry, EntryZero::Known(_));
    let is_copy = matches!(relation, Relation::Copy(_));
    let follows = match (is_copy, is_known) {
        (true, false) => format!("this submission counts as the {entry}"),
        (true, true) => "others may begin with it too, nothing follows".into(),
        (false, _) => "nothing follows from it alone".into(),
    };
    Note {
        is_grave: is_copy && !is_known,
        sentence: format!("{}, compared with the competition's {entry}: {follows}.", copies::headline(relation)),
        link: format!("/api/v1/submissions/{}/entries", status.id),
    }
}

/// What another submission is to this one, where the later one of them counts as an earlier one or doesn't.
fn note(status: &SubmissionStatus, RankedPair { pair, hotkeys, .. }: &RankedPair, counts: bool) -> Note {
    let is_later = pair.later == status.id;
    let other = if is_later { &pair.earlier } else { &pair.later };
    let (one_owner, is_copy) = (hotkeys.0 == hotkeys.1, matches!(pair.relation, Relation::Copy(_)));
    let follows = match (is_copy, one_owner, is_later) {
        (true, false, _) if !counts => "the later one's owner had the model before both, nothing follows",
        (true, false, true) => "this submission counts as that one",
        (true, false, false) => "it counts as this submission",
        (true, true, _) => "both are of one owner, nothing follows",
        (false, ..) => "nothing follows from it alone",
    };
    let when = if is_later { "the earlier" } else { "the later" };
    let what = copies::headline(&pair.relation);
    Note {
        is_grave: is_copy && !one_owner && is_later && counts,
        sentence: format!("{what}, compared with {when} {other}: {follows}."),
        link: format!("/copies/{}/{}", pair.earlier, pair.later),
    }
}

/// The state in a sentence.
fn headline(status: &SubmissionStatus, champion: bool) -> String {
    let eta = status.eta_seconds.map_or(String::new(), |s| format!(", about {} left", figures::duration(s.into())));
    let others = status.row.as_ref().and_then(|row| row.group_size).map_or(0, |size| size.saturating_sub(1));
    match (status.state, status.rank) {
        (State::AwaitingUpload, _) => "Waiting for the files".into(),
        (State::Checking, _) => "Being checked against the limits".into(),
        (State::Queued, _) if status.reason.is_some() => {
            let code = status.reason.as_ref().map(|reason| reason.code);
            let why = match code {
                Some(Code::LatencyUnconfirmed) => "its latency is measured a second time",
                _ => "our host was too restless",
            };
            format!("In the queue again: {why}{eta}")
        }
        (State::Queued, _) => match status.queue_position {
            Some(0) => format!("Next in the queue{eta}"),
            Some(before) => format!("In the queue, {before} before it{eta}"),
            None => format!("In the queue{eta}"),
        },
        (State::Evaluating, _) => format!("Being measured{eta}"),
        (State::Scored, Some(_)) if champion => "Champion".into(),
        (State::Scored, Some(rank)) => match others {
            0 => format!("Rank {rank}"),
            1 => format!("Shares rank {rank} with one other"),
            _ => format!("Shares rank {rank} with {others} others"),
        },
        (State::Scored, None) => "Scored".into(),
        (State::Rejected, _) => "Rejected".into(),
        (State::Failed, _) => "Failed: our fault, no quota used".into(),
        (State::Expired, _) => "Expired: the files never arrived".into(),
        (State::Withdrawn, _) => "Withdrawn by its miner".into(),
    }
}

/// The journey: when it came to each stage, and how long it stayed there.
fn stages(status: &SubmissionStatus, events: &[Event]) -> Vec<Stage> {
    const JOURNEY: [(State, &str); 5] = [
        (State::AwaitingUpload, "Upload"),
        (State::Checking, "Check"),
        (State::Queued, "Queue"),
        (State::Evaluating, "Measure"),
        (State::Scored, "Scored"),
    ];
    let created = Stage { name: "Created", class: "done", time: figures::moment(status.created_at) };
    let ends_badly = !JOURNEY.iter().any(|(state, _)| *state == status.state);
    // How far it came: the state itself, or the last one before a bad end.
    let reached = |wanted: State| events.iter().any(|event| event.to == wanted);
    let here = JOURNEY
        .iter()
        .rposition(|(state, _)| *state == status.state || ends_badly && reached(*state) && *state != State::Scored);
    let stage = |(at, (state, name)): (usize, (State, &'static str))| Stage {
        name,
        class: match here {
            Some(here) if at < here || at == here && (ends_badly || state == State::Scored) => "done",
            Some(here) if at == here => "now",
            _ => "next",
        },
        time: time_in(state, status, events),
    };
    let mut stages: Vec<Stage> = [created].into_iter().chain(JOURNEY.into_iter().enumerate().map(stage)).collect();
    if ends_badly {
        // What never came isn't shown.
        stages.retain(|stage| stage.class == "done");
        let name = match status.state {
            State::Failed => "Failed",
            State::Expired => "Expired",
            State::Withdrawn => "Withdrawn",
            _ => "Rejected",
        };
        stages.push(Stage { name, class: "bad", time: figures::moment(status.changed_at) });
    }
    stages
}

/// How long it stayed in a state, all visits together; since when, while it is there.
fn time_in(state: State, status: &SubmissionStatus, events: &[Event]) -> String {
    if state == status.state {
        let since = figures::moment(status.changed_at);
        return if state.is_terminal() { since } else { format!("since {since}") };
    }
    let ends = events.iter().skip(1).map(|event| event.at).chain([status.changed_at]);
    let stays: Vec<u64> = events
        .iter()
        .zip(ends)
        .filter(|(event, _)| event.to == state)
        .map(|(event, end)| end.saturating_sub(event.at))
        .collect();
    if stays.is_empty() {
        return String::new();
    }
    let repeated = if stays.len() > 1 { format!(" in {} visits", stays.len()) } else { String::new() };
    format!("{}{repeated}", figures::duration(stays.iter().fold(0, |sum: u64, stay| sum.saturating_add(*stay))))
}

impl<'a> Measured<'a> {
    fn new(report: &'a Report, score: &'a Score, manifest: &'a Manifest, teacher: Option<&Report>) -> Self {
        Self {
            report,
            score,
            parts: parts(score, &manifest.score),
            histogram: None,
            likeness: likeness(report, score, teacher),
            facts: facts(report),
            confusion: Confusion::new(&report.quality.confusion, &manifest.labels),
        }
    }
}

fn parts(score: &Score, rules: &ScoreRules) -> [Part; 4] {
    let (utilities, weights) = (&score.utilities_ppm, &rules.weights);
    [
        ("Accuracy", utilities.accuracy, weights.accuracy_ppm),
        ("Fidelity", utilities.fidelity, weights.fidelity_ppm),
        ("Latency", utilities.latency, weights.latency_ppm),
        ("Size", utilities.size, weights.size_ppm),
    ]
    .map(|(name, utility_ppm, weight)| Part {
        name,
        utility_ppm,
        weight_ppm: i64::from(weight),
        width: (utility_ppm as f64 / 5e3).clamp(0.0, 200.0).round(),
    })
}

impl Part {
    /// What this utility adds to the composite.
    fn points_ppm(&self) -> i64 {
        (i128::from(self.utility_ppm) * i128::from(self.weight_ppm) / 1_000_000) as i64
    }
}

/// How like the teacher it is, and how far its probabilities can be trusted (MEASURING.md 2g).
fn likeness(report: &Report, score: &Score, teacher: Option<&Report>) -> [Likeness; 8] {
    let Report { quality, fidelity, calibration, .. } = report;
    let nats = |micronats: u64| format!("{} nat", figures::millionths(micronats));
    let teachers = |figure: fn(&Calibration) -> String| teacher.map_or_else(String::new, |t| figure(&t.calibration));
    let ece = |of: &Calibration| figures::percent(of.ece_ppm.into());
    let nll = |of: &Calibration| format!("{} nat", figures::millionths(of.nll_micronats));
    let brier = |of: &Calibration| figures::millionths(of.brier_ppm.into());
    let (agreement, spread) = (score.agreement, figures::percent_spread(figures::ends(score.agreement)));
    let js = format!("{} ± {}", nats(fidelity.js_micronats), figures::millionths(fidelity.js_micronats_se));
    let items = |count: u32| format!("{count} items");
    let row = |name, value, teacher, meaning| Likeness { name, value, teacher, meaning };
    let none = String::new;
    [
        row(
            "Agreement",
            format!("{} {spread}", figures::percent(agreement.value_ppm)),
            none(),
            "Items on which its first answer is the teacher’s, right or wrong.",
        ),
        row(
            "KL divergence",
            nats(fidelity.kl_micronats),
            none(),
            "KL(teacher ‖ student), mean over items: what the student misses of the teacher’s probabilities. 0 is a perfect copy; there is no upper end.",
        ),
        row(
            "JS divergence",
            js,
            none(),
            "Jensen-Shannon: the same, symmetric and at most ln 2 = 0.6931. The score’s fidelity is 1 − JS / ln 2.",
        ),
        row(
            "ECE-15",
            ece(calibration),
            teachers(ece),
            "Expected calibration error in 15 bins: how far the confidence it states is from how often it is right.",
        ),
        row(
            "NLL",
            nll(calibration),
            teachers(nll),
            "Negative log-likelihood: −ln of the probability that it gave to the truth, mean over items.",
        ),
        row(
            "Brier score",
            brier(calibration),
            teachers(brier),
            "Squared distance of its probabilities from the truth, 0 to 2.",
        ),
        row(
            "Negative flips",
            items(quality.negative_flips),
            none(),
            "The teacher is right and it is wrong: what somebody who switches to it loses.",
        ),
        row(
            "Positive flips",
            items(quality.positive_flips),
            none(),
            "The teacher is wrong and it is right: what somebody who switches to it wins.",
        ),
    ]
}

/// The numbers that have no picture of their own, with how they were measured.
fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let Report { data, quality, cost, host, phases_ms, .. } = report;
    let items = u64::from(data.items);
    let cores = if host.cores == 1 { "core" } else { "cores" };
    let mut facts = vec![
        ("Items", format!("{items}, of them {} public", data.public_items)),
        ("Right answers", format!("{}, of them {} on public items", quality.correct, quality.public_correct)),
    ];
    facts.extend(timed(report));
    facts.extend([
        ("Throughput", format!("{} items/s", figures::significant(cost.throughput_milli as f64 / 1e3))),
        ("Size as scored", figures::bytes(cost.size_bytes)),
        ("File of weights", figures::bytes(cost.file_bytes)),
        ("Parameters", figures::count(cost.parameters)),
        ("Multiply-accumulates", figures::count(cost.macs)),
        ("Peak memory", figures::bytes(cost.peak_rss_bytes)),
        ("Machine", format!("{}, {} {cores}, {}", host.cpu_model, host.cores, host.cpu_flags.join(" "))),
        ("System", format!("{}, sandbox {}", host.kernel, host.sandbox)),
        ("Engine", report.engine.clone()),
        ("Answers", answered(report)),
        (
            "Time spent",
            format!(
                "load {}, accuracy {}, latency {}, metrics {}",
                figures::micros(phases_ms.load.saturating_mul(1_000)),
                figures::micros(phases_ms.accuracy.saturating_mul(1_000)),
                figures::micros(phases_ms.latency.saturating_mul(1_000)),
                figures::micros(phases_ms.metrics.saturating_mul(1_000))
            ),
        ),
    ]);
    facts
}

/// Where the answers came from.
fn answered(report: &Report) -> String {
    match &report.on_backend {
        None => format!("on {}", report.device),
        Some(OnBackend { backend, held_against, incident: None, .. }) => {
            format!("on {backend}; {held_against} of them, drawn by lot, are the official engine’s, too")
        }
        Some(OnBackend { backend, incident: Some(incident), .. }) => {
            format!("the official engine’s; those on {backend} didn’t agree: {incident}")
        }
    }
}

/// What was timed, and how.
fn timed(report: &Report) -> Vec<(&'static str, String)> {
    let Report { latency, host, .. } = report;
    if !latency.is_timed() {
        return vec![("Latency", judge(latency).to_string())];
    }
    vec![
        ("Median latency", format!("{}, one thread, batch 1", figures::nanos(latency.p50_ns))),
        ("90th percentile", latency.p90_ns.map_or("too few samples".into(), figures::nanos)),
        ("Reference beside it", figures::nanos(latency.reference_p50_ns)),
        (
            "Measured in",
            format!(
                "{} launches, {} pairs of blocks{}",
                latency.launches,
                latency.pairs,
                if is_short(latency.launches) { "; the short preset of the protocol" } else { "" }
            ),
        ),
        ("Verdict on the latency", judge(latency).to_string()),
        ("Timed on", host.pinned_core.map_or("cores of the system's choice".into(), |core| format!("core {core}"))),
        ("Cold start", figures::nanos(latency.cold_load_ns)),
    ]
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Miner => "the miner, who can mend it",
        Blame::Validator => "the validator, who must mend it; no quota was used",
        Blame::Nobody => "neither side",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn page(status: &SubmissionStatus) -> String {
        let (view, events) = (sample::competition(), sample::history(status.state));
        let samples =
            br#"{"launches":[{"subject":{"inferences_per_block":1},"pairs":[[1,61300,5,0,0],[0,66900,5,0,0]]}]}"#;
        render(&Sources {
            status,
            view: &view,
            teacher: None,
            pairs: &[],
            copies: &HashMap::new(),
            entries: &[],
            events: &events,
            appeals: &[AppealView { number: 1, text: "no <copy>".into(), at: 1, answer: None }],
            readme: Some("# It <b>learnt</b>\n"),
            samples: Some(samples),
            endpoint: "https://validator.example",
        })
    }

    #[test]
    fn what_was_said_about_it_is_shown_as_text() {
        let page = page(&sample::status(State::Rejected));
        assert!(page.contains("no &#60;copy&#62;") && page.contains("has not answered yet"), "{page}");
        assert!(page.contains("# It &#60;b&#62;learnt&#60;/b&#62;"), "{page}");
    }

    #[test]
    fn a_package_that_is_kept_back_is_not_offered() {
        let mut status = sample::status(State::Scored);
        status.withheld_until_round = Some(3);
        let page = page(&status);
        assert!(page.contains("becomes public when round 3 is over"), "{page}");
        assert!(!page.contains("retort pull") && !page.contains("hf download"), "{page}");
    }

    #[test]
    fn every_state_renders_and_only_moving_ones_reload() {
        for state in State::ALL {
            let page = page(&sample::status(state));
            sample::assert_markup(&page);
            assert_eq!(page.contains("http-equiv=\"refresh\""), !state.is_terminal(), "{state}");
        }
    }

    #[test]
    fn a_rejection_shows_code_detail_blame_and_hint() {
        let mut status = sample::status(State::Rejected);
        status.reason.as_mut().unwrap().detail = "tensor \"<script>\" is missing".into();
        let page = page(&status);
        for part in ["tensor_missing", "is missing", "the miner, who can mend it", "state_dict"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn the_journey_marks_where_it_is() {
        let classes = |state| {
            let stages = stages(&sample::status(state), &sample::history(state));
            stages.iter().map(|stage| stage.class).collect::<Vec<_>>()
        };
        assert_eq!(classes(State::Queued), ["done", "done", "done", "now", "next", "next"]);
        assert_eq!(classes(State::Scored), ["done"; 6]);
        assert_eq!(classes(State::Failed), ["done", "done", "done", "done", "done", "bad"]);
        assert_eq!(classes(State::Expired), ["done", "done", "bad"]);
    }

    #[test]
    fn a_stage_says_how_long_it_took() {
        let status = sample::status(State::Scored);
        let times: Vec<String> = stages(&status, &sample::history(State::Scored)).into_iter().map(|s| s.time).collect();
        let plain = |text: &String| text.replace('\u{a0}', " ");
        assert_eq!(times[1..5].iter().map(plain).collect::<Vec<_>>(), ["60 s", "2 s", "2 min", "2 min"]);
    }

    #[test]
    fn a_scored_one_shows_how_its_times_are_spread_and_how_to_get_it() {
        let page = page(&sample::status(State::Scored));
        for part in ["class=\"histogram\"", "hf download submissions/", "HF_ENDPOINT=https://validator.example"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
