//! Strategies against the rules: `retort simulate market` in a form of seconds.

use protocol::reward::{BurnWeakMargin, Frontier, LastChampions, RewardPolicy, RewardRules};
use referee::market::{Earnings, Entry, Length, Rules, agents, play, season, shelf};
use std::sync::Mutex;

/// The default policies; that of champions with the burning that makes steps under several keys pay no more than one.
fn rules(items: u32) -> Rules {
    let champions = RewardPolicy::LastChampions(LastChampions::default());
    let rewards = vec![
        RewardRules::default(),
        RewardRules { burn_weak_margin: Some(BurnWeakMargin::default()), ..champions.into() },
        RewardPolicy::Frontier(Frontier::default()).into(),
        LADDER.into(),
    ];
    Rules { items, rewards, ..Rules::default() }
}

/// Games enough that luck is told from gain, in seconds.
const LENGTH: Length = Length { games: 3, rounds: 8 };

const LADDER: RewardPolicy = RewardPolicy::Ladder;

#[test]
fn no_strategy_earns_more_than_the_plain_use_of_its_best_model() {
    let (shelf, rules) = (shelf().unwrap(), rules(600));
    let strategies = agents::strategies();
    let told = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for strategy in &strategies {
            let (shelf, rules, told) = (&shelf, &rules, &told);
            scope.spawn(move || told.lock().unwrap().extend(play(strategy, shelf, rules, LENGTH, 1)));
        }
    });
    let told = told.into_inner().unwrap();
    let ladder = RewardRules::from(LADDER).to_string();
    // Several owners' models of several grades have several rungs, whosoever they are: docs/RULES.md says so.
    let graded = ["splitter, three grades", "weak friend first"];
    let known = |it: &Earnings| it.policy == ladder && graded.contains(&it.strategy);
    let paying: Vec<&Earnings> = told.iter().filter(|it| !it.is_harmless() && !known(it)).collect();
    assert!(paying.is_empty(), "{paying:#?}");
    assert!(told.iter().any(|it| it.honest && it.earned_ppm > 100_000), "a better model pays: {told:#?}");
    let inverted: Vec<&Earnings> = told.iter().filter(|it| it.policy == ladder && it.inversions > 0).collect();
    assert!(inverted.is_empty(), "a group is paid more than one above it: {inverted:#?}");
}

#[test]
fn three_hundred_memorisers_are_paid_nothing() {
    let (shelf, rules) = (shelf().unwrap(), rules(600));
    let crowd: Vec<Entry> = agents::crowd("memoriser", 300).collect();
    let field = agents::honest_field();
    let agents: Vec<&[Entry]> =
        std::iter::once(crowd.as_slice()).chain(field.iter().map(|it| it.entries.as_slice())).collect();
    let season = season::play(&agents, &shelf, &rules, 4, 1);
    for policy in 0..rules.rewards.len() {
        assert_eq!(season.mean_ppm(policy, 0), 0);
        assert!((1..agents.len()).any(|agent| season.mean_ppm(policy, agent) > 0), "somebody honest is paid");
    }
}
