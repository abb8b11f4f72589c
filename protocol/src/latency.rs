//! What a latency measurement is good for: sound, unstable (the host's fault) or in breach (the model's).
//!
//! The limits are those of LAT-1 (MEASURING.md section 1, steps 6, 7 and 9). Pure: it sees a report's numbers and
//! neither clocks nor samples.
//!
//! A measurement of fewer than [`FULL_LAUNCHES_MIN`] launches is a short one, as demonstrations make. The same rules
//! judge it, with limits five times as wide, so that it works on a machine that does other things meanwhile; what it
//! can't tell apart, the ranking leaves tied.
//!
//! A check has few launches, so it speaks against a model only where its whole interval does, and it speaks at all only
//! with [`CHECK_LAUNCHES_MIN`]: a shortened measurement can't accuse anybody. What one measurement says may still be
//! chance, so [`follow_up`] has it said twice.
//!
//! Why the twin is the yardstick for one repeated item. Distinct items pass through the processor's caches and push
//! weights out of them, a repeated one doesn't: an honest perceptron of 407 kB ran more than 5 % faster on one item. Its
//! architecture with random weights gains the same, since it touches the same memory in the same order; what it doesn't
//! gain is what the candidate remembers.

use crate::report::{Estimate, Latency, LatencyCheck, LatencyChecks};
use crate::score::PPM;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// The fewest launches of a whole measurement; a shorter one is judged by the limits of short ones.
pub const FULL_LAUNCHES_MIN: u32 = 15;
/// The widest interval of a stable measurement, as half of its width over the ratio.
pub const HALF_WIDTH_PPM_MAX: i64 = 10_000;
/// The same of a short measurement.
pub const SHORT_HALF_WIDTH_PPM_MAX: i64 = 50_000;
/// How far the reference may be from itself.
pub const CONTROL_PPM_MAX: i64 = 10_000;
/// The same in a short measurement.
pub const SHORT_CONTROL_PPM_MAX: i64 = 50_000;
/// How far outside the main interval the ratio on other items may lie.
pub const OTHER_ITEMS_PPM_MAX: i64 = 10_000;
/// How much more one repeated item may speed the candidate up than it does the architecture with random weights.
pub const REPEATED_ITEM_PPM_MAX: i64 = 50_000;
/// How far the candidate may be from its architecture with random weights.
pub const RANDOM_TWIN_PPM_MAX: i64 = 20_000;
/// How far a logit may be from the accuracy pass's, relative where that is above 1, in millionths. An answer that flips
/// within it was a tie.
pub const OUTPUT_DELTA_MICRO_MAX: u64 = 100;
/// Fewer launches than this in a check prove nothing: their extremes cover the truth in less than 98 of 100 checks, and
/// three launches did accuse an honest model once.
pub const CHECK_LAUNCHES_MIN: u32 = 7;
/// Fewer launches than this in a control don't make a host restless: one launch is its own interval, and processes of one
/// model differ by up to 4.5 % for life.
pub const CONTROL_LAUNCHES_MIN: u32 = 3;

/// What the rules make of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", content = "why", rename_all = "snake_case")]
pub enum LatencyVerdict {
    /// It can decide a rank.
    Sound,
    /// The host was too restless: measure again, at nobody's cost.
    Unstable(Unstable),
    /// The model behaves differently when it is timed.
    Breach(Breach),
    /// Nothing was timed: the model is below the gate beyond doubt, so no latency could help it.
    Skipped,
}

/// Why a host's measurement decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unstable {
    /// The interval stayed wider than [`half_width_ppm_max`].
    Width,
    /// The reference was further than [`control_ppm_max`] from itself, and the control's interval excludes 1.
    Control,
}

/// How a model was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breach {
    /// Timed inferences gave other outputs than the accuracy pass.
    Outputs,
    /// Other items gave another latency.
    OtherItems,
    /// One item repeated sped it up by more than it does its architecture with random weights.
    RepeatedItem,
    /// Random weights ran at another speed.
    RandomTwin,
}

/// Judges a measurement. A breach in the outputs counts on any host; everything else only on a stable one.
pub fn judge(latency: &Latency) -> LatencyVerdict {
    let checks = &latency.checks;
    if !latency.is_timed() {
        return LatencyVerdict::Skipped;
    }
    if checks.output_delta_micro_max > OUTPUT_DELTA_MICRO_MAX {
        return LatencyVerdict::Breach(Breach::Outputs);
    }
    if half_width_ppm(latency.ratio) > half_width_ppm_max(latency.launches) {
        return LatencyVerdict::Unstable(Unstable::Width);
    }
    if is_off(&checks.control, control_ppm_max(latency.launches)) {
        return LatencyVerdict::Unstable(Unstable::Control);
    }
    clock_breach(latency).map_or(LatencyVerdict::Sound, LatencyVerdict::Breach)
}

/// What the clocks say against a model, whatever the host was like: for measuring how often they are wrong. A verdict asks
/// only where the host was stable.
pub fn clock_breach(latency: &Latency) -> Option<Breach> {
    let checks = &latency.checks;
    let near_main = Estimate {
        low_ppm: shifted(latency.ratio.low_ppm, -OTHER_ITEMS_PPM_MAX),
        high_ppm: shifted(latency.ratio.high_ppm, OTHER_ITEMS_PPM_MAX),
        ..latency.ratio
    };
    let near_twin =
        Estimate { value_ppm: PPM, low_ppm: PPM - RANDOM_TWIN_PPM_MAX, high_ppm: PPM + RANDOM_TWIN_PPM_MAX };
    let breaches = [
        (Breach::OtherItems, lies_outside(&checks.other_items, near_main)),
        (Breach::RepeatedItem, gains_more_than_twin(checks)),
        (Breach::RandomTwin, lies_outside(&checks.random_twin, near_twin)),
    ];
    breaches.into_iter().find(|(_, caught)| *caught).map(|(breach, _)| breach)
}

/// What is to be done after a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowUp {
    /// It counts as it is: sound, or on a host that stayed unstable, where the latency is provisional.
    Count,
    /// Measure once more, at nobody's cost.
    Repeat,
    /// The model was caught.
    Reject(Breach),
}

/// What follows from the `latest` measurement of a model, after those that were judged `before`.
///
/// Clocks speak of chance, so a breach that a clock shows is final only when it is found twice; other outputs are no
/// matter of chance, and a model that gives them now and then must not be asked until it doesn't: those reject at once.
/// After `unstable_max` spoiled measurements the next counts whatever it is.
pub fn follow_up(before: &[LatencyVerdict], latest: LatencyVerdict, unstable_max: u64) -> FollowUp {
    match latest {
        LatencyVerdict::Sound | LatencyVerdict::Skipped => FollowUp::Count,
        LatencyVerdict::Breach(breach) if breach == Breach::Outputs || before.contains(&latest) => {
            FollowUp::Reject(breach)
        }
        LatencyVerdict::Breach(_) => FollowUp::Repeat,
        LatencyVerdict::Unstable(_) => {
            let spoiled = before.iter().filter(|verdict| verdict.is_unstable()).count() as u64;
            if spoiled < unstable_max { FollowUp::Repeat } else { FollowUp::Count }
        }
    }
}

/// Whether a measurement with so many launches is a short one.
pub fn is_short(launches: u32) -> bool {
    launches < FULL_LAUNCHES_MIN
}

/// The widest interval, as half of its width over the ratio, of a measurement with so many launches.
pub fn half_width_ppm_max(launches: u32) -> i64 {
    if is_short(launches) { SHORT_HALF_WIDTH_PPM_MAX } else { HALF_WIDTH_PPM_MAX }
}

/// How far the reference may be from itself in a measurement with so many launches.
pub fn control_ppm_max(launches: u32) -> i64 {
    if is_short(launches) { SHORT_CONTROL_PPM_MAX } else { CONTROL_PPM_MAX }
}

/// Half of an interval's width over its value, in parts per million; the largest number where there is no value.
pub fn half_width_ppm(ratio: Estimate) -> i64 {
    let half = (ratio.high_ppm - ratio.low_ppm).saturating_mul(PPM) / 2;
    half.checked_div(ratio.value_ppm).unwrap_or(i64::MAX)
}

fn shifted(value_ppm: i64, by_ppm: i64) -> i64 {
    value_ppm.saturating_add(value_ppm.saturating_mul(by_ppm) / PPM)
}

/// Whether a control is further than `tolerance_ppm` from 1, and that is no chance of its few launches.
fn is_off(control: &LatencyCheck, tolerance_ppm: i64) -> bool {
    let Estimate { value_ppm, low_ppm, high_ppm } = control.ratio;
    control.launches >= CONTROL_LAUNCHES_MIN
        && (value_ppm - PPM).abs() > tolerance_ppm
        && (low_ppm > PPM || high_ppm < PPM)
}

/// Whether one repeated item speeds the candidate up by more than it does the twin. The candidate over the twin is on
/// distinct items what `random_twin` says and on a repeated one what `repeated_item` says, so what it gains over the
/// twin's gain is the first over the second: that must lie above the limit with both whole intervals. To be slower on one
/// item is no cache.
fn gains_more_than_twin(checks: &LatencyChecks) -> bool {
    let (distinct, repeated) = (&checks.random_twin, &checks.repeated_item);
    let enough = distinct.launches.min(repeated.launches) >= CHECK_LAUNCHES_MIN;
    enough && shifted(repeated.ratio.high_ppm, REPEATED_ITEM_PPM_MAX) < distinct.ratio.low_ppm
}

/// How much more one repeated item speeds a candidate up than its twin, in parts per million: 1 million is as much. 0
/// where it wasn't measured.
pub fn repeated_gain_ppm(checks: &LatencyChecks) -> i64 {
    let (distinct, repeated) = (checks.random_twin.ratio.value_ppm, checks.repeated_item.ratio.value_ppm);
    distinct.saturating_mul(PPM).checked_div(repeated).unwrap_or(0)
}

/// Whether the whole interval of a check lies outside what is allowed, on one side.
fn lies_outside(check: &LatencyCheck, allowed: Estimate) -> bool {
    check.launches >= CHECK_LAUNCHES_MIN
        && (check.ratio.low_ppm > allowed.high_ppm || check.ratio.high_ppm < allowed.low_ppm)
}

impl LatencyVerdict {
    /// Whether it may decide a rank.
    pub fn is_sound(self) -> bool {
        self == Self::Sound
    }

    /// Its name in JSON and CSV, without the reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Unstable(_) => "unstable",
            Self::Breach(_) => "breach",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the host was to blame.
    pub fn is_unstable(self) -> bool {
        matches!(self, Self::Unstable(_))
    }
}

impl fmt::Display for LatencyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sound => "sound",
            Self::Skipped => "not timed: below the gate beyond doubt",
            Self::Unstable(Unstable::Width) => "the host was too restless for a narrow interval",
            Self::Unstable(Unstable::Control) => "the reference student was not as fast as itself on this host",
            Self::Breach(Breach::Outputs) => "timed inferences gave other outputs than the accuracy pass",
            Self::Breach(Breach::OtherItems) => "other items gave another latency",
            Self::Breach(Breach::RepeatedItem) => {
                "one item repeated sped it up by more than it does the same architecture with random weights"
            }
            Self::Breach(Breach::RandomTwin) => "the same architecture with random weights ran at another speed",
        })
    }
}

impl Breach {
    /// What a miner can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Outputs => "the same inputs must give the same outputs whether they are timed or not",
            Self::OtherItems => "a model must be as fast on any items as on those that it was timed on",
            Self::RepeatedItem => "a model must compute every answer, also one that it has given before",
            Self::RandomTwin => "an inference must take as long with these weights as with any others",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(low_ppm: i64, value_ppm: i64, high_ppm: i64) -> Estimate {
        Estimate { value_ppm, low_ppm, high_ppm }
    }

    fn check(low_ppm: i64, value_ppm: i64, high_ppm: i64) -> LatencyCheck {
        LatencyCheck { launches: 11, ratio: estimate(low_ppm, value_ppm, high_ppm) }
    }

    fn sound() -> Latency {
        let mut latency = Latency { ratio: estimate(497_000, 500_000, 503_000), launches: 15, ..Latency::default() };
        latency.checks.control = check(996_000, 1_001_000, 1_004_000);
        latency.checks.other_items = check(495_000, 501_000, 504_000);
        latency.checks.repeated_item = check(980_000, 1_002_000, 1_020_000);
        latency.checks.random_twin = check(990_000, 1_001_000, 1_010_000);
        latency
    }

    fn after(change: impl FnOnce(&mut Latency)) -> LatencyVerdict {
        let mut latency = sound();
        change(&mut latency);
        judge(&latency)
    }

    #[test]
    fn each_limit_has_its_verdict() {
        use super::Breach::{OtherItems, Outputs, RandomTwin, RepeatedItem};
        use LatencyVerdict::{Breach, Sound, Unstable as Restless};
        assert_eq!(judge(&sound()), Sound);
        assert_eq!(after(|l| l.ratio = estimate(494_000, 500_000, 505_000)), Restless(Unstable::Width));
        assert_eq!(after(|l| l.ratio = estimate(0, 0, 0)), Restless(Unstable::Width), "a ratio of nothing");
        assert_eq!(judge(&Latency::default()), LatencyVerdict::Skipped, "nothing was timed");
        assert_eq!(after(|l| l.checks.control = check(980_000, 989_000, 999_000)), Restless(Unstable::Control));
        assert_eq!(after(|l| l.checks.control = check(980_000, 989_000, 1_001_000)), Sound, "that may be chance");
        assert_eq!(after(|l| l.checks.output_delta_micro_max = 101), Breach(Outputs));
        assert_eq!(after(|l| l.checks.other_items = check(509_000, 510_000, 511_000)), Breach(OtherItems));
        assert_eq!(after(|l| l.checks.repeated_item = check(800_000, 900_000, 942_000)), Breach(RepeatedItem));
        assert_eq!(after(|l| l.checks.random_twin = check(900_000, 950_000, 979_000)), Breach(RandomTwin));
    }

    #[test]
    fn a_short_measurement_has_limits_of_its_own() {
        let short = |ratio, control| {
            after(|l| {
                l.launches = 11;
                l.ratio = ratio;
                l.checks.control = LatencyCheck { launches: 3, ..control };
            })
        };
        let (narrow, even) = (estimate(476_000, 500_000, 524_000), check(951_000, 951_000, 951_000));
        assert_eq!(short(narrow, even), LatencyVerdict::Sound);
        let wide = estimate(474_000, 500_000, 526_000);
        assert_eq!(short(wide, even), LatencyVerdict::Unstable(Unstable::Width));
        let uneven = check(949_000, 949_000, 949_000);
        assert_eq!(short(narrow, uneven), LatencyVerdict::Unstable(Unstable::Control));
        let one_launch = |l: &mut Latency| l.checks.control = LatencyCheck { launches: 1, ..uneven };
        assert_eq!(after(one_launch), LatencyVerdict::Sound, "one launch says nothing about a host");
        assert!(after(|l| l.ratio = narrow).is_unstable(), "a whole one must be narrower");
    }

    #[test]
    fn one_restless_launch_accuses_nobody() {
        use LatencyVerdict::Sound;
        assert_eq!(after(|l| l.checks.random_twin = check(900_000, 950_000, 985_000)), Sound);
        assert_eq!(after(|l| l.checks.repeated_item = check(800_000, 900_000, 943_000)), Sound);
        assert_eq!(
            after(|l| l.checks.repeated_item = check(1_500_000, 1_600_000, 1_700_000)),
            Sound,
            "slower is no cache"
        );
        let short = LatencyCheck { launches: 1, ..check(500_000, 500_000, 500_000) };
        assert_eq!(after(|l| l.checks.random_twin = short), Sound, "one launch proves nothing");
    }

    #[test]
    fn a_gain_that_the_twin_shares_is_no_cache_of_answers() {
        // 6 % slower than its twin on distinct items and as fast on one: it gains 6 % more than the twin.
        let gaining = |l: &mut Latency| {
            l.checks.random_twin = check(1_058_000, 1_060_000, 1_062_000);
            l.checks.repeated_item = check(998_000, 1_000_000, 1_002_000);
        };
        assert_eq!(after(gaining), LatencyVerdict::Breach(Breach::RepeatedItem));
        let checks = |change: fn(&mut Latency)| {
            let mut latency = sound();
            change(&mut latency);
            latency.checks
        };
        assert_eq!(repeated_gain_ppm(&checks(gaining)), 1_060_000);
        assert_eq!(repeated_gain_ppm(&LatencyChecks::default()), 0, "not measured");
    }

    #[test]
    fn a_clock_accuses_only_twice_and_for_the_same() {
        use super::Breach::{OtherItems, Outputs, RepeatedItem};
        use FollowUp::{Count, Reject, Repeat};
        use LatencyVerdict::{Breach, Sound, Unstable as Restless};
        let restless = Restless(Unstable::Width);
        assert_eq!(follow_up(&[], Sound, 3), Count);
        assert_eq!(follow_up(&[], Breach(RepeatedItem), 3), Repeat);
        assert_eq!(
            follow_up(&[Breach(OtherItems)], Breach(RepeatedItem), 3),
            Repeat,
            "another suspicion is a first one"
        );
        assert_eq!(follow_up(&[Breach(RepeatedItem)], Sound, 3), Count);
        let twice = [Breach(RepeatedItem), restless, Breach(OtherItems)];
        assert_eq!(follow_up(&twice, Breach(RepeatedItem), 3), Reject(RepeatedItem));
        assert_eq!(follow_up(&[], Breach(Outputs), 3), Reject(Outputs), "no matter of chance");
        assert_eq!(follow_up(&[Breach(OtherItems), restless, restless], restless, 3), Repeat);
        assert_eq!(follow_up(&[restless; 3], restless, 3), Count, "a host that never calms down keeps nobody waiting");
    }

    #[test]
    fn a_restless_host_excuses_all_but_other_outputs() {
        let restless = |l: &mut Latency| l.ratio = estimate(400_000, 500_000, 600_000);
        let twin = |l: &mut Latency| {
            restless(l);
            l.checks.random_twin = check(500_000, 500_000, 500_000);
        };
        assert_eq!(after(twin), LatencyVerdict::Unstable(Unstable::Width));
        let outputs = |l: &mut Latency| {
            restless(l);
            l.checks.output_delta_micro_max = 200;
        };
        assert_eq!(after(outputs), LatencyVerdict::Breach(Breach::Outputs));
    }
}
