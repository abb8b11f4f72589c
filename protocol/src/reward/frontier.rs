//! Pay for pushing the frontier: what a model adds to the hypervolume of all accepted before it, fading with time.
//!
//! The gain is counted once, at acceptance, against what was there (incremental), not again in each round against all
//! others (exclusive): so a copy plus a hair takes nothing from its original, and a gain in five steps earns what it
//! earns in one. It does NOT measure anything, and it does NOT know who is champion.

use super::hypervolume::{self, AXES_MAX, BOX, ONE, Point};
use super::shares::{Shares, percent};
use super::{Entrant, PastRound, Standing, WHOLE_PPM, decay};
use crate::score::{ScoreWeights, Utilities};
use crate::{Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The least `min_gain_ppm`: gains sum to at most the box, so no more than a thousand points are ever accepted.
pub const MIN_GAIN_PPM: u32 = 1_000;
/// The names of the axes, in the order of [`Utilities`]' fields.
const NAMES: [&str; AXES_MAX] = ["accuracy", "fidelity", "latency", "size"];

/// Which utilities span the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axes {
    /// Accuracy between the floor and the teacher.
    pub accuracy: bool,
    /// Closeness to the teacher's outputs.
    pub fidelity: bool,
    /// Latency as a ratio to the reference.
    pub latency: bool,
    /// Bytes of the weights.
    pub size: bool,
}

impl Axes {
    /// Those that a competition scores: an axis whose weight is 0 pays nothing here either.
    pub fn scored(weights: &ScoreWeights) -> Self {
        Self {
            accuracy: weights.accuracy_ppm > 0,
            fidelity: weights.fidelity_ppm > 0,
            latency: weights.latency_ppm > 0,
            size: weights.size_ppm > 0,
        }
    }

    fn used(self) -> [bool; AXES_MAX] {
        [self.accuracy, self.fidelity, self.latency, self.size]
    }

    /// A point of the box: unused axes are 1, where they change no volume and no comparison.
    fn point(self, utilities: &Utilities) -> Point {
        let values = values(utilities);
        let used = self.used();
        std::array::from_fn(|axis| if used[axis] { values[axis] } else { ONE })
    }
}

fn values(utilities: &Utilities) -> Point {
    [utilities.accuracy, utilities.fidelity, utilities.latency, utilities.size]
        .map(|value| u64::try_from(value).unwrap_or(0).min(ONE))
}

/// An accepted model: what it was when it was accepted, and what it added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontierPoint {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// The round of acceptance.
    pub round: u64,
    /// Where it stood, as far as that was no luck beside what was accepted before it.
    pub utilities_ppm: Utilities,
    /// Half-widths of the utilities' 95 % intervals.
    pub half_widths_ppm: Utilities,
    /// What it added, in billionths of the box. Differences of rounded totals, so that gains telescope exactly.
    pub gain_ppb: u64,
}

/// The numbers of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    /// Rounds after which a gain counts half.
    pub half_life_rounds: u64,
    /// What a model must add at least, parts per million of the box.
    pub min_gain_ppm: u32,
    /// If given, a model must not be worse than its nearest dominator by more than this on any axis: then only
    /// improvements of a trade-off are paid, and new trade-offs are not.
    pub tolerance_ppm: Option<u32>,
}

impl Default for Frontier {
    fn default() -> Self {
        Self { half_life_rounds: 30, min_gain_ppm: 2_000, tolerance_ppm: None }
    }
}

/// Why a model is not accepted.
enum Refusal {
    TooLittle { gain_ppm: u64, min_gain_ppm: u32 },
    NotBetter { than: SubmissionId },
    Worse { than: SubmissionId, axis: usize, by_ppm: u64 },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLittle { gain_ppm, min_gain_ppm } => {
                let (gain, least) = (percent(*gain_ppm), percent(*min_gain_ppm));
                write!(f, "nothing: adds {gain} % of the box to the frontier, and {least} % are needed")
            }
            Self::NotBetter { than } => write!(f, "nothing: on no axis significantly better than {than}"),
            Self::Worse { than, axis, by_ppm } => {
                let axis = NAMES.get(*axis).unwrap_or(&"?");
                write!(f, "nothing: worse than {than} by {} points of {axis}", percent(*by_ppm))
            }
        }
    }
}

impl Frontier {
    /// Says what is wrong with the numbers, if anything.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self) -> Result<(), String> {
        let Self { half_life_rounds, min_gain_ppm, tolerance_ppm } = self;
        if !(1..=1_000_000).contains(half_life_rounds) {
            return Err(format!("half_life_rounds is {half_life_rounds}, not 1 to 1000000"));
        }
        if !(MIN_GAIN_PPM..=WHOLE_PPM).contains(min_gain_ppm) {
            return Err(format!("min_gain_ppm is {min_gain_ppm}, not {MIN_GAIN_PPM} to {WHOLE_PPM}"));
        }
        match tolerance_ppm {
            Some(tolerance) if *tolerance > WHOLE_PPM => Err(format!("tolerance_ppm is {tolerance}, over {WHOLE_PPM}")),
            _ => Ok(()),
        }
    }

    /// Judges newcomers in the order of commitment, and shares the round by faded gains:
    ///
    /// weight of x = gain_x 2^-((t - t_x) / half-life) / sum of the same over all accepted.
    pub(super) fn share(&self, past: &[&PastRound], standing: &Standing, shares: &mut Shares) {
        let mut archive: Vec<FrontierPoint> = past.iter().flat_map(|past| past.accepted.iter().cloned()).collect();
        self.accept(past, standing, &mut archive, shares);
        self.divide(&archive, standing, shares);
    }

    fn accept(&self, past: &[&PastRound], standing: &Standing, archive: &mut Vec<FrontierPoint>, shares: &mut Shares) {
        let judged: BTreeSet<&SubmissionId> = past.iter().flat_map(|past| &past.judged).collect();
        let mut newcomers: Vec<&Entrant> = standing.entrants.iter().filter(|entrant| entrant.may_earn()).collect();
        newcomers.sort_by_key(|entrant| (entrant.arrival, &entrant.submission));
        let points: Vec<Point> = archive.iter().map(|point| standing.axes.point(&point.utilities_ppm)).collect();
        let mut total = hypervolume::volume(&points);
        for entrant in newcomers {
            if judged.contains(&entrant.submission) {
                if !archive.iter().any(|point| point.submission == entrant.submission) {
                    shares.say(entrant, "nothing: not accepted when it was judged, and judged once".into());
                }
                continue;
            }
            match self.judge(standing.axes, archive, entrant) {
                // Screening's items are few: what they don't show may still be shown by those that decide.
                Err(refusal) if !entrant.decided => shares.say(entrant, format!("not decided yet; {refusal}")),
                Err(refusal) => {
                    shares.judged.push(entrant.submission.clone());
                    shares.say(entrant, refusal.to_string());
                }
                Ok((shown, gain)) => {
                    shares.judged.push(entrant.submission.clone());
                    let gain_ppb = ppb(total + gain) - ppb(total);
                    total += gain;
                    let point = FrontierPoint {
                        submission: entrant.submission.clone(),
                        hotkey: entrant.hotkey,
                        round: standing.round,
                        utilities_ppm: shown,
                        half_widths_ppm: entrant.half_widths_ppm,
                        gain_ppb,
                    };
                    archive.push(point.clone());
                    shares.accepted.push(point);
                }
            }
        }
    }

    /// What an entrant shows beyond luck, and what that adds, of [`BOX`].
    fn judge(&self, axes: Axes, archive: &[FrontierPoint], entrant: &Entrant) -> Result<(Utilities, u128), Refusal> {
        let points: Vec<Point> = archive.iter().map(|point| axes.point(&point.utilities_ppm)).collect();
        let enough = |gain: u128| {
            if gain * u128::from(WHOLE_PPM) >= u128::from(self.min_gain_ppm) * BOX {
                return Ok(gain);
            }
            let gain_ppm = u64::try_from(gain * u128::from(WHOLE_PPM) / BOX).unwrap_or(0);
            Err(Refusal::TooLittle { gain_ppm, min_gain_ppm: self.min_gain_ppm })
        };
        let own = axes.point(&entrant.utilities_ppm);
        enough(hypervolume::gain(&points, &own))?;
        let shown = shown(archive, entrant);
        let lead = |point: &&FrontierPoint| lead(axes, entrant, point);
        let Some(nearest) = archive.iter().min_by_key(|point| (lead(point), &point.submission)) else {
            return Ok((shown, enough(hypervolume::gain(&points, &own))?));
        };
        if lead(&nearest) <= 0 {
            return Err(Refusal::NotBetter { than: nearest.submission.clone() });
        }
        let lag = axes.point(&nearest.utilities_ppm).into_iter().zip(own).map(|(its, own)| its.saturating_sub(own));
        match (self.tolerance_ppm, lag.enumerate().max_by_key(|(_, lag)| *lag)) {
            (Some(tolerance_ppm), Some((axis, by_ppm))) if by_ppm > u64::from(tolerance_ppm) => {
                Err(Refusal::Worse { than: nearest.submission.clone(), axis, by_ppm })
            }
            _ => Ok((shown, enough(hypervolume::gain(&points, &axes.point(&shown)))?)),
        }
    }

    fn divide(&self, archive: &[FrontierPoint], standing: &Standing, shares: &mut Shares) {
        let mut faded: BTreeMap<Hotkey, u128> = BTreeMap::new();
        let mut sum = 0u128;
        for point in archive.iter().filter(|point| !standing.is_copy(&point.submission)) {
            let age = standing.round.saturating_sub(point.round);
            // A gain is below 2^30 and the factor at most 2^62: a thousand of them are below 2^102.
            let value = u128::from(point.gain_ppb) * decay::halved(age, self.half_life_rounds);
            let own = faded.entry(point.hotkey).or_default();
            *own = own.saturating_add(value);
            sum = sum.saturating_add(value);
            let gain = percent(point.gain_ppb / 1_000);
            let sentence =
                format!("paid for {gain} % of the box, {age} rounds old, half-life {}", self.half_life_rounds);
            shares.tell(point.hotkey, point.submission.clone(), sentence);
        }
        for (hotkey, own) in faded {
            let weight_ppm = own.saturating_mul(u128::from(WHOLE_PPM)).checked_div(sum).unwrap_or(0);
            shares.give(hotkey, u32::try_from(weight_ppm).unwrap_or(0));
        }
    }
}

/// By how much more than luck an entrant beats a point on its best axis, in ppm. Smallest for the nearest dominator; at most
/// 0 where the point can't be told from one that dominates.
fn lead(axes: Axes, entrant: &Entrant, point: &FrontierPoint) -> i64 {
    let [own, its] = [&entrant.utilities_ppm, &point.utilities_ppm].map(values);
    let (own_half, its_half) = (half_widths(entrant), values(&point.half_widths_ppm));
    let used = axes.used();
    let leads = (0..AXES_MAX)
        .filter(|axis| used[*axis])
        .map(|axis| own[axis] as i64 - its[axis] as i64 - luck(own_half[axis], its_half[axis]) as i64);
    leads.max().unwrap_or(0)
}

/// Half-widths of what an entrant has to show it by: of 95 % intervals where the round decided it. Of many that are only
/// screened some are lucky, so theirs are those of 99.9 %.
fn half_widths(entrant: &Entrant) -> Point {
    let half = values(&entrant.half_widths_ppm);
    if entrant.decided { half } else { half.map(|half| half * 5 / 3) }
}

/// What an entrant's utilities show: on each axis, no lead over an accepted model that could be luck. Otherwise whoever is
/// certainly smaller by a byte would be paid for having been lucky on other items, once for each byte.
fn shown(archive: &[FrontierPoint], entrant: &Entrant) -> Utilities {
    let (own, half) = (values(&entrant.utilities_ppm), half_widths(entrant));
    let beyond_luck = |axis: usize| {
        let less = archive.iter().filter_map(|point| {
            let [its, its_half] = [&point.utilities_ppm, &point.half_widths_ppm].map(values);
            let lead = own[axis].checked_sub(its[axis])?;
            (lead <= luck(half[axis], its_half[axis])).then_some(its[axis])
        });
        less.min().unwrap_or(own[axis]) as i64
    };
    let [accuracy, fidelity, latency, size] = std::array::from_fn(beyond_luck);
    Utilities { accuracy, fidelity, latency, size }
}

/// What chance explains of a difference: both half-widths, in quadrature because the two were measured in different rounds.
fn luck(own_half: u64, its_half: u64) -> u64 {
    (own_half * own_half + its_half * its_half).isqrt()
}

/// A volume in billionths of the box, rounded down.
fn ppb(volume: u128) -> u64 {
    u64::try_from(volume / (BOX / 1_000_000_000)).unwrap_or(0)
}
