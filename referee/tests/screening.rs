//! Places of a round: who gets one, and who can't take one from anybody.

use protocol::Hotkey;
use protocol::round::{RoundRules, Screening};
use referee::screening::{finalists, select};
use referee::{Candidate, Selection};

fn owner(number: u8) -> Hotkey {
    Hotkey::from_bytes([number; 32])
}

/// Named by its arrival; owned by its own number.
fn candidate(number: u8, composite_ppm: i64) -> Candidate<u8> {
    Candidate {
        key: number,
        owner: owner(number),
        arrival: number.into(),
        composite_ppm,
        waited_rounds: 0,
        decided_before: false,
    }
}

fn rules(challengers_max: u32, wait_rounds_max: u32) -> RoundRules {
    RoundRules { challengers_max, wait_rounds_max, ..RoundRules::default() }
}

fn decided(selection: &Selection<u8>) -> &[u8] {
    &selection.decided
}

#[test]
fn the_best_on_fresh_items_get_the_places_and_ties_go_to_the_earlier() {
    let field = vec![candidate(1, 500), candidate(2, 900), candidate(3, 900), candidate(4, 100)];
    let selection = select(field, &rules(2, 100), None);
    assert_eq!((decided(&selection), selection.shared_by, &selection.waiting[..]), (&[2, 3][..], 2, &[1, 4][..]));
}

#[test]
fn an_owner_has_one_place_with_however_many_hotkeys() {
    let shared = |number, composite_ppm| Candidate { owner: owner(9), ..candidate(number, composite_ppm) };
    let field = vec![shared(1, 900), shared(2, 800), shared(3, 700), candidate(4, 100)];
    let selection = select(field.clone(), &rules(2, 100), None);
    assert_eq!((decided(&selection), &selection.waiting[..]), (&[1, 4][..], &[2, 3][..]));
    let two = RoundRules { screening: Screening { finalists: 2, ..Screening::default() }, ..rules(2, 100) };
    assert_eq!(finalists(field, &two, None), [1, 4]);
}

#[test]
fn nothing_that_the_champions_owner_sends_takes_a_place_or_a_part_of_the_level() {
    let own = |number| Candidate { owner: owner(9), ..candidate(number, 2_000) };
    let others = vec![candidate(1, 500), candidate(2, 400), candidate(3, 300)];
    let alone = select(others.clone(), &rules(2, 100), Some(&owner(9)));
    let crowded = select([others.clone(), vec![own(10), own(11)]].concat(), &rules(2, 100), Some(&owner(9)));
    assert_eq!((decided(&alone), alone.shared_by), (&[1, 2][..], 2));
    assert_eq!((decided(&crowded), crowded.shared_by), (&[1, 2, 10][..], 2), "its own best is decided beside them");
    let one = RoundRules { screening: Screening { finalists: 1, ..Screening::default() }, ..rules(2, 100) };
    assert_eq!(finalists([others, vec![own(10)]].concat(), &one, Some(&owner(9))), [10, 1]);
}

#[test]
fn nobody_above_the_gate_waits_longer_than_so_many_rounds_whoever_comes() {
    // 30 that wait since the first round, worse than 20 strangers who come anew each round.
    let (rules, mut waiting) = (rules(3, 3), (0..30u8).map(|number| candidate(number, 100)).collect::<Vec<_>>());
    for round in 1..=3u8 {
        let strangers = (0..20u8).map(|number| candidate(30 + 20 * round + number, 5_000));
        let selection = select(waiting.iter().cloned().chain(strangers).collect(), &rules, None);
        let undecided = waiting.len() + 20;
        assert!(selection.decided.len() >= undecided.div_ceil(3), "places grow with those who wait");
        waiting.retain(|it| !selection.decided.contains(&it.key));
        waiting.iter_mut().for_each(|it| it.waited_rounds += 1);
    }
    assert_eq!(waiting, [], "after the third round all of the first are decided");
}

#[test]
fn waiting_is_worth_a_point_a_round_and_who_was_decided_waits_for_nothing() {
    let waited = Candidate { waited_rounds: 1, ..candidate(2, 1_000) };
    let back = Candidate { decided_before: true, ..candidate(3, 1_500) };
    let selection = select(vec![candidate(1, 10_500), waited, back], &rules(1, 100), None);
    assert_eq!(decided(&selection), [2]);
    let decided_long_ago = Candidate { waited_rounds: 50, decided_before: true, ..candidate(1, 0) };
    let selection = select(vec![decided_long_ago, candidate(2, 900_000)], &rules(1, 3), None);
    assert_eq!(decided(&selection), [2]);
}
