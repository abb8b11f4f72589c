//! The raw times of a latency measurement, and the one function from them to a report's numbers.
//!
//! Integers in nanoseconds; nothing is dropped. Anyone who has the JSON recomputes the same bits: [`Samples::summary`]
//! is pure, and its logarithms come from `libm`. This file doesn't know how times are taken.
//!
//! Whose clock counts. The parent's, which no worker can touch, as long as the machine is quiet. On a crowded machine
//! the system lets both ends of a pipe wait for milliseconds after every block of one, and the parent's clock measures
//! the crowd (A/A intervals of +-12 % at load 6 on 2 cores); then the workers' clocks count. Which case holds is decided
//! by the reference student's blocks alone, so that no candidate can choose its clock: see [`Samples::clock`].

use crate::statistics::{early_stopping_percentile, median, order_interval};
use protocol::Digest;
use protocol::report::{Estimate, Latency};
use serde::{Deserialize, Serialize};

/// The format of samples that this version writes.
pub const SAMPLES_FORMAT: &str = "retort-latency/1";

/// Everything that was timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// [`SAMPLES_FORMAT`].
    pub format: String,
    /// The seed of the items and of every coin flip.
    pub seed: u64,
    /// The shortest block that calibration aimed at.
    pub block_ns_min: u64,
    /// The largest difference between a logit in a timed inference of the candidate and the same in the accuracy
    /// pass, in millionths.
    pub output_delta_micro_max: u64,
    /// Pairs of fresh processes in order.
    pub launches: Vec<Launch>,
}

/// One pair of fresh processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Whether the candidate's process started first.
    pub candidate_first: bool,
    /// The candidate's process.
    pub candidate: Side,
    /// The reference student's process.
    pub reference: Side,
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

/// Two blocks, one after the other. In JSON: `[candidate first?, candidate, reference, by the candidate's own clock, by
/// the reference's own clock]`, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 5]", into = "[u64; 5]")]
pub struct Pair {
    /// Whether the candidate's block came first.
    pub candidate_first: bool,
    /// The candidate's block by the parent's clock.
    pub candidate_ns: u64,
    /// The reference's block by the parent's clock.
    pub reference_ns: u64,
    /// The candidate's block by its own clock.
    pub candidate_worker_ns: u64,
    /// The reference's block by its own clock.
    pub reference_worker_ns: u64,
}

impl From<[u64; 5]> for Pair {
    fn from([first, candidate_ns, reference_ns, candidate_worker_ns, reference_worker_ns]: [u64; 5]) -> Self {
        Self { candidate_first: first != 0, candidate_ns, reference_ns, candidate_worker_ns, reference_worker_ns }
    }
}

impl From<Pair> for [u64; 5] {
    fn from(pair: Pair) -> Self {
        let Pair { candidate_first, candidate_ns, reference_ns, candidate_worker_ns, reference_worker_ns } = pair;
        [u64::from(candidate_first), candidate_ns, reference_ns, candidate_worker_ns, reference_worker_ns]
    }
}

/// Whose stamps count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Around request and answer, in the process that owns the measurement.
    Parent,
    /// Around the inferences, in the process that does them.
    Worker,
}

/// The parent's clock counts while it exceeds the reference worker's by at most this share of a block, in the median.
/// An idle machine stays near 2 %, and both sides' blocks last equally long, so that most of it cancels in the ratio.
const OVERHEAD_PPM_MAX: u64 = 100_000;

impl Samples {
    /// The parent's clock on a quiet machine, the workers' on a crowded one.
    pub fn clock(&self) -> Clock {
        if self.overhead_ppm() <= OVERHEAD_PPM_MAX { Clock::Parent } else { Clock::Worker }
    }

    /// By how much the parent's clock exceeds the reference worker's, in the median, in parts per million of a block.
    /// A diagnosis of the host: it says how crowded the machine was.
    pub fn overhead_ppm(&self) -> u64 {
        let pairs = self.launches.iter().flat_map(|launch| &launch.pairs);
        let share = |pair: &Pair| pair.reference_ns as f64 / pair.reference_worker_ns.max(1) as f64 - 1.0;
        let middle = median(&pairs.map(share).collect::<Vec<f64>>()).unwrap_or(0.0);
        libm::round(middle.max(0.0) * 1e6) as u64
    }

    /// The samples as they are stored.
    pub fn to_json(&self) -> Vec<u8> {
        protocol::digest::canonical_json(self).expect("numbers, flags and one string are JSON; this is a bug")
    }

    /// The numbers of a report. `samples_sha256` is the digest of [`Samples::to_json`].
    pub fn summary(&self) -> Latency {
        let clock = self.clock();
        let mut ratios: Vec<f64> = self.launches.iter().filter_map(|launch| launch.ln_ratio(clock)).collect();
        ratios.sort_by(f64::total_cmp);
        let candidate = self.inference_times(|launch, pair| (pair.blocks_ns(clock).0, launch.candidate));
        let reference = self.inference_times(|launch, pair| (pair.blocks_ns(clock).1, launch.reference));
        let cold_loads: Vec<u64> = self.launches.iter().map(|launch| launch.candidate.cold_load_ns).collect();
        Latency {
            ratio: estimate(&ratios),
            launches: self.launches.len() as u32,
            pairs: candidate.len() as u32,
            p50_ns: median_ns(&candidate),
            p90_ns: early_stopping_percentile(&candidate, 0.9),
            reference_p50_ns: median_ns(&reference),
            cold_load_ns: median_ns(&cold_loads),
            samples_sha256: Some(Digest::of(&self.to_json())),
        }
    }

    /// Mean time of an inference in each block.
    fn inference_times(&self, block: impl Fn(&Launch, &Pair) -> (u64, Side)) -> Vec<u64> {
        let of_launch = |launch: &Launch| {
            let mean = |pair: &Pair| {
                let (block_ns, side) = block(launch, pair);
                let count = u64::from(side.inferences_per_block.max(1));
                (block_ns + count / 2) / count
            };
            launch.pairs.iter().map(mean).collect::<Vec<u64>>()
        };
        self.launches.iter().flat_map(of_launch).collect()
    }
}

impl Pair {
    /// The candidate's block and the reference's.
    pub fn blocks_ns(&self, clock: Clock) -> (u64, u64) {
        match clock {
            Clock::Parent => (self.candidate_ns, self.reference_ns),
            Clock::Worker => (self.candidate_worker_ns, self.reference_worker_ns),
        }
    }
}

impl Launch {
    /// Median over pairs of ln(candidate / reference) per inference; `None` without pairs.
    pub fn ln_ratio(&self, clock: Clock) -> Option<f64> {
        // No block takes less than a nanosecond; a stamp that says so must not become an infinity.
        let per_inference = |ns: u64, side: &Side| ns.max(1) as f64 / f64::from(side.inferences_per_block.max(1));
        let ln_ratio = |pair: &Pair| {
            let (candidate_ns, reference_ns) = pair.blocks_ns(clock);
            let candidate = per_inference(candidate_ns, &self.candidate);
            libm::log(candidate / per_inference(reference_ns, &self.reference))
        };
        median(&self.pairs.iter().map(ln_ratio).collect::<Vec<f64>>())
    }
}

/// The median of sorted logarithms with its exact interval, as a ratio.
fn estimate(sorted: &[f64]) -> Estimate {
    let Some(middle) = median(sorted) else { return Estimate::default() };
    let (low, high) = order_interval(sorted.len() as u32);
    let ppm = |ln: f64| libm::round(libm::exp(ln) * 1e6) as i64;
    Estimate {
        value_ppm: ppm(middle),
        low_ppm: ppm(sorted[low as usize - 1]),
        high_ppm: ppm(sorted[high as usize - 1]),
    }
}

fn median_ns(times: &[u64]) -> u64 {
    let times: Vec<f64> = times.iter().map(|ns| *ns as f64).collect();
    median(&times).map_or(0, |ns| libm::round(ns) as u64)
}
