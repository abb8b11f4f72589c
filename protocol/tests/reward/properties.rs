//! What holds for every policy and every history.

use super::*;
use proptest::prelude::*;
use protocol::reward::{BurnWeakMargin, Frontier, History, LastChampions};
use std::collections::BTreeMap;

fn policy() -> impl Strategy<Value = RewardPolicy> {
    let last = prop::array::uniform5(1u32..200_000).prop_map(|mut shares_ppm| {
        shares_ppm.sort_unstable_by(|a, b| b.cmp(a));
        RewardPolicy::LastChampions(LastChampions { shares_ppm })
    });
    let frontier = (1u64..50, 1_000u32..50_000, prop::option::of(0u32..500_000)).prop_map(|numbers| {
        let (half_life_rounds, min_gain_ppm, tolerance_ppm) = numbers;
        RewardPolicy::Frontier(Frontier { half_life_rounds, min_gain_ppm, tolerance_ppm })
    });
    prop_oneof![Just(RewardPolicy::WinnerTakesAll), Just(RewardPolicy::Ladder), last, frontier]
}

fn any_rules() -> impl Strategy<Value = RewardRules> {
    let burn = prop::option::of((1u32..50_000, 0u32..999_999));
    (policy(), burn, prop::option::of(1u32..=1_000_000)).prop_map(|(policy, burn, owner_cap_ppm)| RewardRules {
        policy,
        burn_weak_margin: burn.map(|(full_ppm, kept_ppm)| BurnWeakMargin { full_ppm, kept_ppm }),
        owner_cap_ppm,
    })
}

fn utilities() -> impl Strategy<Value = Utilities> {
    prop::array::uniform4(-10i64..1_000_010).prop_map(|[accuracy, fidelity, latency, size]| Utilities {
        accuracy,
        fidelity,
        latency,
        size,
    })
}

fn half_widths() -> impl Strategy<Value = Utilities> {
    prop::array::uniform4(0i64..20_000).prop_map(|[accuracy, fidelity, latency, size]| Utilities {
        accuracy,
        fidelity,
        latency,
        size,
    })
}

/// A round of up to eleven models of up to nine owners. Numbers in rising order of arrival; ranks are groups.
fn round() -> impl Strategy<Value = Standing> {
    let model = (0u8..9, 1u32..6, -1i64..3, utilities(), half_widths(), 0u8..5);
    (prop::collection::vec(model, 0..12), prop::option::of(1u64..13), prop::option::of(-10i64..60_000)).prop_map(
        |(models, champion, margin_ppm)| {
            let entrants =
                (1..).zip(models).map(|(number, (owner, rank, score, utilities_ppm, half_widths_ppm, copy))| {
                    let copy_of = (copy == 0 && number > 1).then(|| submission(1));
                    let score_ppm = score * 100_000;
                    Entrant { rank, score_ppm, utilities_ppm, half_widths_ppm, copy_of, ..entrant(number, owner) }
                });
            Standing { axes: FOUR_AXES, margin_ppm, ..standing(0, champion, entrants.collect()) }
        },
    )
}

/// Consecutive rounds: half of a round's submissions may stand in the next one again, measured anew.
fn rounds() -> impl Strategy<Value = Vec<Standing>> {
    prop::collection::vec(round(), 1..6).prop_map(|rounds| {
        let number = |(round, standing): (u64, Standing)| {
            let later = |number: u64| submission(number + 6 * round);
            let entrants = (1..).zip(standing.entrants).map(|(number, entrant)| Entrant {
                submission: later(number),
                arrival: number + 6 * round,
                ..entrant
            });
            let champion = (1..20).find(|number| standing.champion == Some(submission(*number))).map(later);
            Standing { round, champion, entrants: entrants.collect(), ..standing }
        };
        (1..).zip(rounds).map(number).collect()
    })
}

/// The last payment of a replay.
fn last(rules: &RewardRules, rounds: &[Standing]) -> Payment {
    replay(rules, rounds).pop().unwrap()
}

fn replay(rules: &RewardRules, rounds: &[Standing]) -> Vec<Payment> {
    let mut history = History::default();
    let pay = |standing: &Standing| {
        let payment = rules.pay(&history, standing);
        history.rounds.push(payment.past.clone());
        payment
    };
    rounds.iter().map(pay).collect()
}

fn weights(payment: &Payment) -> BTreeMap<u8, u32> {
    paid(payment).into_iter().collect()
}

proptest! {
    #[test]
    fn weights_and_what_is_burnt_make_a_million(rules in any_rules(), rounds in rounds()) {
        prop_assert_eq!(rules.check(), Ok(()));
        for payment in replay(&rules, &rounds) {
            let paid: u64 = payment.weights.iter().map(|weight| u64::from(weight.weight_ppm)).sum();
            prop_assert_eq!(paid + u64::from(payment.burnt_ppm), 1_000_000);
            prop_assert_eq!(weights(&payment).len(), payment.weights.len(), "a hotkey is paid once");
            prop_assert!(payment.weights.iter().all(|weight| weight.weight_ppm > 0));
        }
    }

    #[test]
    fn the_order_of_entrants_and_of_history_means_nothing(rules in any_rules(), rounds in rounds(), turn in 0usize..12) {
        let mut turned = rounds.clone();
        for standing in &mut turned {
            let places = standing.entrants.len().max(1);
            standing.entrants.rotate_left(turn % places);
            standing.entrants.reverse();
        }
        let payments = replay(&rules, &rounds);
        prop_assert_eq!(&payments, &replay(&rules, &turned));
        let mut history = History { rounds: payments.iter().map(|payment| payment.past.clone()).collect() };
        history.rounds.reverse();
        prop_assert_eq!(payments.last().unwrap(), &rules.pay(&history, rounds.last().unwrap()));
    }

    #[test]
    fn a_better_group_never_earns_less(cap in prop::option::of(1u32..=1_000_000), burn in any::<bool>(), standing in round()) {
        let burn_weak_margin = burn.then_some(BurnWeakMargin { full_ppm: 50_000, kept_ppm: 0 });
        let rules = RewardRules { policy: RewardPolicy::Ladder, burn_weak_margin, owner_cap_ppm: cap };
        let payment = rules.pay(&History::default(), &standing);
        let best = |owner: u8| {
            let own = standing.entrants.iter().filter(|e| e.may_earn() && e.hotkey == hotkey(owner));
            own.map(|e| e.rank).min()
        };
        let group = |rank: u32| (0u8..9).filter(|owner| best(*owner) == Some(rank)).map(|owner| weight(&payment, owner)).max();
        for (a, b) in (1..6).flat_map(|a| (a + 1..6).map(move |b| (a, b))) {
            if let (Some(paid_a), Some(paid_b)) = (group(a), group(b)) {
                prop_assert!(paid_a >= paid_b, "{a} < {b}, but {paid_a} < {paid_b}");
            }
        }
    }

    #[test]
    fn copies_and_what_is_below_the_gate_earn_nothing_and_change_nothing(rules in any_rules(), rounds in rounds(), owner in 9u8..12) {
        let mut joined = rounds.clone();
        for (round, standing) in joined.iter_mut().enumerate() {
            let number = 100 + 10 * round as u64;
            let strong = Utilities { accuracy: 1_000_000, fidelity: 1_000_000, latency: 1_000_000, size: 1_000_000 };
            let copy_of = Some(submission(1));
            standing.entrants.push(Entrant { rank: 1, copy_of, utilities_ppm: strong, ..entrant(number, owner) });
            standing.entrants.push(Entrant { rank: 1, score_ppm: 0, utilities_ppm: strong, ..entrant(number + 1, owner) });
        }
        prop_assert_eq!(weights(&last(&rules, &rounds)), weights(&last(&rules, &joined)));
    }

    #[test]
    fn more_submissions_of_one_key_do_not_raise_a_loser(rules in any_rules(), rounds in rounds(), owner in 0u8..9) {
        // A worse entry of the same hotkey in the last round: last in rank, dominated, never champion.
        let mut joined = rounds.clone();
        let standing = joined.last_mut().unwrap();
        standing.entrants.push(Entrant { rank: 1_000, ..entrant(999, owner) });
        let has_own = |e: &Entrant| e.may_earn() && e.hotkey == hotkey(owner);
        if rounds.last().unwrap().entrants.iter().any(has_own) {
            prop_assert_eq!(weights(&last(&rules, &rounds)), weights(&last(&rules, &joined)));
        }
    }

    #[test]
    fn a_losing_sybil_raises_nobody(rules in any_rules(), rounds in rounds()) {
        // Another hotkey with a model that is last and dominated. The ladder pays rungs while there are free ones: there
        // eight others stand before it.
        let mut rounds = rounds;
        if rules.policy == RewardPolicy::Ladder {
            let others = (0..9u64).map(|i| Entrant { rank: 6 + i as u32, ..entrant(200 + i, 20 + i as u8) });
            rounds.last_mut().unwrap().entrants.extend(others);
        }
        let mut joined = rounds.clone();
        joined.last_mut().unwrap().entrants.push(Entrant { rank: 1_000, ..entrant(999, 99) });
        prop_assert_eq!(weights(&last(&rules, &rounds)), weights(&last(&rules, &joined)));
    }

    #[test]
    fn being_better_on_all_axes_never_earns_less_on_the_frontier(standing in round(), more in prop::array::uniform4(0i64..300_000)) {
        let rules = rules(RewardPolicy::Frontier(Frontier::default()));
        let mut better = standing.clone();
        // The last to come, so that what it adds is a gain over the same archive.
        if let Some(newest) = better.entrants.last_mut() {
            let owner = newest.hotkey.as_bytes()[0];
            let [accuracy, fidelity, latency, size] = more;
            newest.utilities_ppm.accuracy += accuracy;
            newest.utilities_ppm.fidelity += fidelity;
            newest.utilities_ppm.latency += latency;
            newest.utilities_ppm.size += size;
            let [before, after] = [standing, better].map(|round| weight(&rules.pay(&History::default(), &round), owner));
            prop_assert!(after >= before, "{after} < {before}");
        }
    }
}
