//! From raw times to a report's numbers, on times that were made up.

use eval::{Launch, Pair, SAMPLES_FORMAT, Samples, Side};
use protocol::Digest;
use protocol::report::Clock;

fn launch(candidate_ns: u64, reference_ns: u64) -> Launch {
    let pair = Pair {
        subject_first: true,
        subject_ns: candidate_ns,
        baseline_ns: reference_ns,
        subject_worker_ns: candidate_ns - 1,
        baseline_worker_ns: reference_ns - 1,
    };
    let side = |inferences_per_block| Side { cold_load_ns: 5_000, inferences_per_block, ..Side::default() };
    // One wild pair in three moves no median.
    let wild = Pair { subject_ns: 1_000 * candidate_ns, ..pair };
    Launch { subject_first: false, subject: side(2), baseline: side(1), pairs: vec![pair, wild, pair] }
}

fn samples(candidate_ns: &[u64]) -> Samples {
    Samples {
        format: SAMPLES_FORMAT.into(),
        seed: 1,
        block_ns_min: 1_000_000,
        output_delta_micro_max: 0,
        launches: candidate_ns.iter().map(|ns| launch(*ns, 1_000)).collect(),
        control: vec![launch(2_000, 1_000), launch(2_040, 1_000), launch(1_960, 1_000)],
        other_items: vec![],
        repeated_item: vec![],
        random_twin: vec![],
    }
}

#[test]
fn the_ratio_is_the_median_of_launches_with_exact_order_statistics() {
    let eleven: Vec<u64> = (0..11).map(|launch| 1_000 + 20 * launch).collect();
    let latency = samples(&eleven).summary();
    assert_eq!(latency.ratio.value_ppm, 550_000, "1100 ns for two against 1000 ns for one");
    assert_eq!((latency.ratio.low_ppm, latency.ratio.high_ppm), (510_000, 590_000), "second and tenth of eleven");
    assert_eq!((latency.launches, latency.pairs), (11, 33));
    assert_eq!((latency.reference_p50_ns, latency.cold_load_ns), (1_000, 5_000));
    assert_eq!(latency.p90_ns, None, "33 blocks are too few");
}

#[test]
fn a_check_is_a_median_between_extremes() {
    let checks = samples(&[1_000; 3]).summary().checks;
    let control = checks.control;
    let ends = (control.ratio.low_ppm, control.ratio.value_ppm, control.ratio.high_ppm);
    assert_eq!((control.launches, ends), (3, (980_000, 1_000_000, 1_020_000)));
    assert_eq!(checks.random_twin, Default::default(), "not made");
}

#[test]
fn the_order_of_launches_does_not_matter() {
    let (forth, back) = (samples(&[900, 1_000, 1_100]).summary(), samples(&[1_100, 900, 1_000]).summary());
    assert_eq!(forth.ratio, back.ratio);
}

#[test]
fn stored_samples_recompute_to_the_same_summary() {
    let samples = samples(&[1_234, 1_300]);
    let json = samples.to_json();
    let read: Samples = serde_json::from_slice(&json).unwrap();
    assert_eq!(read, samples);
    assert_eq!(read.summary(), samples.summary());
    assert_eq!(read.summary().samples_sha256, Some(Digest::of(&json)));
}

#[test]
fn nothing_timed_is_no_number() {
    let latency = samples(&[]).summary();
    assert_eq!((latency.ratio.value_ppm, latency.p50_ns, latency.p90_ns, latency.launches), (0, 0, None, 0));
}

#[test]
fn the_workers_clocks_count_only_where_the_reference_waits_too() {
    let mut quiet = samples(&[1_000; 3]);
    let pairs = |samples: &mut Samples, change: fn(&mut Pair)| {
        samples.launches.iter_mut().flat_map(|launch| &mut launch.pairs).for_each(change);
    };
    // A candidate that understates its own time on a quiet machine gains nothing.
    pairs(&mut quiet, |pair| pair.subject_worker_ns = 1);
    assert_eq!((quiet.clock(), quiet.summary().ratio.value_ppm), (Clock::Parent, 500_000));

    let mut crowded = samples(&[1_000; 3]);
    pairs(&mut crowded, |pair| {
        pair.subject_ns += 7_000;
        pair.baseline_ns += 7_000;
    });
    assert_eq!(crowded.clock(), Clock::Worker);
    assert_eq!(crowded.overhead_ppm(), 7_008_008, "8000 ns by the parent, 999 ns by the worker");
    assert_eq!(crowded.summary().ratio.value_ppm, 500_000, "the crowd's 7000 ns are in neither number");

    // One that crowds the machine itself, to be believed about its own time, is held to the parent's clock.
    pairs(&mut crowded, |pair| pair.subject_worker_ns = 1);
    assert_eq!(crowded.clock(), Clock::Parent);
}
