//! What it would take to dethrone: how much better a challenger would have to be, from how uncertain its verdict was.
//!
//! A forecast for people, not a rule: `referee::bout` decides, with the resampled p-value itself. It does NOT know the
//! next round's items, which nobody can forecast.

use crate::dethrone::Verdict;
use crate::score::{PPM, Z_95};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// A hundredth of the score, as people count it.
const POINT_PPM: i64 = PPM / 100;
/// Halvings of an interval of length 80: more than a double has bits.
const HALVINGS: u32 = 64;

/// What a challenger would have needed on the fresh items that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Needs {
    /// Fresh items.
    pub items: u32,
    /// The composite as measured, challenger minus champion.
    pub difference_ppm: i64,
    /// Its paired standard error.
    pub standard_error_ppm: i64,
    /// The difference that would do.
    pub lead_ppm: i64,
    /// How much of it is missing; 0 where the difference does already.
    pub missing_ppm: i64,
    /// The level, before sharing.
    pub alpha_hidden_ppm: u32,
    /// By how many challengers it was shared.
    pub shared_by: u32,
    /// The margin.
    pub epsilon_ppm: u32,
}

impl Needs {
    /// p = P(difference <= epsilon) is at most the level where the difference is at least
    ///
    /// lead = epsilon + z(alpha / shared by) * standard error,
    ///
    /// resamples being as good as normal around what was measured; near the quality gate, where some resamples are worth
    /// nothing, they aren't, and the forecast asks for too much. The standard error is the 95 % interval's width over
    /// twice 1.96. Rounded up to parts per million. `None` without a bout.
    pub fn of(verdict: &Verdict) -> Option<Self> {
        let comparison = verdict.hidden?;
        let interval = comparison.composite;
        let standard_error = (interval.high_ppm - interval.low_ppm) as f64 / (2.0 * Z_95);
        let level = f64::from(verdict.alpha_hidden_ppm) / 1e6 / f64::from(verdict.shared_by.max(1));
        let beyond = upper_quantile(level) * standard_error;
        let lead_ppm = i64::from(verdict.epsilon_ppm) + libm::ceil(beyond) as i64;
        Some(Self {
            items: u32::try_from(comparison.accuracy.disputed.items).unwrap_or(u32::MAX),
            difference_ppm: interval.value_ppm,
            standard_error_ppm: libm::round(standard_error) as i64,
            lead_ppm,
            missing_ppm: (lead_ppm - interval.value_ppm).max(0),
            alpha_hidden_ppm: verdict.alpha_hidden_ppm,
            shared_by: verdict.shared_by,
            epsilon_ppm: verdict.epsilon_ppm,
        })
    }
}

impl fmt::Display for Needs {
    /// The sentence for the miner.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [alpha, epsilon] = [self.alpha_hidden_ppm, self.epsilon_ppm].map(Share);
        let (items, error) = (Thousands(self.items), Points(self.standard_error_ppm));
        let shared = match self.shared_by {
            0 | 1 => String::new(),
            many => format!(", shared by {many},"),
        };
        let rules = format!(
            "{items} fresh items at alpha {alpha}{shared} and epsilon {epsilon}, the paired standard error being {error}"
        );
        if self.missing_ppm == 0 {
            return write!(f, "Far enough ahead on {rules}.");
        }
        write!(f, "To take the seat: +{} points of score on {rules}.", Points(self.missing_ppm))
    }
}

/// The z above which a normal variable is with this chance: z(0.01) = 2.326. By bisection of the error function.
fn upper_quantile(chance: f64) -> f64 {
    let above = |z: f64| 0.5 * libm::erfc(z / std::f64::consts::SQRT_2);
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if above(middle) > chance {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Parts per million as points, a hundredth of the score each, rounded away from zero so that no promise is too small.
struct Points(i64);

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0.unsigned_abs().div_ceil(POINT_PPM.unsigned_abs() / 100);
        write!(f, "{}{}.{:02}", if self.0 < 0 { "-" } else { "" }, hundredths / 100, hundredths % 100)
    }
}

/// Parts per million as a plain share without trailing zeros: `0.01`.
struct Share(u32);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A count with commas: `5,000`.
struct Thousands(u32);

impl fmt::Display for Thousands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
