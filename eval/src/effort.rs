//! How much a latency measurement measures. It knows numbers, not clocks.

use std::time::Duration;

/// The lengths of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// After so many launches the interval is looked at, and measuring ends if it is narrow enough. The last look ends
    /// it in any case. Few looks, since a measurement that could stop whenever it likes its interval would be biased.
    pub looks: Vec<u32>,
    /// How long a launch goes on after its warm-up, and at least 30 pairs of blocks.
    pub launch: Duration,
    /// How long each process warms up, and at least 20 inferences.
    pub warm_up: Duration,
    /// Launches of the control and of each compliance check.
    pub checks: u32,
}

impl Effort {
    /// LAT-1: 15 to 31 launches of 0.7 s and three of each check.
    pub fn full() -> Self {
        Self {
            looks: vec![15, 19, 23, 27, 31],
            launch: Duration::from_millis(700),
            warm_up: Duration::from_millis(200),
            checks: 3,
        }
    }

    /// The same protocol in a fifth of the time, for a demonstration: too few launches in a check to accuse anybody.
    pub fn quick() -> Self {
        Self { looks: vec![9, 11], launch: Duration::from_millis(200), warm_up: Duration::from_millis(100), checks: 1 }
    }
}
