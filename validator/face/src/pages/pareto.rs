//! The Pareto line: the models that nothing else beats in both latency and accuracy.

/// A model as the line sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trade {
    /// Less is better.
    pub(super) latency_ppm: i64,
    /// More is better.
    pub(super) accuracy_ppm: i64,
}

/// The places in `trades` of those that no other beats, fastest first. Of equals, the first stays.
pub(super) fn frontier(trades: &[Trade]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trades.len()).collect();
    order.sort_by_key(|&at| (trades[at].latency_ppm, std::cmp::Reverse(trades[at].accuracy_ppm), at));
    let mut best = i64::MIN;
    order.retain(|&at| {
        let better = trades[at].accuracy_ppm > best;
        best = best.max(trades[at].accuracy_ppm);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(i64, i64)]) -> Vec<usize> {
        let trade = |&(latency_ppm, accuracy_ppm)| Trade { latency_ppm, accuracy_ppm };
        frontier(&pairs.iter().map(trade).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_and_one_are_their_own_frontier() {
        assert_eq!(of(&[]), [] as [usize; 0]);
        assert_eq!(of(&[(5, 5)]), [0]);
    }

    #[test]
    fn dominated_and_equal_models_are_left_out() {
        assert_eq!(of(&[(10, 90), (20, 80), (5, 70), (10, 85), (30, 95), (30, 95)]), [2, 0, 4]);
    }

    #[test]
    fn no_member_is_beaten_and_every_other_is() {
        // A walk that visits many mutual positions without a random source.
        let trades: Vec<Trade> =
            (0i64..200).map(|n| Trade { latency_ppm: n * 7_919 % 101, accuracy_ppm: n * 6_101 % 97 }).collect();
        let members = frontier(&trades);
        let beats = |a: Trade, b: Trade| a.latency_ppm <= b.latency_ppm && a.accuracy_ppm >= b.accuracy_ppm;
        for (at, trade) in trades.iter().enumerate() {
            let beaten = trades.iter().any(|other| other != trade && beats(*other, *trade));
            let twin_before = trades[..at].contains(trade);
            assert_eq!(members.contains(&at), !beaten && !twin_before, "{at}");
        }
    }
}
