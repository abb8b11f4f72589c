//! What a submission's page shows of a report and a score: each figure with its meaning and how it was measured.
//!
//! It does not know which submission they are of.

use super::super::confusion::Confusion;
use super::super::figures;
use protocol::backend::OnBackend;
use protocol::competition::Manifest;
use protocol::latency::{is_short, judge};
use protocol::report::{Calibration, Report};
use protocol::score::{Score, ScoreRules};

/// What the page shows of a report.
pub(super) struct Measured<'a> {
    pub(super) report: &'a Report,
    pub(super) score: &'a Score,
    pub(super) parts: [Part; 4],
    /// How its times are spread, as SVG.
    pub(super) histogram: Option<String>,
    pub(super) likeness: [Likeness; 8],
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) confusion: Confusion<'a>,
}

/// One utility's share of the score.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) utility_ppm: i64,
    pub(super) weight_ppm: i64,
    /// Pixels of the bar, of 200.
    pub(super) width: f64,
}

/// A figure of the fidelity panel.
pub(super) struct Likeness {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The teacher's own, where it has one.
    pub(super) teacher: String,
    pub(super) meaning: &'static str,
}

impl<'a> Measured<'a> {
    pub(super) fn new(report: &'a Report, score: &'a Score, manifest: &'a Manifest, teacher: Option<&Report>) -> Self {
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
    pub(super) fn points_ppm(&self) -> i64 {
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
