//! How often somebody may come: token buckets (GCRA, crate `governor`), a fixed number of them.
//!
//! A table with a row for everybody who ever came could be filled by coming from everywhere. So who comes is hashed, by
//! a key that is drawn at the start and nobody knows, onto one of [`BUCKETS`] buckets: at most that many rows, and two
//! clients share one by chance, not by design. It does not know who comes.

use super::AddressBlock;
use super::client::WIDE_TIMES;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

/// Buckets of a table: about 2 MiB once all of them are in use.
const BUCKETS: u64 = 1 << 16;

/// How often somebody may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate(Quota);

impl Rate {
    /// So many a second in the long run, and `burst` at once after a rest.
    pub(super) fn per_second(count: u64, burst: u64) -> Self {
        Self(Quota::per_second(positive(count)).allow_burst(positive(burst)))
    }

    /// So many a minute in the long run, and `burst` at once after a rest.
    pub(super) fn per_minute(count: u64, burst: u64) -> Self {
        Self(Quota::per_minute(positive(count)).allow_burst(positive(burst)))
    }

    /// So many an hour in the long run, and `burst` at once after a rest.
    pub(super) fn per_hour(count: u64, burst: u64) -> Self {
        Self(Quota::per_hour(positive(count)).allow_burst(positive(burst)))
    }

    /// So many times as often, and as much at once.
    fn times(self, times: u64) -> Self {
        let Self(quota) = self;
        let interval = quota.replenish_interval() / positive(times).get();
        let burst = quota.burst_size().saturating_mul(positive(times));
        Self(Quota::with_period(interval).unwrap_or(quota).allow_burst(burst))
    }
}

/// Settings are at least 1 and fit 32 bits; whatever isn't becomes the nearest that does.
fn positive(count: u64) -> NonZeroU32 {
    u32::try_from(count).ok().map_or(NonZeroU32::MAX, |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}

/// A table of buckets with the same rate.
pub(super) struct Buckets {
    buckets: DefaultKeyedRateLimiter<u64>,
    clock: DefaultClock,
    hasher: RandomState,
}

impl Buckets {
    pub(super) fn new(Rate(quota): Rate) -> Self {
        Self { buckets: RateLimiter::keyed(quota), clock: DefaultClock::default(), hasher: RandomState::new() }
    }

    /// Takes one from the bucket of `who`; otherwise the seconds after which there is one again, at least 1.
    pub(super) fn take(&self, who: &impl Hash) -> Result<(), u64> {
        let bucket = self.hasher.hash_one(who) % BUCKETS;
        self.buckets.check_key(&bucket).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait == Duration::ZERO)
        })
    }
}

/// Buckets of addresses: one for each, and larger ones for the networks that addresses of IPv6 lie in.
pub(super) struct AddressBuckets {
    narrow: Buckets,
    wide: Buckets,
}

impl AddressBuckets {
    pub(super) fn new(rate: Rate) -> Self {
        Self { narrow: Buckets::new(rate), wide: Buckets::new(rate.times(WIDE_TIMES)) }
    }

    /// Takes one from each bucket of `client`, the narrowest first: whoever has had enough costs its network nothing.
    pub(super) fn take(&self, client: AddressBlock) -> Result<(), u64> {
        let take = |(block, times)| if times == 1 { self.narrow.take(&block) } else { self.wide.take(&block) };
        client.widening().try_for_each(take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_may_come_four_times_as_often_as_one_of_its_customers() {
        let buckets = AddressBuckets::new(Rate::per_minute(1, 5));
        let come = |text: String| {
            let client = AddressBlock::of(text.parse().unwrap());
            (0..100).filter(|_| buckets.take(client).is_ok()).count()
        };
        let customers: Vec<usize> = (0..8).map(|customer| come(format!("2001:db8:1:{customer:x}00::1"))).collect();
        assert_eq!(customers, [5, 5, 5, 5, 0, 0, 0, 0]);
        assert_eq!((come("2001:db8:2::1".into()), come("192.0.2.1".into())), (5, 5));
    }

    #[test]
    fn a_burst_is_allowed_and_then_it_says_how_long_to_wait() {
        let buckets = Buckets::new(Rate::per_minute(2, 3));
        for _ in 0..3 {
            assert_eq!(buckets.take(&"somebody"), Ok(()));
        }
        let wait = buckets.take(&"somebody").unwrap_err();
        assert!((29..=30).contains(&wait), "{wait}");
    }

    #[test]
    fn a_million_strangers_fill_no_more_than_the_table() {
        let buckets = Buckets::new(Rate::per_second(1_000, 1_000));
        for stranger in 0..1_000_000_u32 {
            let _ = buckets.take(&stranger);
        }
        assert!(buckets.buckets.len() as u64 <= BUCKETS, "{}", buckets.buckets.len());
    }

    #[test]
    fn whoever_comes_seldom_is_not_held_to_account_for_others() {
        let buckets = Buckets::new(Rate::per_minute(1, 1));
        let refused = (0..1_000_u32).filter(|somebody| buckets.take(somebody).is_err()).count();
        // 1,000 on 65,536 buckets: 7.6 share one on average.
        assert!(refused < 40, "{refused}");
    }
}
