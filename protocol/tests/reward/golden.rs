//! Payments computed by hand.

use super::*;
use protocol::reward::{BurnWeakMargin, Frontier, History, LastChampions};

#[test]
fn the_simple_policies_pay_what_the_table_says() {
    let copy = |number, owner, of| Entrant { copy_of: Some(submission(of)), ..entrant(number, owner) };
    let below_gate = Entrant { score_ppm: 0, ..entrant(1, 1) };
    let tied = |number, owner| Entrant { rank: 1, ..entrant(number, owner) };
    let winner = rules(RewardPolicy::WinnerTakesAll);
    let ladder = rules(RewardPolicy::Ladder);
    type Case<'a> = (&'a str, &'a RewardRules, Option<u64>, Vec<Entrant>, &'a [(u8, u32)]);
    let cases: Vec<Case<'_>> = vec![
        ("the champion takes all", &winner, Some(2), vec![entrant(1, 1), entrant(2, 2)], &[(2, 1_000_000)]),
        ("an empty seat burns all", &winner, None, vec![entrant(1, 1)], &[]),
        ("an absent champion burns all", &winner, Some(9), vec![entrant(1, 1)], &[]),
        ("a champion below the gate burns all", &winner, Some(1), vec![below_gate.clone()], &[]),
        ("a rung each", &ladder, Some(1), vec![entrant(1, 1), entrant(2, 2)], &[(1, 300_000), (2, 200_000)]),
        (
            "owners once",
            &ladder,
            Some(1),
            vec![entrant(1, 1), entrant(2, 1), entrant(3, 2)],
            &[(1, 300_000), (2, 200_000)],
        ),
        (
            "copies take no rung",
            &ladder,
            Some(1),
            vec![entrant(1, 1), copy(2, 2, 1), entrant(3, 3)],
            &[(1, 300_000), (3, 200_000)],
        ),
        ("nobody below the gate", &ladder, Some(2), vec![below_gate, entrant(2, 2)], &[(2, 300_000)]),
        (
            "equals don't multiply: of a group the champion has the rung",
            &ladder,
            Some(3),
            vec![tied(1, 1), tied(2, 2), tied(3, 3), entrant(4, 4)],
            &[(3, 300_000), (4, 200_000)],
        ),
        (
            "and without it the earliest",
            &ladder,
            Some(4),
            vec![tied(2, 2), tied(1, 1), entrant(4, 4)],
            &[(1, 300_000), (4, 200_000)],
        ),
        (
            "a coldkey's hotkeys are one owner",
            &ladder,
            Some(1),
            vec![entrant(1, 1), Entrant { owner: hotkey(1), ..entrant(2, 2) }, entrant(3, 3)],
            &[(1, 300_000), (3, 200_000)],
        ),
        (
            "an absent champion's rung is burnt",
            &ladder,
            Some(9),
            vec![entrant(1, 1), entrant(2, 2)],
            &[(1, 200_000), (2, 140_000)],
        ),
        ("nobody there", &ladder, None, vec![], &[]),
    ];
    let mut failed = Vec::new();
    for (name, rules, champion, entrants, expected) in cases {
        let payment = rules.pay(&History::default(), &standing(1, champion, entrants));
        if paid(&payment) != expected {
            failed.push((name, paid(&payment)));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn the_ladder_has_eight_rungs_and_says_so() {
    let entrants: Vec<_> = (1..=10).map(|number| entrant(number, number as u8)).collect();
    let payment = rules(RewardPolicy::Ladder).pay(&History::default(), &standing(1, Some(1), entrants));
    assert_eq!(paid(&payment).len(), 8);
    assert_eq!(payment.burnt_ppm, 0);
    assert_eq!(why(&payment, 3), ["14 %: rung 3 of 8"]);
    assert_eq!(why(&payment, 9), ["nothing: the ladder has 8 rungs"]);
}

/// Pays rounds 1, 2, ... one after the other, each with a champion among `entrants`.
fn replay(rules: &RewardRules, champions: &[u64], entrants: &[Entrant]) -> Vec<Payment> {
    let mut history = History::default();
    let pay = |(round, champion): (u64, &u64)| {
        let payment = rules.pay(&history, &standing(round, Some(*champion), entrants.to_vec()));
        history.rounds.push(payment.past.clone());
        payment
    };
    (1..).zip(champions).map(pay).collect()
}

#[test]
fn the_last_five_owners_of_the_seat_are_paid_the_latest_first() {
    let entrants: Vec<_> = (1..=7).map(|number| entrant(number, number as u8)).collect();
    let payments =
        replay(&rules(RewardPolicy::LastChampions(LastChampions::default())), &[1, 2, 2, 1, 3, 4, 5, 6], &entrants);
    let paid: Vec<_> = payments.iter().map(paid).collect();
    assert_eq!(paid[0], [(1, 400_000)], "four shares wait for their champions");
    assert_eq!(paid[2], [(2, 400_000), (1, 250_000)], "a reign of two rounds counts once");
    assert_eq!(paid[3], [(1, 400_000), (2, 250_000)]);
    assert_eq!(paid[6], [(5, 400_000), (4, 250_000), (3, 150_000), (1, 120_000), (2, 80_000)]);
    assert_eq!(paid[7], [(6, 400_000), (5, 250_000), (4, 150_000), (3, 120_000), (1, 80_000)], "2 is the sixth now");
    assert_eq!(payments[7].burnt_ppm, 0);
    assert_eq!(why(&payments[7], 1), ["8 %: champion number 5 from the last"]);
    assert_eq!(why(&payments[7], 7), ["nothing: not one of the last 5 champions"]);
}

#[test]
fn a_weak_winner_keeps_a_part_until_it_is_dethroned_clearly() {
    // Kept: 50 % + 50 % * 2 500 / 10 000 = 62.5 %.
    let burn = BurnWeakMargin { full_ppm: 10_000, kept_ppm: 500_000 };
    let kept: Vec<_> = [i64::MIN, 0, 2_500, 10_000, i64::MAX].map(|margin| burn.kept_ppm_at(margin)).to_vec();
    assert_eq!(kept, [500_000, 500_000, 625_000, 1_000_000, 1_000_000]);

    let rules = RewardRules { burn_weak_margin: Some(burn), ..RewardRules::default() };
    let entrants = vec![entrant(1, 1), entrant(2, 2)];
    let mut history = History::default();
    let mut pay = |round, champion, margin_ppm| {
        let standing = Standing { margin_ppm, ..standing(round, Some(champion), entrants.clone()) };
        let payment = rules.pay(&history, &standing);
        history.rounds.push(payment.past.clone());
        payment
    };
    assert_eq!(paid(&pay(1, 1, None)), [(1, 1_000_000)], "a margin that nobody knows burns nothing");
    let weak = pay(2, 2, Some(2_500));
    assert_eq!((paid(&weak), weak.burnt_ppm), (vec![(2, 625_000)], 375_000));
    assert_eq!(why(&weak, 2)[1], "37.5 % burnt: it passed the best paid before by 0.25 points, and 1 count as clear");
    assert_eq!(paid(&pay(3, 2, None)), [(2, 625_000)], "the margin is remembered while it reigns");
    assert_eq!(paid(&pay(4, 1, Some(20_000))), [(1, 1_000_000)]);
}

#[test]
fn five_small_steps_of_five_owners_are_paid_no_more_than_one_step() {
    let policy = RewardPolicy::LastChampions(LastChampions::default());
    let rules = RewardRules { burn_weak_margin: Some(BurnWeakMargin::default()), ..policy.into() };
    let entrants: Vec<_> = (1..=6).map(|number| entrant(number, number as u8)).collect();
    let pay = |margins: &[(u64, i64)]| {
        let mut history = History::default();
        let payments = (1..).zip(margins).map(|(round, (champion, margin))| {
            let standing = Standing { margin_ppm: Some(*margin), ..standing(round, Some(*champion), entrants.clone()) };
            let payment = rules.pay(&history, &standing);
            history.rounds.push(payment.past.clone());
            payment
        });
        payments.last().unwrap().weights.iter().map(|weight| weight.weight_ppm).sum::<u32>()
    };
    let steps = pay(&[(1, 10_000), (2, 10_000), (3, 10_000), (4, 10_000), (5, 10_000)]);
    assert_eq!((pay(&[(1, 50_000)]), steps), (400_000, 200_000));
}

#[test]
fn burning_never_makes_the_second_place_better_than_the_first() {
    let burn_weak_margin = Some(BurnWeakMargin { full_ppm: 10_000, kept_ppm: 100_000 });
    let rules = RewardRules { policy: RewardPolicy::Ladder, burn_weak_margin, owner_cap_ppm: None };
    let round = Standing { margin_ppm: Some(0), ..standing(1, Some(1), vec![entrant(1, 1), entrant(2, 2)]) };
    assert_eq!(paid(&rules.pay(&History::default(), &round)), [(1, 200_000), (2, 200_000)]);
}

#[test]
fn an_owner_gets_no_more_than_the_cap_and_the_rest_is_burnt() {
    let rules = RewardRules { policy: RewardPolicy::Ladder, burn_weak_margin: None, owner_cap_ppm: Some(250_000) };
    let payment = rules.pay(&History::default(), &standing(1, Some(1), vec![entrant(1, 1), entrant(2, 2)]));
    assert_eq!((paid(&payment), payment.burnt_ppm), (vec![(1, 250_000), (2, 200_000)], 550_000));
    assert_eq!(why(&payment, 1), ["30 %: rung 1 of 8", "5 % burnt: an owner gets at most 25 %"]);
}

#[test]
fn the_frontier_pays_gains_that_fade() {
    // .9 * .5 = .45; .6 * (.8 - .5) = .18. One half-life later the first counts .225, the second .18: 5/9 and 4/9.
    let rules = rules(RewardPolicy::Frontier(Frontier { half_life_rounds: 10, ..Frontier::default() }));
    let mut history = History::default();
    let first = rules.pay(&history, &standing(1, Some(1), vec![at(1, 1, [900, 500])]));
    assert_eq!(paid(&first), [(1, 1_000_000)]);
    assert_eq!(first.past.accepted[0].gain_ppb, 450_000_000);
    history.rounds.push(first.past);
    let second = rules.pay(&history, &standing(11, Some(1), vec![at(1, 1, [900, 500]), at(2, 2, [600, 800])]));
    assert_eq!(second.past.accepted[0].gain_ppb, 180_000_000);
    assert_eq!((paid(&second), second.burnt_ppm), (vec![(1, 555_555), (2, 444_444)], 1));
    assert_eq!(why(&second, 1), ["paid for 45 % of the box, 10 rounds old, half-life 10"]);
    assert_eq!(why(&second, 2), ["paid for 18 % of the box, 0 rounds old, half-life 10"]);
    history.rounds.push(second.past.clone());
    let again = rules.pay(&history, &standing(11, Some(1), vec![at(1, 1, [900, 500]), at(2, 2, [600, 800])]));
    assert_eq!(again, second, "a round that is paid again pays the same");
}
