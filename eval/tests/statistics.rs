//! The statistics against the figures that MEASURING.md publishes and exact fractions.

use eval::statistics::{
    LAUNCHES_MAX, early_stopping_percentile, early_stopping_rank, median, order_coverage, order_interval,
};

#[test]
fn the_published_intervals_have_the_published_coverage() {
    for (n, interval, percent) in
        [(15, (3, 13), 99.26), (11, (2, 10), 98.83), (21, (5, 17), 99.28), (31, (9, 23), 98.93)]
    {
        assert_eq!(order_interval(n), interval, "of {n}");
        let coverage = 100.0 * order_coverage(n, interval.0).unwrap();
        assert!((coverage - percent).abs() < 0.005, "{n}: {coverage}");
    }
}

#[test]
fn few_launches_give_the_extremes() {
    for n in 1..=7 {
        assert_eq!(order_interval(n), (1, n));
    }
    assert_eq!(order_coverage(7, 1), Some(0.984375));
    assert_eq!(order_coverage(LAUNCHES_MAX + 1, 1), None);
}

#[test]
fn every_interval_covers_enough_and_the_next_narrower_one_does_not() {
    for n in 7..=LAUNCHES_MAX {
        let (low, high) = order_interval(n);
        assert_eq!(low + high, n + 1);
        assert!(order_coverage(n, low).unwrap() >= 0.98, "{n}");
        assert!(order_coverage(n, low + 1).unwrap() < 0.98, "{n}");
    }
}

#[test]
fn early_stopping_needs_as_many_samples_as_mlperf_says() {
    let cases = [
        (0.50, 10, None),
        (0.50, 11, Some(1)),
        (0.50, 63, Some(21)),
        (0.50, 662, Some(300)),
        (0.90, 63, None),
        (0.90, 64, Some(1)),
        (0.90, 662, Some(48)),
        (0.90, 10_000, Some(930)),
        (0.95, 129, None),
        (0.95, 130, Some(1)),
        (0.99, 661, None),
        (0.99, 662, Some(1)),
    ];
    for (percentile, n, expected) in cases {
        assert_eq!(early_stopping_rank(n, percentile), expected, "p{percentile} of {n}");
    }
}

#[test]
fn the_estimate_discards_all_but_the_last_of_the_largest() {
    let samples: Vec<u64> = (1..=10_000).rev().collect();
    assert_eq!(early_stopping_percentile(&samples, 0.9), Some(10_000 - 929));
    assert_eq!(early_stopping_percentile(&samples[..63], 0.9), None);
}

#[test]
fn the_median_of_an_even_number_lies_in_the_middle() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
}
