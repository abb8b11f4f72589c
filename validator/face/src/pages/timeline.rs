//! Who held the seat and for how long: the champion's timeline.
//!
//! It knows reigns; who is crowned is decided by `rounds`.

use super::figures;
use service::views::Reign;

/// Reigns that are shown: the last ones.
const SPANS_MAX: usize = 24;
/// The shortest reign is still a bar that a finger finds: its share of the whole in per mille.
const SHARE_MIN: u64 = 12;

/// A reign as it is drawn.
pub(super) struct Span<'a> {
    pub(super) reign: &'a Reign,
    /// Its length over that of all shown, in per mille.
    pub(super) share: u64,
    /// How long it lasted, or lasts.
    pub(super) lasted: String,
    /// Whether it goes on.
    pub(super) reigns: bool,
}

/// The last reigns, oldest first, at `now` in Unix seconds.
pub(super) fn spans(reigns: &[Reign], now: u64) -> Vec<Span<'_>> {
    let reigns = &reigns[reigns.len().saturating_sub(SPANS_MAX)..];
    let seconds = |reign: &Reign| reign.until.unwrap_or(now).saturating_sub(reign.since);
    let all = reigns.iter().map(seconds).fold(0_u64, u64::saturating_add).max(1);
    let span = |reign| {
        let lasted = seconds(reign);
        let share = u128::from(lasted) * 1_000 / u128::from(all);
        Span {
            reign,
            share: u64::try_from(share).unwrap_or(1_000).max(SHARE_MIN),
            lasted: figures::days(lasted),
            reigns: reign.until.is_none(),
        }
    };
    reigns.iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn shares_follow_time_and_the_shortest_reign_is_seen() {
        let (first, second) = (sample::reign(0, 1_000_000), sample::reign(1, 10));
        let both = [Reign { until: Some(second.since), ..first }, second];
        let spans = spans(&both, sample::NOW);
        assert!(spans[0].share > 900 && spans[1].share == SHARE_MIN, "{} {}", spans[0].share, spans[1].share);
        assert_eq!((spans[0].reigns, spans[1].reigns), (false, true));
    }

    #[test]
    fn only_the_last_reigns_are_shown_and_none_is_nothing() {
        let many: Vec<Reign> = (0..40).map(|n| sample::reign(n, 40 - n)).collect();
        assert_eq!(spans(&many, sample::NOW).len(), SPANS_MAX);
        assert!(spans(&[], sample::NOW).is_empty());
    }
}
