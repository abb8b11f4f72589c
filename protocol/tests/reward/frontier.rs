//! The frontier: exact volumes, acceptance, and the griefing that MEASURING.md section 3 names.

use super::*;
use proptest::prelude::*;
use protocol::reward::hypervolume::{BOX, Point, gain, volume};
use protocol::reward::{Axes, Frontier, History};

/// Two coordinates in thousandths; the other axes are not used.
fn point([x, y]: [u64; 2]) -> Point {
    [x * 1_000, 1_000_000, y * 1_000, 1_000_000]
}

/// A volume in hundredths of a per cent of the box.
fn parts(volume: u128) -> u128 {
    volume * 10_000 / BOX
}

const CHAMPION: [u64; 2] = [900, 500];
const OTHER: [u64; 2] = [600, 800];
/// The champion plus .001.
const HAIR: [u64; 2] = [901, 501];

#[test]
fn exclusive_contributions_are_destroyed_by_a_hair_and_incremental_ones_are_not() {
    let [champion, other, hair] = [CHAMPION, OTHER, HAIR].map(point);
    let exclusive = |of: &Point, all: &[Point]| {
        let others: Vec<Point> = all.iter().filter(|point| *point != of).copied().collect();
        volume(all) - volume(&others)
    };
    assert_eq!(parts(exclusive(&champion, &[champion, other])), 1_500, ".15");
    assert_eq!(parts(exclusive(&champion, &[champion, other, hair])), 0, "a copy plus .001 takes all of it");
    assert_eq!(parts(gain(&[], &champion)), 4_500, ".45, and nobody can take it");
    assert_eq!(parts(gain(&[champion, other], &hair)), 8, ".0008 for the copier");
    assert_eq!(gain(&[champion, other, hair], &champion), 0, "nothing for an exact copy");
}

fn frontier() -> RewardRules {
    rules(RewardPolicy::Frontier(Frontier::default()))
}

#[test]
fn a_copy_plus_a_hair_is_not_paid_and_its_original_is() {
    let entrants = vec![at(1, 1, [900, 500]), at(2, 2, [600, 800]), at(3, 3, [901, 501]), at(4, 4, [900, 500])];
    let payment = frontier().pay(&History::default(), &standing(1, Some(1), entrants));
    assert_eq!(paid(&payment), [(1, 714_285), (2, 285_714)], ".45 and .18 of .63");
    assert_eq!(why(&payment, 3), ["nothing: adds 0.0801 % of the box to the frontier, and 0.2 % are needed"]);
    assert_eq!(why(&payment, 4), ["nothing: adds 0 % of the box to the frontier, and 0.2 % are needed"]);
}

#[test]
fn what_luck_explains_is_no_gain() {
    let noisy = |entrant: Entrant, half| {
        let half_widths_ppm = Utilities { accuracy: half, latency: half, ..Utilities::default() };
        Entrant { half_widths_ppm, ..entrant }
    };
    // A lead of 10 000 on each axis; two half-widths of 7 000 make 9 899, two of 7 100 make 10 040.
    let pay = |half| {
        let entrants = vec![noisy(at(1, 1, [900, 500]), half), noisy(at(2, 2, [910, 510]), half)];
        frontier().pay(&History::default(), &standing(1, Some(1), entrants))
    };
    assert_eq!(paid(&pay(7_000)).len(), 2);
    assert_eq!(paid(&pay(7_100)), [(1, 1_000_000)]);
    let than = format!("nothing: on no axis significantly better than {}", submission(1));
    assert_eq!(why(&pay(7_100), 2), [than]);
}

#[test]
fn a_byte_less_buys_no_luck() {
    let at = |number, [accuracy, size]: [i64; 2]| Entrant {
        utilities_ppm: Utilities { accuracy, size, fidelity: 0, latency: 1_000_000 },
        half_widths_ppm: Utilities { accuracy: 20_000, ..Utilities::default() },
        ..entrant(number, number as u8)
    };
    let axes = Axes { accuracy: true, size: true, fidelity: false, latency: false };
    let pay = |entrants| frontier().pay(&History::default(), &Standing { axes, ..standing(1, None, entrants) });
    // Smaller by a hair beyond doubt, and luckier by less than two half-widths.
    let payment = pay(vec![at(1, [500_000, 500_000]), at(2, [525_000, 500_050])]);
    assert_eq!(paid(&payment), [(1, 1_000_000)]);
    assert_eq!(why(&payment, 2), ["nothing: adds 0.0025 % of the box to the frontier, and 0.2 % are needed"]);
    // Smaller by much: paid for that alone. More accurate beyond doubt: paid for both.
    let added = |entrant| pay(vec![at(1, [500_000, 500_000]), entrant]).past.accepted[1].gain_ppb;
    assert_eq!(added(at(2, [525_000, 600_000])), 50_000_000);
    assert_eq!(added(at(2, [530_000, 600_000])), 68_000_000);
}

#[test]
fn who_was_only_screened_has_more_to_show_and_is_not_refused_for_good() {
    let ahead = |decided| {
        let half_widths_ppm = Utilities { accuracy: 10_000, ..Utilities::default() };
        Entrant { decided, half_widths_ppm, ..at(2, 2, [915, 500]) }
    };
    let first = at(1, 1, [900, 500]);
    let pay =
        |history: &History, decided| frontier().pay(history, &standing(1, None, vec![first.clone(), ahead(decided)]));
    // A lead of 15 000: more than 10 000, less than 10 000 times 5 / 3.
    assert_eq!(paid(&pay(&History::default(), true)).len(), 2);
    let screened = pay(&History::default(), false);
    assert_eq!(paid(&screened), [(1, 1_000_000)]);
    let sentence = format!("not decided yet; nothing: on no axis significantly better than {}", submission(1));
    assert_eq!(why(&screened, 2), [sentence]);
    assert_eq!(screened.past.judged, [submission(1)]);
    let history = History { rounds: vec![screened.past] };
    let decided = frontier().pay(&history, &standing(2, None, vec![ahead(true)]));
    assert_eq!(decided.past.accepted.len(), 1, "{:?}", decided.why);
}

#[test]
fn a_submission_is_judged_once() {
    let first =
        frontier().pay(&History::default(), &standing(1, None, vec![at(1, 1, [900, 500]), at(2, 2, [900, 501])]));
    let history = History { rounds: vec![first.past] };
    let lucky = vec![at(1, 1, [920, 520]), at(2, 2, [990, 990])];
    let second = frontier().pay(&history, &standing(2, None, lucky));
    assert_eq!(paid(&second), [(1, 1_000_000)]);
    assert!(second.past.accepted.is_empty(), "measuring an accepted model again adds nothing");
    assert_eq!(why(&second, 2), ["nothing: not accepted when it was judged, and judged once"]);
}

#[test]
fn with_a_tolerance_new_trade_offs_are_not_paid() {
    let pay = |tolerance_ppm| {
        let rules = rules(RewardPolicy::Frontier(Frontier { tolerance_ppm, ..Frontier::default() }));
        rules.pay(&History::default(), &standing(1, None, vec![at(1, 1, [900, 500]), at(2, 2, [600, 800])]))
    };
    assert_eq!(paid(&pay(None)).len(), 2);
    assert_eq!(paid(&pay(Some(300_000))).len(), 2, "no worse than the tolerance");
    let strict = pay(Some(5_000));
    assert_eq!(paid(&strict), [(1, 1_000_000)]);
    assert_eq!(why(&strict, 2), [format!("nothing: worse than {} by 30 points of accuracy", submission(1))]);
}

#[test]
fn whoever_turns_out_to_be_a_copy_is_paid_no_longer() {
    let first =
        frontier().pay(&History::default(), &standing(1, None, vec![at(1, 1, [900, 500]), at(2, 2, [950, 550])]));
    let history = History { rounds: vec![first.past] };
    let copy = Entrant { copy_of: Some(submission(1)), ..at(2, 2, [950, 550]) };
    let second = frontier().pay(&history, &standing(2, None, vec![at(1, 1, [900, 500]), copy]));
    assert_eq!(paid(&second), [(1, 1_000_000)]);
}

/// Coordinates of a coarse grid, whose cells can be counted.
fn cells() -> impl Strategy<Value = Vec<[u64; 4]>> {
    prop::collection::vec(prop::array::uniform4(0u64..=5), 0..7)
}

proptest! {
    #[test]
    fn the_volume_is_the_number_of_cells_that_are_dominated(cells in cells()) {
        let points: Vec<Point> = cells.iter().map(|cell| cell.map(|value| value * 200_000)).collect();
        let grid = (0..625u64).map(|i| [i % 5, i / 5 % 5, i / 25 % 5, i / 125]);
        let covered = |cell: &[u64; 4]| cells.iter().any(|point| point.iter().zip(cell).all(|(p, c)| p > c));
        let counted = grid.filter(covered).count() as u128;
        prop_assert_eq!(volume(&points), counted * BOX / 625);
    }

    #[test]
    fn a_gain_is_the_difference_of_volumes(points in prop::collection::vec(prop::array::uniform4(0u64..=1_000_000), 1..12)) {
        let (last, others) = points.split_last().unwrap();
        prop_assert_eq!(gain(others, last), volume(&points) - volume(others));
    }

    #[test]
    fn splitting_a_gain_into_steps_earns_the_same(
        rival in prop::array::uniform2(100i64..900),
        end in prop::array::uniform2(500i64..=1_000),
        steps in 1i64..6,
    ) {
        // A rival stands; owner 2 comes in one step, owner 3 (in another world) in several, far enough apart to be paid.
        let pay = |newcomers: Vec<Entrant>| {
            let entrants = [vec![at(1, 1, rival)], newcomers].concat();
            frontier().pay(&History::default(), &standing(1, None, entrants))
        };
        let whole = pay(vec![at(2, 2, end)]);
        let step = |i: i64| at(1 + i as u64, 2 + (i % 2) as u8, end.map(|value| value * i / steps));
        let split = pay((1..=steps).map(step).collect());
        let gains = |payment: &Payment| payment.past.accepted.iter().skip(1).map(|p| p.gain_ppb).sum::<u64>();
        // Steps below the minimum are not paid, and what they would have added stays for the next.
        prop_assert!(gains(&split) <= gains(&whole), "{} {}", gains(&split), gains(&whole));
        let last_paid = split.past.accepted.last().map(|p| p.submission.clone()) == Some(submission(1 + steps as u64));
        if last_paid {
            prop_assert_eq!(gains(&split), gains(&whole), "gains telescope exactly");
            let own = weight(&split, 2) + weight(&split, 3);
            prop_assert!(own.abs_diff(weight(&whole, 2)) <= 2, "{} {}", own, weight(&whole, 2));
        }
    }

    #[test]
    fn a_copy_plus_epsilon_takes_at_most_what_it_adds(
        original in prop::array::uniform4(200_000i64..950_000),
        epsilon in prop::array::uniform4(0i64..50_000),
    ) {
        let entrant = |number, owner, [accuracy, fidelity, latency, size]: [i64; 4]| Entrant {
            utilities_ppm: Utilities { accuracy, fidelity, latency, size },
            ..entrant(number, owner)
        };
        let copy = std::array::from_fn(|axis| original[axis] + epsilon[axis]);
        let entrants = vec![entrant(1, 1, original), entrant(2, 2, copy)];
        let round = Standing { axes: FOUR_AXES, ..standing(1, None, entrants) };
        let payment = frontier().pay(&History::default(), &round);
        let volume = |point: [i64; 4]| point.iter().map(|value| *value as f64 / 1e6).product::<f64>();
        let (own, grown) = (volume(original), volume(copy));
        let added = if grown - own < 0.002 { 0.0 } else { grown - own };
        if own >= 0.002 {
            let expected = own / (own + added) * 1e6;
            prop_assert!((f64::from(weight(&payment, 1)) - expected).abs() < 2.0, "{:?} {expected}", paid(&payment));
        }
    }
}
