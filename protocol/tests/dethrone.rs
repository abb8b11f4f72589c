//! Who takes the seat: each rule in turn, what every doubt does, and how often the rules err.

use protocol::Digest;
use protocol::dethrone::{
    Bout, DethroneRules, EpsilonDecay, HiddenStage, Incumbent, Rule, Successor, Verdict, crown, judge,
};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::score::{Ceiling, ScoreRules};
use protocol::significance::{Part, Replicates, Round};
use protocol::simulate::{Contest, Tally, World, repetition};
use std::num::NonZeroU32;

const ITEMS: usize = 240;
/// Far above both models, so that no utility is clipped.
const CEILING: Ceiling = Ceiling { correct: 98, items: 100 };

/// Every 12th item is wrong, apart from the first `won` of those in each part.
fn model(won_public: usize, won_hidden: usize) -> Outcomes {
    let right = |i: usize| {
        let (within, won) = if i < ITEMS { (i, won_public) } else { (i - ITEMS, won_hidden) };
        within % 12 != 5 || within / 12 < won
    };
    Outcomes::new(OutcomeValues {
        images_sha256: Digest::of(b"items"),
        size_bytes: 100_000,
        public_items: ITEMS as u32,
        right: (0..2 * ITEMS).map(right).collect(),
        js_micronats: vec![40_000; 2 * ITEMS],
        log_ratio_nanos: vec![0; 15],
    })
    .unwrap()
}

fn bout<'a>(champion: &'a Outcomes, challenger: &'a Outcomes, rules: &'a (ScoreRules, DethroneRules)) -> Bout<'a> {
    Bout {
        champion: Incumbent::Measured(champion),
        champion_age_seconds: 0,
        challenger: Some(challenger),
        latency_stable: true,
        latency_compliant: true,
        near_copy: false,
        score: &rules.0,
        rules: &rules.1,
        public_ceiling: CEILING,
        hidden: Some(HiddenStage { ceiling: CEILING, shared_by: NonZeroU32::MIN }),
        seed: Digest::of(b"round"),
    }
}

fn judged(challenger: &Outcomes, change: impl FnOnce(&mut Bout<'_>)) -> Verdict {
    // A gate far below, so that it doesn't decide by luck.
    let rules = (ScoreRules { gate_ppm: 500_000, ..ScoreRules::default() }, DethroneRules::default());
    let champion = model(0, 0);
    let mut bout = bout(&champion, challenger, &rules);
    change(&mut bout);
    judge(&bout)
}

#[test]
fn a_challenger_better_on_both_parts_dethrones_and_shows_why() {
    let verdict = judged(&model(12, 12), |_| ());
    assert_eq!(verdict.rule, Rule::Dethrones);
    assert!(verdict.rule.dethrones());
    let public = verdict.public.unwrap();
    assert_eq!((public.accuracy.disputed.challenger_only, public.accuracy.disputed.champion_only), (12, 0));
    assert_eq!(public.accuracy.difference.value_ppm, 50_000);
    assert_eq!(public.accuracy.p_ppb, 122_070, "half of 2^-12");
    assert!(public.composite.low_ppm > 1_000 && public.p.at_most(25_000, 1));
    assert_eq!((verdict.epsilon_ppm, verdict.alpha_public_ppm, verdict.alpha_hidden_ppm), (1_000, 25_000, 15_000));
    assert_eq!(verdict.shared_by, 1);
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    assert!(json.contains(r#""rule":"dethrones""#) && Rule::Dethrones.to_string() == "dethrones");
}

#[test]
fn the_first_rule_that_stops_a_challenger_decides() {
    let good = model(12, 12);
    let rule = |change: fn(&mut Bout<'_>)| judged(&good, change).rule;
    assert_eq!(rule(|bout| bout.champion = Incumbent::NotMeasured), Rule::ChampionNotMeasured);
    assert_eq!(rule(|bout| bout.challenger = None), Rule::ChallengerNotMeasured);
    assert_eq!(rule(|bout| bout.near_copy = true), Rule::NearCopy);
    assert_eq!(rule(|bout| bout.latency_compliant = false), Rule::LatencyBreach);
    assert_eq!(rule(|bout| bout.latency_stable = false), Rule::LatencyUnstable);
    assert_eq!(rule(|bout| bout.hidden = None), Rule::Qualified);
    assert_eq!(judged(&model(1, 12), |_| ()).rule, Rule::PublicNotBetter);
    assert_eq!(judged(&model(12, 1), |_| ()).rule, Rule::HiddenNotBetter);
}

#[test]
fn every_doubt_keeps_the_incumbent() {
    let changed = |change: fn(&mut OutcomeValues)| {
        let mut values = model(12, 12).values().clone();
        change(&mut values);
        judged(&Outcomes::new(values).unwrap(), |_| ()).rule
    };
    assert_eq!(judged(&model(0, 0), |_| ()).rule, Rule::PublicNotBetter, "a tie");
    assert_eq!(changed(|values| values.images_sha256 = Digest::of(b"others")), Rule::NotComparable);
    assert_eq!(changed(|values| values.log_ratio_nanos.clear()), Rule::NotComparable);
    assert_eq!(changed(|values| values.public_items = 0), Rule::NotComparable);
    assert_eq!(changed(|values| values.right.fill(false)), Rule::BelowGate);
    let smaller = changed(|values| {
        values.right[..ITEMS].fill(true);
        values.right[ITEMS..ITEMS + 130].fill(false);
    });
    assert_eq!(smaller, Rule::BelowGate, "on hidden items");
}

#[test]
fn a_shared_level_is_harder_to_meet() {
    let hidden_p = judged(&model(12, 5), |_| ()).hidden.unwrap().p;
    let shared = |n: u32| {
        let stage = HiddenStage { ceiling: CEILING, shared_by: NonZeroU32::new(n).unwrap() };
        judged(&model(12, 5), |bout| bout.hidden = Some(stage)).rule
    };
    assert!(hidden_p.at_most(15_000, 1) && !hidden_p.at_most(15_000, 500), "{hidden_p:?}");
    assert_eq!((shared(1), shared(500)), (Rule::Dethrones, Rule::HiddenNotBetter));
}

#[test]
fn a_faster_equal_dethrones_and_a_slower_better_one_may_not() {
    let timed = |won, nanos| {
        let mut values = model(won, won).values().clone();
        values.log_ratio_nanos.fill(nanos);
        Outcomes::new(values).unwrap()
    };
    assert_eq!(judged(&timed(0, -200_000_000), |_| ()).rule, Rule::Dethrones);
    assert_eq!(judged(&timed(12, 4_000_000_000), |_| ()).rule, Rule::PublicNotBetter);
}

#[test]
fn the_margin_falls_on_a_line_with_the_champions_age() {
    let decay = EpsilonDecay { from_ppm: 5_000, to_ppm: 500, days: 7 };
    let rules = DethroneRules { epsilon_decay: Some(decay), ..DethroneRules::default() };
    let day = 86_400;
    let margins = [0, day, 7 * day / 2, 7 * day, u64::MAX].map(|age| rules.epsilon_ppm_at(age));
    assert_eq!(margins, [5_000, 4_358, 2_750, 500, 500]);
    assert_eq!(DethroneRules::default().epsilon_ppm_at(u64::MAX), 1_000);
}

#[test]
fn rules_that_make_no_sense_are_named() {
    let after = |change: fn(&mut DethroneRules)| {
        let mut rules = DethroneRules::default();
        change(&mut rules);
        rules.check()
    };
    assert_eq!(after(|_| ()), Ok(()));
    let decay = |from_ppm, to_ppm, days| Some(EpsilonDecay { from_ppm, to_ppm, days });
    assert_eq!(after(|rules| rules.alpha_public_ppm = 0), Err("alpha_public_ppm is 0, not 200 to 500000".into()));
    assert!(after(|rules| rules.alpha_hidden_ppm = 500_001).is_err());
    assert!(after(|rules| rules.epsilon_ppm = 1_000_000).is_err());
    let decays = [decay(500, 5_000, 7), decay(5_000, 500, 0), decay(1_000_000, 0, 7)];
    for epsilon_decay in decays {
        let rules = DethroneRules { epsilon_decay, ..DethroneRules::default() };
        assert!(rules.check().is_err(), "{rules:?}");
    }
    assert!(serde_json::from_str::<DethroneRules>(r#"{"alpha": 1}"#).is_err());
    assert_eq!(serde_json::from_str::<DethroneRules>("{}").unwrap(), DethroneRules::default());
}

#[test]
fn of_several_that_succeed_the_earliest_that_cannot_be_told_from_the_best_is_crowned() {
    let rules = ScoreRules::default();
    let round = Round { part: Part::Hidden, seed: Digest::of(b"round"), ceiling: CEILING, rules: &rules };
    let [first, a_hair_better, far_better] = [1, 2, 14].map(|won| Replicates::draw(&model(won, won), &round).unwrap());
    let successor = |key, arrival, hidden| Successor { key, arrival, hidden };
    let pair = vec![successor("late", 9, &a_hair_better), successor("early", 2, &first)];
    assert_eq!(crown(pair.clone()), Some("early"), "a hair is no reason");
    let all = [pair, vec![successor("far", 20, &far_better)]].concat();
    assert_eq!(crown(all), Some("far"));
    assert_eq!(crown::<&str>(vec![]), None);
}

#[test]
fn a_repetition_is_a_function_of_its_seed_and_rules_err_as_their_levels_say() {
    let rules = DethroneRules::default();
    let equals = World { items: 200, rounds: 2, challengers: 5, gain_ppm: 0, fresh_ppm: 1_000_000, rules };
    let tally = |world: &World| {
        let mut tally = Tally::default();
        (0..10).for_each(|seed| tally.add(repetition(world, seed)));
        tally
    };
    assert_eq!(tally(&equals), tally(&equals));
    let [better, .., mcnemar, two_stages] = tally(&equals).dethroned;
    assert!(better >= 8 && mcnemar <= 4 && two_stages <= 1, "{:?}", tally(&equals));
    let far_better = World { items: 500, rounds: 1, challengers: 1, gain_ppm: 60_000, ..equals };
    assert_eq!(repetition(&far_better, 1), [true; Contest::ALL.len()]);
}
