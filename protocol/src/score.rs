//! From reports to ranks: pure, recomputable by anyone, integers out.
//!
//! The composite is MEASURING.md 2b: S = g (w_acc u_acc + w_fid u_fid + w_lat u_lat + w_size u_size), every utility in
//! [0, 1]. Logarithms make 'twice as fast' worth the same everywhere. They come from `libm`, which gives the same bits
//! on every machine, and are rounded to parts per million before anything is compared.

use crate::report::{Estimate, Report};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One in parts per million.
pub const PPM: i64 = 1_000_000;

/// The two-sided 95 % quantile of the normal distribution.
pub(crate) const Z_95: f64 = 1.959_963_984_540_054;

/// The one-sided 99.99 % quantile of the normal distribution.
const Z_9999: f64 = 3.719_016_485_455_68;

/// How reports become scores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreRules {
    /// A student below this share of the teacher's accuracy scores 0.
    pub gate_ppm: u32,
    /// The accuracy that is worth nothing (a0); the teacher's is worth 1.
    pub accuracy_floor_ppm: u32,
    /// The latency ratio that is worth 1 (Lmin).
    pub latency_ratio_min_ppm: u32,
    /// The latency ratio that is worth nothing (Lmax).
    pub latency_ratio_max_ppm: u32,
    /// The size that is worth 1 (Bmin).
    pub size_bytes_min: u64,
    /// The size that is worth nothing (Bmax).
    pub size_bytes_max: u64,
    /// How much each utility counts.
    pub weights: ScoreWeights,
}

/// How much each utility counts; the sum is one million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Weights)]
pub struct ScoreWeights {
    /// Accuracy between the floor and the teacher.
    pub accuracy_ppm: u32,
    /// Closeness to the teacher's outputs.
    pub fidelity_ppm: u32,
    /// Latency as a ratio to the reference.
    pub latency_ppm: u32,
    /// Size: two bytes a value after folding.
    pub size_ppm: u32,
}

impl Default for ScoreRules {
    /// From measured students (docs/RULES.md has the table): being faster or smaller than the fastest of the best earns
    /// nothing, so that nothing that is fast and wrong outweighs what is right, and cost decides among equals in quality.
    fn default() -> Self {
        Self {
            gate_ppm: 900_000,
            accuracy_floor_ppm: 800_000,
            latency_ratio_min_ppm: 1_000_000,
            latency_ratio_max_ppm: 20_000_000,
            size_bytes_min: 22_000,
            size_bytes_max: 2_000_000,
            weights: ScoreWeights {
                accuracy_ppm: 500_000,
                fidelity_ppm: 200_000,
                latency_ppm: 200_000,
                size_ppm: 100_000,
            },
        }
    }
}

impl ScoreRules {
    /// Says what is wrong with the numbers, if anything: sentences for the manifest's author.
    pub fn problems(&self) -> Vec<String> {
        let ScoreWeights { accuracy_ppm, fidelity_ppm, latency_ppm, size_ppm } = self.weights;
        let sum = [accuracy_ppm, fidelity_ppm, latency_ppm, size_ppm].map(u64::from).iter().sum::<u64>();
        let ranges = [
            (sum == 1_000_000, format!("weights sum to {sum} ppm, not 1000000")),
            (
                self.gate_ppm < 1_000_000,
                format!("gate_ppm is {}, not below 1000000: nobody could be shown to pass it", self.gate_ppm),
            ),
            (self.accuracy_floor_ppm < 1_000_000, "accuracy_floor_ppm must be below 1000000".into()),
            (
                0 < self.latency_ratio_min_ppm && self.latency_ratio_min_ppm < self.latency_ratio_max_ppm,
                "latency_ratio_min_ppm must be above 0 and below latency_ratio_max_ppm".into(),
            ),
            (
                0 < self.size_bytes_min && self.size_bytes_min < self.size_bytes_max,
                "size_bytes_min must be above 0 and below size_bytes_max".into(),
            ),
        ];
        ranges.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }
}

/// The teacher's right answers on the same items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ceiling {
    /// Right answers.
    pub correct: u32,
    /// Items.
    pub items: u32,
}

/// What the rules make of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// The composite, with its 95 % interval.
    pub composite: Estimate,
    /// Whether the quality gate holds; if not, the composite is 0.
    pub gate: bool,
    /// Accuracy, with Wilson's interval.
    pub accuracy: Estimate,
    /// Share of items with the teacher's answer, with Wilson's interval.
    pub agreement: Estimate,
    /// u_acc, u_fid, u_lat and u_size in parts per million.
    pub utilities_ppm: Utilities,
}

/// The four utilities, each in [0, 1] as parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Utilities {
    /// clip((acc - a0) / (a_T - a0)).
    #[schema(minimum = 0, maximum = 1000000)]
    pub accuracy: i64,
    /// 1 - JS(T||S) / ln 2.
    #[schema(minimum = 0, maximum = 1000000)]
    pub fidelity: i64,
    /// clip(ln(Lmax / rho) / ln(Lmax / Lmin)).
    #[schema(minimum = 0, maximum = 1000000)]
    pub latency: i64,
    /// clip(ln(Bmax / B) / ln(Bmax / Bmin)).
    #[schema(minimum = 0, maximum = 1000000)]
    pub size: i64,
}

/// The utilities of one competition: the rules with the teacher's accuracy put in. Scoring a report and resampling an
/// evaluation ([`crate::significance`]) both go through here.
#[derive(Clone, Debug)]
pub struct Scale<'a> {
    rules: &'a ScoreRules,
    teacher_ppm: i64,
}

/// What the composite needs to know of one model on one set of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Right answers.
    pub correct: u64,
    /// Items, at least 1.
    pub items: u64,
    /// Sum of the Jensen-Shannon divergences, millionths of a nat.
    pub js_micronats: u64,
    /// ln(candidate / reference), billionths.
    pub log_ratio_nanos: i64,
    /// The size that is scored.
    pub size_bytes: u64,
}

impl<'a> Scale<'a> {
    /// The scale of `rules` under a teacher with these right answers.
    pub fn new(rules: &'a ScoreRules, ceiling: Ceiling) -> Self {
        Self { rules, teacher_ppm: share_ppm(u64::from(ceiling.correct), u64::from(ceiling.items)) }
    }

    /// Whether an accuracy passes the quality gate.
    pub fn gate(&self, accuracy_ppm: i64) -> bool {
        accuracy_ppm * PPM >= self.teacher_ppm * i64::from(self.rules.gate_ppm)
    }

    /// The fewest right answers to `items` with which a model may still be above the gate: with fewer even the upper end of
    /// its accuracy's interval (Wilson's, one-sided 99.99 %) lies below.
    pub fn hopeless_below(&self, items: u32) -> u32 {
        let (mut hopeless, mut hopeful) = (0, items);
        // More right answers never make the end lower, so it can be closed in on.
        while hopeless < hopeful {
            let correct = hopeless + (hopeful - hopeless) / 2;
            let (_, high) = wilson_ends(u64::from(correct), u64::from(items), Z_9999);
            if self.gate(ppm(high.min(1.0))) { hopeful = correct } else { hopeless = correct + 1 }
        }
        hopeful
    }

    /// u_acc = clip((acc - a0) / (a_T - a0)).
    pub fn accuracy(&self, accuracy_ppm: i64) -> f64 {
        let floor = i64::from(self.rules.accuracy_floor_ppm);
        clip((accuracy_ppm - floor) as f64 / (self.teacher_ppm - floor).max(1) as f64)
    }

    /// u_fid = clip(1 - JS / ln 2) of a mean divergence in millionths of a nat.
    pub fn fidelity(&self, js_micronats: f64) -> f64 {
        clip(1.0 - js_micronats / 1e6 / std::f64::consts::LN_2)
    }

    /// u_lat = clip(ln(Lmax / rho) / ln(Lmax / Lmin)) of a ratio in parts per million.
    pub fn latency(&self, ratio_ppm: f64) -> f64 {
        let (min, max) = (f64::from(self.rules.latency_ratio_min_ppm), f64::from(self.rules.latency_ratio_max_ppm));
        clip(libm::log(max / ratio_ppm.max(1.0)) / libm::log(max / min))
    }

    /// u_size = clip(ln(Bmax / B) / ln(Bmax / Bmin)).
    pub fn size(&self, size_bytes: u64) -> f64 {
        let (min, max) = (self.rules.size_bytes_min as f64, self.rules.size_bytes_max as f64);
        clip(libm::log(max / size_bytes.max(1) as f64) / libm::log(max / min))
    }

    /// The composite S in billionths, gate included.
    pub fn composite_ppb(&self, totals: &Totals) -> i64 {
        let accuracy_ppm = share_ppm(totals.correct, totals.items);
        if !self.gate(accuracy_ppm) {
            return 0;
        }
        let utilities = [
            self.accuracy(accuracy_ppm),
            self.fidelity(totals.js_micronats as f64 / totals.items.max(1) as f64),
            self.latency(libm::exp(totals.log_ratio_nanos as f64 / 1e9) * 1e6),
            self.size(totals.size_bytes),
        ];
        let sum: f64 =
            utilities.iter().zip(self.rules.weights.shares()).map(|(utility, weight)| utility * weight).sum();
        libm::round(sum * 1e9) as i64
    }
}

impl ScoreWeights {
    /// The shares in the order of [`Utilities`]' fields.
    fn shares(&self) -> [f64; 4] {
        [self.accuracy_ppm, self.fidelity_ppm, self.latency_ppm, self.size_ppm].map(|weight| f64::from(weight) / 1e6)
    }
}

/// Scores one report. Pure.
pub fn score(report: &Report, ceiling: Ceiling, rules: &ScoreRules) -> Score {
    let scale = Scale::new(rules, ceiling);
    let items = u64::from(report.data.items);
    let accuracy = wilson(u64::from(report.quality.correct), items);
    let gate = scale.gate(accuracy.value_ppm);
    let mut utilities = utilities(report, &scale);
    if !gate && !report.latency.is_timed() {
        // Nobody timed it, so its latency is worth nothing rather than as much as one of no time at all.
        utilities[2] = [0.0; 3];
    }
    Score {
        composite: if gate { composite(&utilities, &rules.weights) } else { Estimate::default() },
        gate,
        accuracy,
        agreement: wilson(u64::from(report.fidelity.agreement), items),
        utilities_ppm: Utilities::of(utilities.map(|[at, ..]| at)),
    }
}

/// Half-widths of the utilities' 95 % intervals, the wider side of each; 0 for the size, which is exact.
pub fn half_widths(report: &Report, ceiling: Ceiling, rules: &ScoreRules) -> Utilities {
    let utilities = utilities(report, &Scale::new(rules, ceiling));
    Utilities::of(utilities.map(|[at, worse, better]| (at - worse).max(better - at)))
}

/// Each utility at the estimate and at the worse and better ends of its interval.
fn utilities(report: &Report, scale: &Scale<'_>) -> [[f64; 3]; 4] {
    let accuracy = wilson(u64::from(report.quality.correct), u64::from(report.data.items));
    let ratio = report.latency.ratio;
    let js = report.fidelity.js_micronats as f64;
    let js_width = Z_95 * report.fidelity.js_micronats_se as f64;
    [
        triple(|ppm| scale.accuracy(ppm), accuracy.value_ppm, accuracy.low_ppm, accuracy.high_ppm),
        triple(|micronats| scale.fidelity(micronats), js, js + js_width, js - js_width),
        // A larger ratio is worse, so the ends change places.
        triple(|ppm: i64| scale.latency(ppm as f64), ratio.value_ppm, ratio.high_ppm, ratio.low_ppm),
        [scale.size(report.cost.size_bytes); 3],
    ]
}

impl Utilities {
    /// From shares of 1, in the order of the fields.
    fn of([accuracy, fidelity, latency, size]: [f64; 4]) -> Self {
        Self { accuracy: ppm(accuracy), fidelity: ppm(fidelity), latency: ppm(latency), size: ppm(size) }
    }
}

/// A utility at the estimate and at the worse and better ends of its interval.
fn triple<T>(utility: impl Fn(T) -> f64, value: T, worse: T, better: T) -> [f64; 3] {
    [utility(value), utility(worse), utility(better)]
}

/// The weighted sum. The parts are measured independently, so their half-widths add in quadrature.
fn composite(utilities: &[[f64; 3]; 4], weights: &ScoreWeights) -> Estimate {
    let (mut value, mut below, mut above) = (0.0, 0.0, 0.0);
    for ([at, worse, better], weight) in utilities.iter().zip(weights.shares()) {
        value += weight * at;
        below += (weight * (at - worse)) * (weight * (at - worse));
        above += (weight * (better - at)) * (weight * (better - at));
    }
    Estimate {
        value_ppm: ppm(value),
        low_ppm: ppm((value - libm::sqrt(below)).max(0.0)),
        high_ppm: ppm((value + libm::sqrt(above)).min(1.0)),
    }
}

/// Wilson's 95 % score interval of a share (Wilson 1927), in parts per million.
pub fn wilson(count: u64, items: u64) -> Estimate {
    if items == 0 {
        return Estimate { value_ppm: 0, low_ppm: 0, high_ppm: PPM };
    }
    let (low, high) = wilson_ends(count, items, Z_95);
    Estimate { value_ppm: share_ppm(count, items), low_ppm: ppm(low.max(0.0)), high_ppm: ppm(high.min(1.0)) }
}

/// The ends of Wilson's interval of a share of at least one item, `z` standard deviations wide on each side.
fn wilson_ends(count: u64, items: u64, z: f64) -> (f64, f64) {
    let (n, p) = (items.max(1) as f64, count as f64 / items.max(1) as f64);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * libm::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
    (centre - half, centre + half)
}

/// What one share is above another that other items gave, with its 95 % interval, parts per million: the hybrid of both shares'
/// own intervals (Newcombe 1998, method 10).
pub fn difference(a: Estimate, b: Estimate) -> Estimate {
    let apart = |x: i64, y: i64| (x - y) as f64;
    let value_ppm = a.value_ppm - b.value_ppm;
    let below = libm::hypot(apart(a.value_ppm, a.low_ppm), apart(b.high_ppm, b.value_ppm));
    let above = libm::hypot(apart(a.high_ppm, a.value_ppm), apart(b.value_ppm, b.low_ppm));
    let whole = |value: f64| libm::round(value) as i64;
    Estimate { value_ppm, low_ppm: value_ppm - whole(below), high_ppm: value_ppm + whole(above) }
}

/// `count` of `items` in parts per million, rounded to nearest.
pub fn share_ppm(count: u64, items: u64) -> i64 {
    (count * 1_000_000 + items / 2).checked_div(items).map_or(0, |share| share as i64)
}

fn ppm(value: f64) -> i64 {
    libm::round(value * 1e6) as i64
}

/// Into [0, 1]; a NaN, which no report should give, is worth nothing.
fn clip(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

/// What ranking needs to know of a scored submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender<K> {
    /// Who.
    pub key: K,
    /// The composite's estimate in parts per million.
    pub score_ppm: i64,
    /// Order of arrival; ties go to the earlier.
    pub arrival: u64,
}

/// Sorts contenders best first: by score, then by arrival. The sort key is the whole rule.
pub fn rank<K>(mut contenders: Vec<Contender<K>>) -> Vec<Contender<K>> {
    contenders.sort_by_key(|contender| (std::cmp::Reverse(contender.score_ppm), contender.arrival));
    contenders
}
