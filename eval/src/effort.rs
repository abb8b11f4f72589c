//! How much a latency measurement measures. It knows numbers, not clocks.

use std::time::Duration;

/// The lengths of a measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// After so many launches the interval is looked at, and measuring ends if it is narrow enough. The last look ends
    /// it in any case. Few looks, since a measurement that could stop whenever it likes its interval would be biased.
    pub looks: Vec<u32>,
    /// How long a launch goes on after its warm-up, and at least 20 pairs of blocks.
    pub launch: Duration,
    /// How long each process warms up, and at least 20 inferences.
    pub warm_up: Duration,
    /// Launches of the control and of each compliance check.
    pub checks: u32,
}

impl Effort {
    /// LAT-1: 61 or 121 short launches and eleven of each check. Two looks, since each look at which a measurement may
    /// stop adds its own chance that a narrow interval misses the truth: with these two it stays below 2.8 %. Launches
    /// differ by 0.6 to 3 % whatever happens inside them, so many short ones say more than few long ones in the same time;
    /// docs/LATENCY.md has the figures.
    pub fn full() -> Self {
        Self { looks: vec![61, 121], launch: Duration::from_millis(80), warm_up: Duration::from_millis(50), checks: 11 }
    }

    /// The same protocol in a fifth of the time, for a demonstration: too few launches in a check to accuse anybody.
    pub fn quick() -> Self {
        Self { looks: vec![14], launch: Duration::from_millis(80), warm_up: Duration::from_millis(50), checks: 1 }
    }
}
