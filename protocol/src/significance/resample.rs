//! Joint resampling of the composite: items together for all models, latency by launches, size fixed.
//!
//! Source: the paired bootstrap (Efron 1979). A replicate draws as many items as there are, with replacement, the same
//! for every model, and for every model as many launches as it has; the composite is made of those as of the real ones,
//! gate and clipping included ([`Scale::composite_ppb`]). The teacher's accuracy is a given. It does NOT know any rule.
//!
//! # The draws, so that any auditor can make them again
//!
//! 1. Replicate r (from 0) reads the keystream of ChaCha8 with a 32-byte key, nonce r (64 bits) and block counter from
//!    0, cut into little-endian 32-bit words in order. Eight rounds, because nothing is secret and ten thousand words
//!    a replicate should be cheap. Every replicate can be drawn alone.
//! 2. `draw(n)`: take the next word w; m = w n; if m mod 2^32 < 2^32 mod n, take another; the draw is m / 2^32
//!    (Lemire 2019). Integers only, exactly uniform.
//! 3. Items: n draws, n the part's items, with key SHA-256("retort-resample/1 items" || seed || part), part one byte:
//!    0 public, 1 hidden.
//! 4. Launches: as many draws as the model has launches, in words of the key
//!    SHA-256("retort-resample/1 launches" || seed || part || launches as i64 little-endian); the latency is their
//!    median, of an even number the mean of the middle two rounded down. Equal measurements so have equal replicates,
//!    and a copy of an evaluation differs from it by exactly nothing.

mod bytes;
mod kinds;

use super::{Level, Part, SequentialP, comparable};
use crate::Digest;
use crate::outcomes::{OutcomeValues, Outcomes};
use crate::report::Estimate;
use crate::score::{Ceiling, Scale, ScoreRules, Totals};
use kinds::Kinds;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub use bytes::ReplicatesError;

/// Replicates of an interval. The 2.5 % and 97.5 % quantiles of 1,999 values are the 50th and the 1,950th, no
/// interpolation; their own error is about 7 % of the half-width.
pub const REPLICATES: u32 = 1_999;
const RANK_LOW: usize = 50;
const RANK_HIGH: usize = 1_950;

/// What a comparison on one part of a round's items rests on.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// Which items.
    pub part: Part,
    /// The round's seed.
    pub seed: Digest,
    /// The teacher's right answers on these items.
    pub ceiling: Ceiling,
    /// How the composite is made.
    pub rules: &'a ScoreRules,
}

/// A challenger and a champion on the same items, ready to be resampled together.
#[derive(Debug)]
pub struct Pair<'a> {
    sampler: Sampler<'a>,
    challenger: Sample,
    champion: Sample,
}

impl<'a> Pair<'a> {
    /// Nothing where the two were not measured on the same items, or one has no latency.
    pub fn new(challenger: &Outcomes, champion: &Outcomes, round: &Basis<'a>) -> Option<Self> {
        comparable(challenger.values(), champion.values(), round.part)?;
        Some(Self {
            sampler: Sampler::new(round),
            challenger: Sample::new(challenger.values(), round)?,
            champion: Sample::new(champion.values(), round)?,
        })
    }

    /// S(challenger) - S(champion) as measured, in billionths.
    pub fn difference_ppb(&self) -> i64 {
        self.challenger.composite_ppb(&self.sampler.scale) - self.champion.composite_ppb(&self.sampler.scale)
    }

    /// P(S(challenger) - S(champion) <= epsilon): small where the challenger is better by more than epsilon. Drawn as
    /// finely as `level` needs.
    pub fn p_value(&self, epsilon_ppm: u32, level: Level) -> SequentialP {
        SequentialP::of(level.draws_max(), |draw| self.is_within(epsilon_ppm, draw))
    }

    /// Whether [`Pair::p_value`] meets its level, from resamples of kinds of items (`kinds`): for simulations, at a
    /// thousandth of the cost. The answer is the same but where p is so near to the level that the luck of the draws decides.
    pub fn is_better(&self, epsilon_ppm: u32, level: Level) -> bool {
        let kinds = Kinds::of(&self.challenger.items, &self.champion.items);
        let mut words = words(&self.sampler.kinds_key, 0);
        SequentialP::meets(level, |draw| {
            let [challenger, champion] = kinds.resample(&mut words);
            let own = self.challenger.totals(challenger, self.challenger.latency(draw));
            let its = self.champion.totals(champion, self.champion.latency(draw));
            let ahead = self.sampler.scale.composite_ppb(&own) - self.sampler.scale.composite_ppb(&its);
            ahead <= i64::from(epsilon_ppm) * 1_000
        })
    }

    /// Whether the challenger is not ahead by more than epsilon on the `draw`-th resample.
    fn is_within(&self, epsilon_ppm: u32, draw: u32) -> bool {
        let [challenger, champion] = self.sampler.replicate(draw, [&self.challenger, &self.champion]);
        challenger - champion <= i64::from(epsilon_ppm) * 1_000
    }

    /// The difference with its 95 % interval, in parts per million.
    pub fn difference(&self) -> Difference {
        let replicates = (0..REPLICATES).map(|draw| {
            let [challenger, champion] = self.sampler.replicate(draw, [&self.challenger, &self.champion]);
            challenger - champion
        });
        Difference::of(self.difference_ppb(), replicates.collect())
    }
}

/// One model's composite on [`REPLICATES`] resamples. Those of two models of the same round are paired: the r-th of
/// both is on the same items. Compute it once a model, and every pair costs a subtraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicates {
    /// What was drawn from: only equal ones are paired.
    source: (Digest, Digest, Ceiling),
    measured_ppb: i64,
    values_ppb: Vec<i64>,
}

impl Replicates {
    /// Nothing where the part has no items or the model no latency.
    pub fn draw(outcomes: &Outcomes, round: &Basis<'_>) -> Option<Self> {
        let sampler = Sampler::new(round);
        let sample = Sample::new(outcomes.values(), round)?;
        let value = |draw| {
            let [value] = sampler.replicate(draw, [&sample]);
            value
        };
        Some(Self {
            source: (sampler.items_key, outcomes.values().images_sha256, round.ceiling),
            measured_ppb: sample.composite_ppb(&sampler.scale),
            values_ppb: (0..REPLICATES).map(value).collect(),
        })
    }

    /// The composite as measured, in parts per million.
    pub fn composite_ppm(&self) -> i64 {
        round_ppm(self.measured_ppb)
    }

    /// This composite minus another. Nothing where they are not of the same round, part and items.
    pub fn minus(&self, other: &Self) -> Option<Difference> {
        let pairs = self.values_ppb.iter().zip(&other.values_ppb);
        (self.source == other.source).then(|| {
            Difference::of(self.measured_ppb - other.measured_ppb, pairs.map(|(own, others)| own - others).collect())
        })
    }
}

/// A paired difference of composites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// As measured, with the 95 % percentile interval, widened to hold it where the median of launches jumps.
    pub estimate: Estimate,
    /// The paired standard error.
    pub standard_error_ppm: i64,
}

impl Difference {
    fn of(measured_ppb: i64, mut values: Vec<i64>) -> Self {
        values.sort_unstable();
        let ranked = |rank: usize| values.get(rank - 1).copied().unwrap_or(measured_ppb);
        let (low, high) = (ranked(RANK_LOW).min(measured_ppb), ranked(RANK_HIGH).max(measured_ppb));
        let estimate =
            Estimate { value_ppm: round_ppm(measured_ppb), low_ppm: round_ppm(low), high_ppm: round_ppm(high) };
        Self { estimate, standard_error_ppm: round_ppm(deviation(&values)) }
    }

    /// Whether the difference between the first and the last of so many equal models, in order, could be as large as this
    /// by luck, at 5 %. Of two models that is the 95 % interval. Of k it is as much wider as the normal quantile at 5 %
    /// shared by k (k - 1) / 2 pairs is (Bonferroni's bound on the range of k, used step by step as Newman 1939 and Keuls
    /// 1952 do): the first and the last of twenty submissions of one model are 3.7 standard errors apart now and then.
    pub fn may_be_nothing_among(&self, models: u32) -> bool {
        let Estimate { low_ppm, high_ppm, .. } = Self::interval_among(self.estimate, models);
        low_ppm <= 0 && 0 <= high_ppm
    }

    /// The interval that [`Self::may_be_nothing_among`] asks: that of 95 %, wider where there are more models than two.
    pub fn interval_among(of_two: Estimate, models: u32) -> Estimate {
        let Estimate { value_ppm, low_ppm, high_ppm } = of_two;
        let wider = quantile_of_shared(models) / quantile_of_shared(2);
        let reach = |end_ppm: i64| (end_ppm.abs_diff(value_ppm) as f64 * wider) as i64;
        let (low_ppm, high_ppm) = (value_ppm.saturating_sub(reach(low_ppm)), value_ppm.saturating_add(reach(high_ppm)));
        Estimate { value_ppm, low_ppm, high_ppm }
    }
}

/// z with P(|Z| > z) = 0.05 shared by the pairs among `models`.
fn quantile_of_shared(models: u32) -> f64 {
    let pairs = (f64::from(models) * (f64::from(models) - 1.0) / 2.0).max(1.0);
    let (mut low, mut high) = (0.0, 40.0);
    // The tail falls with z, so halving finds it; 60 halvings are finer than a double.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if libm::erfc(middle / std::f64::consts::SQRT_2) * pairs > 0.05 { low = middle } else { high = middle }
    }
    low
}

/// Standard deviation. Sums are whole, so the order of the values doesn't matter.
fn deviation(values: &[i64]) -> i64 {
    let count = values.len() as i128;
    let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
    let squares: i128 = values.iter().map(|value| i128::from(*value) * i128::from(*value)).sum();
    let scaled = (count * squares - sum * sum) as f64;
    libm::round(libm::sqrt(scaled / (count * (count - 1)).max(1) as f64)) as i64
}

fn round_ppm(ppb: i64) -> i64 {
    (ppb + 500).div_euclid(1_000)
}

/// The part's draws and the scale.
#[derive(Debug)]
struct Sampler<'a> {
    items_key: Digest,
    kinds_key: Digest,
    scale: Scale<'a>,
}

impl<'a> Sampler<'a> {
    fn new(round: &Basis<'a>) -> Self {
        let [items_key, kinds_key] = ["items", "kinds"].map(|what| key(what, round, &[]));
        Self { items_key, kinds_key, scale: Scale::new(round.rules, round.ceiling) }
    }

    /// The composites of samples of equally many items on the `draw`-th resample.
    fn replicate<const N: usize>(&self, draw: u32, samples: [&Sample; N]) -> [i64; N] {
        let mut words = words(&self.items_key, draw);
        let items = samples.map(|sample| sample.items.as_slice());
        let count = items.first().map_or(0, |first| first.len()) as u32;
        let threshold = threshold(count);
        let mut sums = [0u64; N];
        for _ in 0..count {
            let item = below(&mut words, count, threshold) as usize;
            for (sum, items) in sums.iter_mut().zip(items) {
                *sum += items.get(item).map_or(0, |item| item.0);
            }
        }
        let mut index = 0;
        samples.map(|sample| {
            let packed = Packed(sums.get(index).copied().unwrap_or(0));
            index += 1;
            self.scale.composite_ppb(&sample.totals(packed, sample.latency(draw)))
        })
    }
}

/// One model's items and launches.
#[derive(Debug)]
struct Sample {
    items: Vec<Packed>,
    log_ratio_nanos: Vec<i64>,
    launches_key: Digest,
    size_bytes: u64,
}

impl Sample {
    fn new(values: &OutcomeValues, round: &Basis<'_>) -> Option<Self> {
        let range = round.part.range(values);
        let right = values.right.get(range.clone())?;
        let js = values.js_micronats.get(range)?;
        if right.is_empty() || values.log_ratio_nanos.is_empty() {
            return None;
        }
        let launches: Vec<u8> = values.log_ratio_nanos.iter().flat_map(|ratio| ratio.to_le_bytes()).collect();
        Some(Self {
            items: right.iter().zip(js).map(|(right, js)| Packed::new(*right, *js)).collect(),
            log_ratio_nanos: values.log_ratio_nanos.clone(),
            launches_key: key("launches", round, &launches),
            size_bytes: values.size_bytes,
        })
    }

    fn totals(&self, sum: Packed, log_ratio_nanos: i64) -> Totals {
        let items = self.items.len() as u64;
        let (correct, js_micronats) = (sum.correct(), sum.js_micronats());
        Totals { correct, items, js_micronats, log_ratio_nanos, size_bytes: self.size_bytes }
    }

    fn composite_ppb(&self, scale: &Scale<'_>) -> i64 {
        let sum = Packed(self.items.iter().map(|item| item.0).sum());
        scale.composite_ppb(&self.totals(sum, median(&mut self.log_ratio_nanos.clone())))
    }

    /// The median of the `draw`-th resample of launches.
    fn latency(&self, draw: u32) -> i64 {
        let mut words = words(&self.launches_key, draw);
        let count = self.log_ratio_nanos.len() as u32;
        let threshold = threshold(count);
        let mut one = || self.log_ratio_nanos.get(below(&mut words, count, threshold) as usize).copied().unwrap_or(0);
        let mut drawn: Vec<i64> = (0..count).map(|_| one()).collect();
        median(&mut drawn)
    }
}

/// A right answer and a divergence in one word, so that a sum of items is one addition: 2^20 items of at most 2^20
/// micronats stay below 2^40, and their right answers count above.
#[derive(Clone, Copy, Debug)]
struct Packed(u64);

impl Packed {
    const SHIFT: u32 = 40;

    fn new(right: bool, js_micronats: u32) -> Self {
        Self(u64::from(right) << Self::SHIFT | u64::from(js_micronats))
    }

    fn sum(correct: u64, js_micronats: u64) -> Self {
        Self(correct << Self::SHIFT | js_micronats & ((1 << Self::SHIFT) - 1))
    }

    fn correct(self) -> u64 {
        self.0 >> Self::SHIFT
    }

    fn js_micronats(self) -> u64 {
        self.0 & ((1 << Self::SHIFT) - 1)
    }
}

fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    let at = |index: usize| values.get(index).copied().unwrap_or(0);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)).div_euclid(2) }
}

fn key(what: &str, round: &Basis<'_>, more: &[u8]) -> Digest {
    let part = [u8::from(round.part == Part::Hidden)];
    Digest::of(&[b"retort-resample/1 ", what.as_bytes(), round.seed.as_bytes(), &part, more].concat())
}

fn words(key: &Digest, draw: u32) -> ChaCha8Rng {
    let mut words = ChaCha8Rng::from_seed(*key.as_bytes());
    words.set_stream(u64::from(draw));
    words
}

/// 2^32 mod `bound`.
fn threshold(bound: u32) -> u32 {
    bound.wrapping_neg().checked_rem(bound).unwrap_or(0)
}

/// A uniform number below `bound`; `threshold` is [`threshold`] of it.
#[inline]
fn below(words: &mut ChaCha8Rng, bound: u32, threshold: u32) -> u32 {
    loop {
        let product = u64::from(words.next_u32()) * u64::from(bound);
        if product as u32 >= threshold {
            return (product >> 32) as u32;
        }
    }
}
