//! The `[reward]` table, and changes at a named round.

use super::*;
use protocol::reward::{BurnWeakMargin, ChangeError, Frontier, LastChampions, PolicyChange, Schedule};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Table {
    reward: RewardRules,
}

fn parse(text: &str) -> Result<RewardRules, String> {
    let table: Table = toml::from_str(&format!("[reward]\n{text}")).map_err(|error| error.message().to_owned())?;
    table.reward.check()?;
    Ok(table.reward)
}

#[test]
fn the_table_is_read_with_defaults() {
    let burn = BurnWeakMargin { full_ppm: 10_000, kept_ppm: 500_000 };
    let frontier = Frontier { half_life_rounds: 7, min_gain_ppm: 3_000, tolerance_ppm: Some(5_000) };
    let cases = [
        ("policy = 'winner_takes_all'", rules(RewardPolicy::WinnerTakesAll)),
        ("policy = 'winner_takes_all'\nburn_weak_margin = { full_ppm = 50000, kept_ppm = 0 }", RewardRules::default()),
        ("policy = 'ladder'", rules(RewardPolicy::Ladder)),
        ("policy = 'last_champions'", rules(RewardPolicy::LastChampions(LastChampions::default()))),
        ("policy = 'frontier'", rules(RewardPolicy::Frontier(Frontier::default()))),
        (
            "policy = 'frontier'\nhalf_life_rounds = 7\nmin_gain_ppm = 3000\ntolerance_ppm = 5000",
            rules(RewardPolicy::Frontier(frontier)),
        ),
        (
            "policy = 'ladder'\nowner_cap_ppm = 250000\nburn_weak_margin = { full_ppm = 10000, kept_ppm = 500000 }",
            RewardRules { policy: RewardPolicy::Ladder, burn_weak_margin: Some(burn), owner_cap_ppm: Some(250_000) },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Ok(expected.clone()), "{text}");
        let json = serde_json::to_string(&expected).unwrap();
        assert_eq!(serde_json::from_str::<RewardRules>(&json).unwrap(), expected, "{json}");
    }
    assert_eq!(serde_json::to_string(&rules(RewardPolicy::Ladder)).unwrap(), r#"{"policy":"ladder"}"#);
}

#[test]
fn rules_that_several_keys_can_milk_say_so() {
    let weak = |text: &str| parse(text).unwrap().weakness().is_some();
    assert!(weak("policy = 'ladder'") && weak("policy = 'last_champions'"));
    let by_margin = "policy = 'last_champions'\nburn_weak_margin = { full_ppm = 50000, kept_ppm = 0 }";
    assert!(![by_margin, "policy = 'frontier'", "policy = 'winner_takes_all'"].into_iter().any(weak));
}

#[test]
fn each_wrong_number_gets_its_sentence() {
    let cases = [
        (
            "policy = 'lottery'",
            "unknown variant `lottery`, expected one of `winner_takes_all`, `ladder`, `last_champions`, `frontier`",
        ),
        ("owner_cap_ppm = 5", "missing field `policy`"),
        ("policy = 'ladder'\nrungs = 3", "unknown field `rungs`"),
        ("policy = 'ladder'\nhalf_life_rounds = 3", "`half_life_rounds` belongs to the policy `frontier`"),
        ("policy = 'frontier'\nshares_ppm = [1, 1, 1, 1, 1]", "`shares_ppm` belongs to the policy `last_champions`"),
        ("policy = 'last_champions'\nshares_ppm = [1, 1]", "invalid length 2"),
        ("policy = 'last_champions'\nshares_ppm = [0, 0, 0, 0, 0]", "shares_ppm sum to 0, not to 1 to 1000000"),
        (
            "policy = 'last_champions'\nshares_ppm = [900000, 100001, 0, 0, 0]",
            "shares_ppm sum to 1000001, not to 1 to 1000000",
        ),
        ("policy = 'last_champions'\nshares_ppm = [1, 2, 1, 1, 1]", "shares_ppm must not rise"),
        ("policy = 'frontier'\nhalf_life_rounds = 0", "half_life_rounds is 0, not 1 to 1000000"),
        ("policy = 'frontier'\nmin_gain_ppm = 999", "min_gain_ppm is 999, not 1000 to 1000000"),
        ("policy = 'frontier'\ntolerance_ppm = 1000001", "tolerance_ppm is 1000001, over 1000000"),
        ("policy = 'ladder'\nowner_cap_ppm = 0", "owner_cap_ppm is 0, not 1 to 1000000"),
        ("policy = 'ladder'\nowner_cap_ppm = -1", "invalid value: integer `-1`, expected u32"),
        (
            "policy = 'ladder'\nburn_weak_margin = { full_ppm = 0, kept_ppm = 0 }",
            "burn_weak_margin.full_ppm is 0, not 1 to 1000000",
        ),
        ("policy = 'ladder'\nburn_weak_margin = { full_ppm = 1, kept_ppm = 1000000 }", "so nothing is ever burnt"),
    ];
    let told = |text: &str| parse(text).expect_err(text);
    let wrong: Vec<_> = cases.iter().filter(|(text, expected)| !told(text).contains(expected)).collect();
    assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|(text, _)| (text, told(text))).collect::<Vec<_>>());
}

#[test]
fn rules_are_sentences() {
    let text = "policy = 'frontier'\nowner_cap_ppm = 500000\nburn_weak_margin = { full_ppm = 10000, kept_ppm = 0 }";
    let sentence = parse(text).unwrap().to_string();
    let expected = "frontier: by what was added to it, at least 0.2\u{a0}%, half after 30 rounds; part of a weak winner's share is burnt; at most 50\u{a0}% to one owner";
    assert_eq!(sentence, expected);
    let ladder = rules(RewardPolicy::Ladder).to_string();
    assert_eq!(ladder, "ladder: 30, 20, 14, 11, 9, 7, 5, 4\u{a0}% to the first 8");
}

#[test]
fn a_change_takes_effect_at_a_later_round_and_never_in_the_current_one() {
    let change = |from_round, policy| PolicyChange { from_round, reward: rules(policy) };
    let mut schedule = Schedule::new(RewardRules::default());
    let late = |from_round| Err(ChangeError::TooLate { from_round, current: 5 });
    assert_eq!(schedule.announce(change(5, RewardPolicy::Ladder), 5), late(5));
    assert_eq!(schedule.announce(change(0, RewardPolicy::Ladder), 5), late(0));
    assert_eq!(
        late(5).unwrap_err().to_string(),
        "a change from round 5 comes too late in round 5: name round 6 or a later one"
    );
    let wrong = Frontier { half_life_rounds: 0, ..Frontier::default() };
    assert!(matches!(schedule.announce(change(9, RewardPolicy::Frontier(wrong)), 5), Err(ChangeError::Rules(_))));
    assert_eq!(schedule, Schedule::new(RewardRules::default()), "a refused change leaves no trace");

    assert_eq!(schedule.announce(change(9, RewardPolicy::Ladder), 5), Ok(()));
    assert_eq!(schedule.announce(change(7, RewardPolicy::Frontier(Frontier::default())), 5), Ok(()));
    assert_eq!(schedule.announce(change(9, RewardPolicy::WinnerTakesAll), 6), Err(ChangeError::Announced(9)));
    let at = |round| schedule.policy_at(round).policy.clone();
    assert_eq!([at(0), at(6)], [RewardPolicy::WinnerTakesAll, RewardPolicy::WinnerTakesAll]);
    assert_eq!([at(7), at(8)], [0; 2].map(|_| RewardPolicy::Frontier(Frontier::default())));
    assert_eq!([at(9), at(u64::MAX)], [RewardPolicy::Ladder, RewardPolicy::Ladder]);
    assert_eq!(schedule.changes().iter().map(|change| change.from_round).collect::<Vec<_>>(), [7, 9]);
}
