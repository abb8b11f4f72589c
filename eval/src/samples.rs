//! The raw times of a latency measurement, and the one function from them to a report's numbers.
//!
//! Integers in nanoseconds; nothing is dropped. Anyone who has the JSON recomputes the same bits: [`Samples::summary`]
//! is pure, and its logarithms come from `libm`. This file doesn't know how times are taken.

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
    /// The candidate's block by its own clock, a cross-check.
    pub candidate_worker_ns: u64,
    /// The reference's block by its own clock, a cross-check.
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

impl Samples {
    /// The samples as they are stored.
    pub fn to_json(&self) -> Vec<u8> {
        protocol::digest::canonical_json(self).expect("numbers, flags and one string are JSON; this is a bug")
    }

    /// The numbers of a report. `samples_sha256` is the digest of [`Samples::to_json`].
    pub fn summary(&self) -> Latency {
        let mut ratios: Vec<f64> = self.launches.iter().filter_map(Launch::ln_ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let candidate = self.inference_times(|launch, pair| (pair.candidate_ns, launch.candidate));
        let reference = self.inference_times(|launch, pair| (pair.reference_ns, launch.reference));
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

impl Launch {
    /// Median over pairs of ln(candidate / reference) per inference; `None` without pairs.
    pub fn ln_ratio(&self) -> Option<f64> {
        let per_inference = |ns: u64, side: &Side| ns as f64 / f64::from(side.inferences_per_block);
        let ln_ratio = |pair: &Pair| {
            let candidate = per_inference(pair.candidate_ns, &self.candidate);
            libm::log(candidate / per_inference(pair.reference_ns, &self.reference))
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
