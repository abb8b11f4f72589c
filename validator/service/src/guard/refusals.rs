//! Who was turned away, for the log: for each reason one line a minute, however many were.
//!
//! A line for each would let whoever floods the validator fill its log, and hide what else stands there. `/metrics` counts
//! all of them. It does not know what a reason means.

use super::AddressBlock;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a reason that was told isn't told again.
const REST: Duration = Duration::from_secs(60);

/// What was told of each reason. Reasons are the codes of problems, of which there are some dozens.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<&'static str, Told>>);

struct Told {
    at: Instant,
    /// Refusals since then.
    untold: u64,
}

impl Refusals {
    /// Notes that `client` was turned away, and says so in the log if that reason wasn't told within a minute.
    pub fn note(&self, why: &'static str, detail: &str, client: AddressBlock) {
        if let Some(untold) = self.due(why, Instant::now()) {
            tracing::warn!(why, %client, untold, "refused: {detail}");
        }
    }

    /// Whether this reason is to be told now, with how many were refused for it since it was told last.
    fn due(&self, why: &'static str, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(why) {
            Some(told) if now.duration_since(told.at) < REST => {
                told.untold += 1;
                None
            }
            found => {
                let untold = found.map_or(0, |told| told.untold);
                told.insert(why, Told { at: now, untold: 0 });
                Some(untold)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_at_once_and_then_once_a_minute_with_how_many_it_were() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let due = |why, seconds| refusals.due(why, start + Duration::from_secs(seconds));
        assert_eq!(due("busy", 0), Some(0));
        for second in 1..60 {
            assert_eq!(due("busy", second), None);
        }
        assert_eq!(due("address_rate", 59), Some(0), "another reason has a minute of its own");
        assert_eq!((due("busy", 60), due("busy", 61), due("busy", 130)), (Some(59), None, Some(1)));
    }
}
