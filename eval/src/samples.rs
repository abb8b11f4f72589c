//! The raw times of a latency measurement, and the one function from them to a report's numbers.
//!
//! Integers in nanoseconds; nothing is dropped. Anyone who has the JSON recomputes the same bits: [`Samples::summary`]
//! is pure, and its logarithms come from `libm`. This file doesn't know how times are taken.
//!
//! Whose clock counts. The parent's, which no worker can touch, as long as the machine is quiet. On a crowded machine
//! the system lets both ends of a pipe wait for milliseconds after every block of one, and the parent's clock measures
//! the crowd (A/A intervals of +-12 % at load 6 on 2 cores); then the workers' clocks count. Which case holds is decided
//! by the reference student's blocks, and a candidate whose own clock is further from the parent's than the reference's
//! is held to the parent's: no candidate can choose its clock, and lying about it gains nothing. See [`Samples::clock`].

use crate::statistics::{early_stopping_percentile, median, order_interval};
use protocol::Digest;
use protocol::report::{Clock, Estimate, Latency, LatencyCheck, LatencyChecks};
use serde::{Deserialize, Serialize};

/// The format of samples that this version writes.
pub const SAMPLES_FORMAT: &str = "retort-latency/3";

/// Everything that was timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// [`SAMPLES_FORMAT`].
    pub format: String,
    /// The seed of the items, the random twin and every coin flip.
    pub seed: u64,
    /// The shortest block that calibration aimed at.
    pub block_ns_min: u64,
    /// The largest difference between a logit in a timed inference of the candidate and the same in the accuracy
    /// pass, relative where that is above 1, in millionths.
    pub output_delta_micro_max: u64,
    /// The candidate beside the reference student: the measurement.
    pub launches: Vec<Launch>,
    /// The reference student beside itself.
    pub control: Vec<Launch>,
    /// The candidate beside the reference student, both on other items.
    pub other_items: Vec<Launch>,
    /// The candidate beside its architecture with random weights, both on one item repeated.
    pub repeated_item: Vec<Launch>,
    /// The candidate beside its architecture with random weights, on the measurement's items.
    pub random_twin: Vec<Launch>,
}

/// One pair of fresh processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Whether the subject's process started first.
    pub subject_first: bool,
    /// The process that is measured.
    pub subject: Side,
    /// The process that it is compared with.
    pub baseline: Side,
    /// Pairs of blocks in order.
    pub pairs: Vec<Pair>,
}

/// One process of a launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// From before the process started until its first output was there.
    pub cold_load_ns: u64,
    /// Median of empty requests: what each block holds beside inferences.
    pub round_trip_ns: u64,
    /// How many inferences a block holds.
    pub inferences_per_block: u32,
    /// How often the system took the processor away; `None` where it doesn't say.
    pub involuntary_switches: Option<u64>,
}

/// Two blocks, one after the other. In JSON: `[subject first?, subject, baseline, by the subject's own clock, by the
/// baseline's own clock]`, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub struct Pair {
    /// Whether the subject's block came first.
    pub subject_first: bool,
    /// The subject's block by the parent's clock.
    pub subject_ns: u64,
    /// The baseline's block by the parent's clock.
    pub baseline_ns: u64,
    /// The subject's block by its own clock.
    pub subject_worker_ns: u64,
    /// The baseline's block by its own clock.
    pub baseline_worker_ns: u64,
}

impl From<[u64; 5]> for Pair {
    fn from([first, subject_ns, baseline_ns, subject_worker_ns, baseline_worker_ns]: [u64; 5]) -> Self {
        Self { subject_first: first != 0, subject_ns, baseline_ns, subject_worker_ns, baseline_worker_ns }
    }
}

impl From<Pair> for [u64; 5] {
    fn from(pair: Pair) -> Self {
        let Pair { subject_first, subject_ns, baseline_ns, subject_worker_ns, baseline_worker_ns } = pair;
        [u64::from(subject_first), subject_ns, baseline_ns, subject_worker_ns, baseline_worker_ns]
    }
}

/// The parent's clock counts while it exceeds the reference worker's by at most this share of a block, in the median.
/// An idle machine stays near 2 %, and both sides' blocks last equally long, so that most of it cancels in the ratio.
const OVERHEAD_PPM_MAX: u64 = 100_000;

/// A candidate's overhead may be so many times the reference's: blocks of both last equally long, so honest ones differ
/// by chance only.
const OVERHEAD_TIMES_MAX: u64 = 3;

impl Samples {
    /// Where nothing was timed.
    pub fn none(seed: u64) -> Self {
        Self {
            format: SAMPLES_FORMAT.into(),
            seed,
            block_ns_min: 0,
            output_delta_micro_max: 0,
            launches: Vec::new(),
            control: Vec::new(),
            other_items: Vec::new(),
            repeated_item: Vec::new(),
            random_twin: Vec::new(),
        }
    }

    /// The parent's clock on a quiet machine, the workers' on a crowded one, unless the candidate's worker claims to have
    /// waited much longer for the crowd than the reference's.
    pub fn clock(&self) -> Clock {
        let reference_ppm = self.overhead_ppm();
        let candidate_ppm = self.overhead_by(|pair| (pair.subject_ns, pair.subject_worker_ns));
        let credible = candidate_ppm <= reference_ppm.saturating_mul(OVERHEAD_TIMES_MAX);
        if reference_ppm > OVERHEAD_PPM_MAX && credible { Clock::Worker } else { Clock::Parent }
    }

    /// By how much the parent's clock exceeds the reference worker's, in the median, in parts per million of a block.
    /// A diagnosis of the host: it says how crowded the machine was.
    pub fn overhead_ppm(&self) -> u64 {
        self.overhead_by(|pair| (pair.baseline_ns, pair.baseline_worker_ns))
    }

    fn overhead_by(&self, clocks: impl Fn(&Pair) -> (u64, u64)) -> u64 {
        let pairs = self.launches.iter().flat_map(|launch| &launch.pairs);
        let share = |pair: &Pair| {
            let (parent_ns, worker_ns) = clocks(pair);
            parent_ns as f64 / worker_ns.max(1) as f64 - 1.0
        };
        let middle = median(&pairs.map(share).collect::<Vec<f64>>()).unwrap_or(0.0);
        libm::round(middle.max(0.0) * 1e6) as u64
    }

    /// The samples as they are stored.
    pub fn to_json(&self) -> Vec<u8> {
        protocol::digest::canonical_json(self).expect("numbers, flags and one string are JSON; this is a bug")
    }

    /// ln(candidate / reference) of each launch of the measurement.
    pub fn ln_ratios(&self) -> Vec<f64> {
        ln_ratios(&self.launches, self.clock())
    }

    /// The same in billionths, as outcomes hold them.
    pub fn log_ratio_nanos(&self) -> Vec<i64> {
        self.ln_ratios().into_iter().map(|ratio| libm::round(ratio * 1e9) as i64).collect()
    }

    /// The ratio with its interval, as far as it has been measured.
    pub fn ratio(&self) -> Estimate {
        estimate(self.ln_ratios())
    }

    /// The numbers of a report. `samples_sha256` is the digest of [`Samples::to_json`].
    pub fn summary(&self) -> Latency {
        let clock = self.clock();
        let candidate = self.inference_times(|launch, pair| (pair.blocks_ns(clock).0, launch.subject));
        let reference = self.inference_times(|launch, pair| (pair.blocks_ns(clock).1, launch.baseline));
        let of_candidates = |value: fn(&Side) -> u64| {
            median_ns(&self.launches.iter().map(|launch| value(&launch.subject)).collect::<Vec<u64>>())
        };
        Latency {
            ratio: self.ratio(),
            launches: self.launches.len() as u32,
            pairs: candidate.len() as u32,
            p50_ns: median_ns(&candidate),
            p90_ns: early_stopping_percentile(&candidate, 0.9),
            p99_ns: early_stopping_percentile(&candidate, 0.99),
            inferences_per_block: of_candidates(|side| u64::from(side.inferences_per_block)) as u32,
            reference_p50_ns: median_ns(&reference),
            cold_load_ns: of_candidates(|side| side.cold_load_ns),
            clock,
            overhead_ppm: self.overhead_ppm(),
            checks: self.checks(clock),
            samples_sha256: Some(Digest::of(&self.to_json())),
        }
    }

    fn checks(&self, clock: Clock) -> LatencyChecks {
        LatencyChecks {
            control: check(&self.control, clock),
            other_items: check(&self.other_items, clock),
            repeated_item: check(&self.repeated_item, clock),
            random_twin: check(&self.random_twin, clock),
            output_delta_micro_max: self.output_delta_micro_max,
        }
    }

    /// Mean time of an inference in each block.
    fn inference_times(&self, block: impl Fn(&Launch, &Pair) -> (u64, Side)) -> Vec<u64> {
        let of_launch = |launch: &Launch| {
            let mean = |pair: &Pair| {
                let (block_ns, side) = block(launch, pair);
                let count = u64::from(side.inferences_per_block.max(1));
                block_ns.saturating_add(count / 2) / count
            };
            launch.pairs.iter().map(mean).collect::<Vec<u64>>()
        };
        self.launches.iter().flat_map(of_launch).collect()
    }
}

impl Pair {
    /// The subject's block and the baseline's.
    pub fn blocks_ns(&self, clock: Clock) -> (u64, u64) {
        match clock {
            Clock::Parent => (self.subject_ns, self.baseline_ns),
            Clock::Worker => (self.subject_worker_ns, self.baseline_worker_ns),
        }
    }
}

impl Launch {
    /// Median over pairs of ln(subject / baseline) per inference; `None` without pairs.
    pub fn ln_ratio(&self, clock: Clock) -> Option<f64> {
        // No block takes less than a nanosecond; a stamp that says so must not become an infinity.
        let per_inference = |ns: u64, side: &Side| ns.max(1) as f64 / f64::from(side.inferences_per_block.max(1));
        let ln_ratio = |pair: &Pair| {
            let (subject_ns, baseline_ns) = pair.blocks_ns(clock);
            let subject = per_inference(subject_ns, &self.subject);
            libm::log(subject / per_inference(baseline_ns, &self.baseline))
        };
        median(&self.pairs.iter().map(ln_ratio).collect::<Vec<f64>>())
    }
}

fn ln_ratios(launches: &[Launch], clock: Clock) -> Vec<f64> {
    launches.iter().filter_map(|launch| launch.ln_ratio(clock)).collect()
}

/// The median of logarithms with its exact interval, as a ratio.
fn estimate(mut ln_ratios: Vec<f64>) -> Estimate {
    ln_ratios.sort_by(f64::total_cmp);
    let Some(middle) = median(&ln_ratios) else { return Estimate::default() };
    let (low, high) = order_interval(ln_ratios.len() as u32);
    Estimate {
        value_ppm: ratio_ppm(middle),
        low_ppm: ratio_ppm(ln_ratios[low as usize - 1]),
        high_ppm: ratio_ppm(ln_ratios[high as usize - 1]),
    }
}

/// The median ratio of the launches of a check with its exact interval; of fewer than seven, between their extremes.
fn check(launches: &[Launch], clock: Clock) -> LatencyCheck {
    let ratios = ln_ratios(launches, clock);
    LatencyCheck { launches: ratios.len() as u32, ratio: estimate(ratios) }
}

fn ratio_ppm(ln_ratio: f64) -> i64 {
    libm::round(libm::exp(ln_ratio) * 1e6) as i64
}

fn median_ns(times: &[u64]) -> u64 {
    let times: Vec<f64> = times.iter().map(|ns| *ns as f64).collect();
    median(&times).map_or(0, |ns| libm::round(ns) as u64)
}
