//! Ranks as groups, divisions, and the public score in steps.

use protocol::Digest;
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::score::{Ceiling, ScoreRules};
use protocol::significance::{Basis, Difference, Part, Replicates, ReplicatesError};
use protocol::standing::{Division, RankEntry, SortKey, Standing, Step, division, groups, step};

const CEILING: Ceiling = Ceiling { correct: 950, items: 1_000 };

/// The first `wrong` items are wrong, and every 50th of the others.
fn replicates(wrong: usize) -> Replicates {
    let rules = ScoreRules::default();
    // A teacher far above, so that no utility is clipped.
    let ceiling = Ceiling { correct: 990, items: 1_000 };
    let round = Basis { part: Part::Public, seed: Digest::of(b"board"), ceiling, rules: &rules };
    let outcomes = Outcomes::new(OutcomeValues {
        images_sha256: Digest::of(b"items"),
        size_bytes: 100_000,
        public_items: 1_000,
        right: (0..1_000).map(|i| i >= wrong && i % 50 != 49).collect(),
        js_micronats: vec![40_000; 1_000],
        log_ratio_nanos: vec![0; 15],
    });
    Replicates::draw(&outcomes.unwrap(), &round).unwrap()
}

fn placed(wrong: &[usize]) -> Vec<(usize, u32)> {
    let all: Vec<_> = wrong.iter().map(|wrong| replicates(*wrong)).collect();
    let entry = |(arrival, (key, replicates))| RankEntry { key, arrival, replicates };
    let entries = (0..).zip(wrong.iter().copied().zip(&all)).map(entry).collect();
    groups(entries).into_iter().map(|place| (place.key, place.rank)).collect()
}

#[test]
fn those_that_cannot_be_told_from_their_leader_share_its_rank() {
    // 40 and 43 differ on 3 items, 43 and 46 too; 40 and 46 on 6, which is more than luck.
    let expected = [(40, 1), (43, 1), (46, 3), (48, 3), (80, 5)];
    assert_eq!(placed(&[40, 43, 46, 48, 80]), expected);
    assert_eq!(placed(&[80, 46, 40, 48, 43]), expected, "whatever order they come in");
    assert_eq!(placed(&[]), []);
}

#[test]
fn the_last_of_many_may_be_further_behind_than_the_third() {
    // The same two as above, 40 and 46, with five in between.
    let crowd = [40, 41, 42, 43, 44, 45, 46];
    assert_eq!(placed(&crowd), crowd.map(|wrong| (wrong, 1)));
    assert_eq!(placed(&[40, 41, 42, 43, 44, 45, 80]).last(), Some(&(80, 7)), "but not any distance");
}

#[test]
fn the_interval_that_decides_is_that_of_two_and_a_wider_one_of_more() {
    let behind = replicates(40).minus(&replicates(46)).unwrap();
    let among = |models| Difference::interval_among(behind.estimate, models);
    assert_eq!(among(2), behind.estimate);
    assert!(behind.estimate.low_ppm > 0 && !behind.may_be_nothing_among(2), "{behind:?}");
    assert!(among(7).low_ppm <= 0 && 0 <= among(7).high_ppm && behind.may_be_nothing_among(7), "{:?}", among(7));
}

#[test]
fn the_leader_is_nothing_behind_itself_and_others_show_their_interval() {
    let all = [40, 43].map(replicates);
    let entries = all.iter().map(|replicates| RankEntry { key: (), arrival: 7, replicates }).collect();
    let placed = groups(entries);
    let [leader, second] = [0, 1].map(|i| placed[i].behind_leader.unwrap());
    assert_eq!((leader.low_ppm, leader.high_ppm), (0, 0));
    assert!(second.low_ppm <= 0 && second.value_ppm > 0 && second.high_ppm > second.value_ppm);
    assert_eq!(placed[0].sort_key.to_string(), format!("composite {} ppm, arrival 7", all[0].composite_ppm()));
}

#[test]
fn the_sort_key_puts_the_better_then_the_earlier_first() {
    let key = |composite_ppm, arrival| SortKey { composite_ppm, arrival };
    let mut keys = [key(5, 9), key(7, 8), key(5, 1)];
    keys.sort();
    assert_eq!(keys, [key(7, 8), key(5, 1), key(5, 9)]);
}

fn model(key: &str, correct: u32, latency_ratio_ppm: i64, size_bytes: u64, arrival: u64) -> Standing<&str> {
    Standing { key, correct, items: 1_000, latency_ratio_ppm, size_bytes, composite_ppm: correct.into(), arrival }
}

#[test]
fn divisions_admit_exactly_and_rank_by_what_they_are_for() {
    // 99 % of 950 are 940.5 right answers, 97 % are 921.5.
    let models = [
        model("slow and right", 945, 900_000, 90_000, 1),
        model("just in", 941, 500_000, 90_000, 2),
        model("just out", 940, 100_000, 80_000, 3),
        model("dominated", 930, 600_000, 95_000, 4),
        model("twin of just out", 940, 100_000, 80_000, 5),
        model("open only", 921, 50_000, 10_000, 6),
    ];
    let keys = |of| division(of, &models, CEILING).iter().map(|model| model.key).collect::<Vec<_>>();
    assert_eq!(keys(Division::C99), ["just in", "slow and right"]);
    assert_eq!(keys(Division::C97), ["just out", "twin of just out", "just in", "dominated", "slow and right"]);
    assert_eq!(keys(Division::Open), ["slow and right", "just in", "just out", "open only"]);
    assert!(!Division::Open.admits(0, 0, CEILING), "nothing was measured");
}

#[test]
fn the_public_score_moves_only_by_more_than_a_standard_error() {
    let [base, one_more, many_more] = [50, 49, 40].map(replicates);
    let shown = base.composite_ppm();
    assert_eq!(step(None, &base), Step::Moves { composite_ppm: shown });
    assert_eq!(step(Some(&base), &base), Step::Stays { composite_ppm: shown });
    assert_eq!(step(Some(&base), &replicates(60)), Step::Stays { composite_ppm: shown }, "worse");
    let moved = many_more.composite_ppm();
    assert_eq!(step(Some(&base), &many_more), Step::Moves { composite_ppm: moved });
    // Item 49 is wrong for both, so one more right answer there is none.
    assert_eq!(step(Some(&base), &one_more), Step::Stays { composite_ppm: shown });
}

#[test]
fn replicates_survive_being_kept_and_say_what_they_are_of() {
    let drawn = replicates(40);
    let bytes = drawn.to_bytes();
    let kept = Replicates::from_bytes(&bytes).unwrap();
    assert_eq!((&kept, kept.to_bytes()), (&drawn, bytes.clone()));
    assert_eq!(kept.minus(&drawn).unwrap().estimate.value_ppm, 0, "a kept one is paired with a fresh one");
    let rules = ScoreRules::default();
    let round = |seed: &str, correct| {
        let ceiling = Ceiling { correct, items: 1_000 };
        Basis { part: Part::Public, seed: Digest::of(seed.as_bytes()), ceiling, rules: &rules }
    };
    let of = |seed, correct| kept.are_of(&round(seed, correct));
    assert_eq!([of("board", 990), of("other", 990), of("board", 989)], [true, false, false]);
    let hidden = Basis { part: Part::Hidden, ..round("board", 990) };
    assert!(!kept.are_of(&hidden));

    let length = ReplicatesError::Length(bytes.len() - 1);
    assert_eq!(Replicates::from_bytes(&bytes[..bytes.len() - 1]), Err(length));
    assert_eq!(Replicates::from_bytes(&[&bytes[..], &[0]].concat()), Err(ReplicatesError::Length(bytes.len() + 1)));
    assert_eq!(Replicates::from_bytes(b"RTREP2"), Err(ReplicatesError::Magic));
    let mut above = bytes;
    let last = above.len() - 4;
    above[last..].copy_from_slice(&1_000_000_001_u32.to_le_bytes());
    assert_eq!(Replicates::from_bytes(&above), Err(ReplicatesError::Composite(1_000_000_001)));
}
