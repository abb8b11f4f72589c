//! The clock: the system's, or one that a test holds still, moves and sets.
//!
//! It has two faces. [`Clock::now`] is the time of day, which people and machines may set at any moment; it stands on
//! everything that is shown, signed or kept. [`Clock::steady_ns`] only ever goes on, and tells how long something takes.
//! `Jumps` holds one against the other. It does not sleep; waiting is tokio's.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const NS_PER_S: u64 = 1_000_000_000;

/// A time of day that moved by this much beside the steady clock was set; less is a clock that is put right slowly, or a
/// thread that had to wait between two looks.
const JUMP_NS_MIN: i128 = 2 * NS_PER_S as i128;

/// When this process first looked.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that stands still until a test moves it.
    Fixed(Arc<FixedClock>),
}

/// The two faces of a clock that stands still, in nanoseconds.
#[derive(Debug, Default)]
pub struct FixedClock {
    now: AtomicU64,
    steady: AtomicU64,
}

impl Clock {
    /// A clock that stands at `unix_seconds`.
    pub fn fixed(unix_seconds: u64) -> Self {
        Self::Fixed(Arc::new(FixedClock { now: AtomicU64::new(unix_seconds * NS_PER_S), ..FixedClock::default() }))
    }

    /// Nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            Self::Fixed(fixed) => fixed.now.load(Ordering::SeqCst),
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.now_ns() / NS_PER_S
    }

    /// Nanoseconds that passed since some moment, whatever the clock was set to meanwhile.
    pub fn steady_ns(&self) -> u64 {
        match self {
            Self::System => u64::try_from(BEGAN.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Fixed(fixed) => fixed.steady.load(Ordering::SeqCst),
        }
    }

    /// Lets time pass on a fixed clock; the system's goes by itself.
    pub fn advance(&self, seconds: u64) {
        if let Self::Fixed(fixed) = self {
            fixed.now.fetch_add(seconds * NS_PER_S, Ordering::SeqCst);
            fixed.steady.fetch_add(seconds * NS_PER_S, Ordering::SeqCst);
        }
    }

    /// Sets a fixed clock forward or back: no time passes. The system's is set by others.
    pub fn jump(&self, seconds: i64) {
        if let Self::Fixed(fixed) = self {
            // Adding a negative number is what wraps around here.
            fixed.now.fetch_add((seconds * NS_PER_S as i64) as u64, Ordering::SeqCst);
        }
    }
}

/// Notices when a clock is set.
#[derive(Debug)]
pub(crate) struct Jumps {
    clock: Clock,
    /// Time of day and steady time at the last look.
    before: (u64, u64),
}

impl Jumps {
    /// Looks for the first time.
    pub(crate) fn of(clock: &Clock) -> Self {
        Self { clock: clock.clone(), before: (clock.now_ns(), clock.steady_ns()) }
    }

    /// By how many seconds the clock was set since the last look that was [taken note of](Self::follow), if it was.
    pub(crate) fn look(&self) -> Option<i64> {
        let [now, steady] = [(self.clock.now_ns(), self.before.0), (self.clock.steady_ns(), self.before.1)]
            .map(|(now, before)| i128::from(now) - i128::from(before));
        let jump = now - steady;
        (jump.abs() >= JUMP_NS_MIN).then(|| (jump / i128::from(NS_PER_S)) as i64)
    }

    /// Takes note of the clock as it is.
    pub(crate) fn follow(&mut self) {
        *self = Self::of(&self.clock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_goes_is_not() {
        let clock = Clock::fixed(1_800_000_000);
        let mut jumps = Jumps::of(&clock);
        clock.advance(7_200);
        assert_eq!(jumps.look(), None, "time passed");
        for seconds in [3_600, -3_600, 2, -86_400] {
            clock.jump(seconds);
            assert_eq!(jumps.look(), Some(seconds));
            assert_eq!(jumps.look(), Some(seconds), "until somebody took note");
            jumps.follow();
            assert_eq!(jumps.look(), None);
        }
        clock.jump(1);
        assert_eq!(jumps.look(), None, "that little is no jump");
        assert_eq!(Jumps::of(&Clock::System).look(), None);
    }
}
