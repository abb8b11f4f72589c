//! The clock: the system's, or one that a test holds still, moves and sets.
//!
//! It has three faces. [`Clock::wall_ns`] is the time of day, which people and machines may set at any moment; requests are
//! signed by it. [`Clock::steady_ns`] only ever goes on, and tells how long something takes. [`Clock::now`] is what is
//! shown and kept, and what ages are reckoned by: while a process holds it, it goes on steadily when the time
//! of day is set, until somebody follows and moves with it what is under way. It does not sleep; waiting is
//! tokio's.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NS_PER_S: i64 = 1_000_000_000;

/// A time of day that moved by this much beside the steady clock was set; less is a clock that is put right slowly.
const JUMP_NS_MIN: i64 = 2 * NS_PER_S;
/// Both clocks are read at once, or it isn't known how they differ: a thread may have to wait in between.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Nobody holds the system's clock: now is the time of day.
const FREE: i64 = i64::MIN;

/// When this process first looked.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// By how many nanoseconds now is ahead of the steady clock, for the whole process.
static HELD: AtomicI64 = AtomicI64::new(FREE);

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that stands still until a test moves it.
    Fixed(Arc<FixedClock>),
}

/// The faces of a clock that stands still, in nanoseconds. It is always held.
#[derive(Debug, Default)]
pub struct FixedClock {
    steady: AtomicU64,
    /// By how much the time of day is ahead of the steady clock.
    set: AtomicI64,
    /// By how much now is.
    held: AtomicI64,
}

/// An age in seconds, below zero where the clock was set back since.
pub fn age(now: u64, since: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(since)).unwrap_or(i64::MAX)
}

impl Clock {
    /// A clock that stands at `unix_seconds`.
    pub fn fixed(unix_seconds: u64) -> Self {
        let ahead = i64::try_from(unix_seconds).unwrap_or(i64::MAX).saturating_mul(NS_PER_S);
        let (set, held) = (AtomicI64::new(ahead), AtomicI64::new(ahead));
        Self::Fixed(Arc::new(FixedClock { set, held, ..FixedClock::default() }))
    }

    /// The time of day in nanoseconds since 1970, whoever set it.
    pub fn wall_ns(&self) -> u64 {
        match self {
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            Self::Fixed(fixed) => self.steady_ns().saturating_add_signed(fixed.set.load(Ordering::SeqCst)),
        }
    }

    /// Nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        match self.held().load(Ordering::SeqCst) {
            FREE => self.wall_ns(),
            ahead => self.steady_ns().saturating_add_signed(ahead),
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        self.now_ns() / NS_PER_S.unsigned_abs()
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
            fixed.steady.fetch_add(seconds.saturating_mul(NS_PER_S.unsigned_abs()), Ordering::SeqCst);
        }
    }

    /// Sets a fixed clock forward or back: no time passes. The system's is set by others.
    pub fn jump(&self, seconds: i64) {
        if let Self::Fixed(fixed) = self {
            fixed.set.fetch_add(seconds.saturating_mul(NS_PER_S), Ordering::SeqCst);
        }
    }

    /// From here on now goes on steadily, whatever the time of day is set to, until it is followed.
    pub fn hold(&self) {
        if let Self::System = self {
            let ahead = i128::from(self.wall_ns()) - i128::from(self.steady_ns());
            HELD.store(i64::try_from(ahead).unwrap_or(0), Ordering::SeqCst);
        }
    }

    /// By how many seconds the time of day was set since now last followed it, if it was.
    pub fn was_set(&self) -> Option<i64> {
        let ahead = self.ahead_ns().filter(|ahead| ahead.saturating_abs() >= JUMP_NS_MIN)?;
        Some(ahead.saturating_add(ahead.signum() * NS_PER_S / 2) / NS_PER_S)
    }

    /// Moves now by so many seconds.
    pub fn follow(&self, seconds: i64) {
        self.move_by(seconds.saturating_mul(NS_PER_S));
    }

    /// Takes up what is too little to be noticed by anybody.
    pub fn settle(&self) {
        if let Some(little) = self.ahead_ns().filter(|ahead| ahead.saturating_abs() < JUMP_NS_MIN) {
            self.move_by(little);
        }
    }

    fn move_by(&self, ns: i64) {
        let moved = |ahead: i64| (ahead != FREE).then(|| ahead.saturating_add(ns));
        // Where nobody holds it there is nothing to move.
        let _ = self.held().fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
    }

    /// By how much the time of day is ahead of now; `None` where this can't be told, or nobody holds it.
    fn ahead_ns(&self) -> Option<i64> {
        let held = Some(self.held().load(Ordering::SeqCst)).filter(|held| *held != FREE)?;
        let (before, wall, after) = (self.steady_ns(), self.wall_ns(), self.steady_ns());
        if Duration::from_nanos(after.saturating_sub(before)) > AT_ONCE {
            return None;
        }
        i64::try_from(i128::from(wall) - i128::from(before) - i128::from(held)).ok()
    }

    fn held(&self) -> &AtomicI64 {
        match self {
            Self::System => &HELD,
            Self::Fixed(fixed) => &fixed.held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_goes_is_not() {
        let clock = Clock::fixed(1_800_000_000);
        clock.advance(7_200);
        assert_eq!((clock.was_set(), clock.now()), (None, 1_800_007_200), "time passed");
        for seconds in [3_600, -3_600, 2, -86_400] {
            let before = clock.now();
            clock.jump(seconds);
            assert_eq!((clock.was_set(), clock.now()), (Some(seconds), before), "until somebody follows");
            clock.settle();
            assert_eq!((clock.was_set(), clock.now()), (Some(seconds), before), "that is no little");
            clock.follow(seconds);
            assert_eq!((clock.was_set(), clock.now()), (None, before.saturating_add_signed(seconds)));
        }
        clock.jump(1);
        assert_eq!(clock.was_set(), None, "that little is no jump");
        clock.settle();
        assert_eq!(clock.now_ns(), clock.wall_ns());
    }

    #[test]
    fn what_is_set_forward_and_back_again_adds_up_to_nothing() {
        let clock = Clock::fixed(1_800_000_000);
        let Clock::Fixed(fixed) = &clock else { unreachable!() };
        let mut all = 0;
        for milliseconds in [3_599_700, -3_599_700, -3_600_400, 3_600_400, -2_600, 2_600] {
            fixed.set.fetch_add(milliseconds * 1_000_000, Ordering::SeqCst);
            let seconds = clock.was_set().unwrap_or_default();
            assert!((seconds * 1_000 - milliseconds).abs() <= 500, "{seconds} s for {milliseconds} ms");
            clock.follow(seconds);
            clock.settle();
            all += seconds;
        }
        assert_eq!(all, 0);
    }

    #[test]
    fn the_systems_clock_is_the_time_of_day_held_or_not() {
        let differs = || Clock::System.now_ns().abs_diff(Clock::System.wall_ns());
        assert!(differs() < 1_000_000_000);
        Clock::System.hold();
        assert_eq!(Clock::System.was_set(), None);
        assert!(differs() < 1_000_000_000);
    }
}
