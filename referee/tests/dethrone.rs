//! Who takes the seat: each rule in turn, and what every doubt does.

use protocol::Digest;
use protocol::dethrone::{DethroneRules, EpsilonDecay, Rule, Verdict};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::score::{Ceiling, ScoreRules};
use protocol::significance::{Basis, Part, Replicates};
use referee::bout::{Bout, Incumbent, Successor, crown, dethrones, judge};
use std::num::NonZeroU32;

const ITEMS: usize = 480;
/// Far above both models, so that no utility is clipped.
const CEILING: Ceiling = Ceiling { correct: 98, items: 100 };

/// Every 12th item is wrong, apart from the first `won` of those. At twice the reference's latency there is something to win
/// and to lose.
fn model(won: usize) -> Outcomes {
    Outcomes::new(OutcomeValues {
        images_sha256: Digest::of(b"items"),
        size_bytes: 100_000,
        public_items: 0,
        right: (0..ITEMS).map(|i| i % 12 != 5 || i / 12 < won).collect(),
        js_micronats: vec![40_000; ITEMS],
        log_ratio_nanos: vec![693_000_000; 15],
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
        above_public_gate: true,
        score: &rules.0,
        rules: &rules.1,
        ceiling: CEILING,
        shared_by: NonZeroU32::MIN,
        rounds: 1,
        seed: Digest::of(b"round"),
    }
}

fn judged(challenger: &Outcomes, change: impl FnOnce(&mut Bout<'_>)) -> Verdict {
    // A gate far below and a latency that is not saturated, so that neither decides.
    let rules = (
        ScoreRules { gate_ppm: 500_000, latency_ratio_min_ppm: 10_000, ..ScoreRules::default() },
        DethroneRules::default(),
    );
    let champion = model(0);
    let mut bout = bout(&champion, challenger, &rules);
    change(&mut bout);
    let verdict = judge(&bout);
    assert_eq!(dethrones(&bout), verdict.rule.dethrones(), "the same answer without the figures");
    verdict
}

#[test]
fn a_challenger_better_on_fresh_items_dethrones_and_shows_why() {
    let verdict = judged(&model(24), |_| ());
    assert_eq!(verdict.rule, Rule::Dethrones);
    assert!(verdict.rule.dethrones());
    let hidden = verdict.hidden.unwrap();
    assert_eq!((hidden.accuracy.disputed.challenger_only, hidden.accuracy.disputed.champion_only), (24, 0));
    assert_eq!(hidden.accuracy.difference.value_ppm, 50_000);
    assert_eq!(hidden.accuracy.p_ppb, 30, "half of 2^-24");
    assert!(hidden.composite.low_ppm > 1_000 && hidden.p.at_most(1_600, 1));
    assert_eq!((verdict.epsilon_ppm, verdict.alpha_hidden_ppm, verdict.shared_by), (1_000, 1_600, 1));
    let json = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
    assert!(json.contains(r#""rule":"dethrones""#) && Rule::Dethrones.to_string() == "dethrones");
}

#[test]
fn the_first_rule_that_stops_a_challenger_decides() {
    let good = model(24);
    let rule = |change: fn(&mut Bout<'_>)| judged(&good, change).rule;
    assert_eq!(rule(|bout| bout.champion = Incumbent::NotMeasured), Rule::ChampionNotMeasured);
    assert_eq!(rule(|bout| bout.challenger = None), Rule::ChallengerNotMeasured);
    assert_eq!(rule(|bout| bout.near_copy = true), Rule::NearCopy);
    assert_eq!(rule(|bout| bout.latency_compliant = false), Rule::LatencyBreach);
    assert_eq!(rule(|bout| bout.latency_stable = false), Rule::LatencyUnstable);
    assert_eq!(rule(|bout| bout.above_public_gate = false), Rule::BelowGate);
    assert_eq!(judged(&model(1), |_| ()).rule, Rule::HiddenNotBetter);
}

#[test]
fn every_doubt_keeps_the_incumbent() {
    let changed = |change: fn(&mut OutcomeValues)| {
        let mut values = model(24).values().clone();
        change(&mut values);
        judged(&Outcomes::new(values).unwrap(), |_| ()).rule
    };
    assert_eq!(judged(&model(0), |_| ()).rule, Rule::HiddenNotBetter, "a tie");
    assert_eq!(changed(|values| values.images_sha256 = Digest::of(b"others")), Rule::NotComparable);
    assert_eq!(changed(|values| values.log_ratio_nanos.clear()), Rule::NotComparable);
    assert_eq!(changed(|values| values.public_items = 1), Rule::NotComparable);
    assert_eq!(changed(|values| values.right.fill(false)), Rule::BelowHiddenGate);
}

#[test]
fn a_shared_level_is_harder_to_meet() {
    let hidden_p = judged(&model(9), |_| ()).hidden.unwrap().p;
    let shared = |n: u32| judged(&model(9), |bout| bout.shared_by = NonZeroU32::new(n).unwrap()).rule;
    assert!(hidden_p.at_most(2_000, 1) && !hidden_p.at_most(2_000, 500), "{hidden_p:?}");
    assert_eq!((shared(1), shared(500)), (Rule::Dethrones, Rule::HiddenNotBetter));
}

#[test]
fn a_faster_equal_dethrones_and_a_slower_better_one_may_not() {
    let timed = |won, nanos| {
        let mut values = model(won).values().clone();
        values.log_ratio_nanos.fill(nanos);
        Outcomes::new(values).unwrap()
    };
    assert_eq!(judged(&timed(0, 493_000_000), |_| ()).rule, Rule::Dethrones);
    assert_eq!(judged(&timed(12, 4_000_000_000), |_| ()).rule, Rule::HiddenNotBetter);
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
        rules.problems()
    };
    assert!(after(|_| ()).is_empty());
    let decay = |from_ppm, to_ppm, days| Some(EpsilonDecay { from_ppm, to_ppm, days });
    assert_eq!(after(|rules| rules.alpha_hidden_ppm = 0), ["alpha_hidden_ppm is 0, not 200 to 500000"]);
    assert!(!after(|rules| rules.alpha_hidden_ppm = 500_001).is_empty());
    assert!(!after(|rules| rules.epsilon_ppm = 1_000_000).is_empty());
    let decays = [decay(500, 5_000, 7), decay(5_000, 500, 0), decay(1_000_000, 0, 7)];
    for epsilon_decay in decays {
        let rules = DethroneRules { epsilon_decay, ..DethroneRules::default() };
        assert!(!rules.problems().is_empty(), "{rules:?}");
    }
    assert!(serde_json::from_str::<DethroneRules>(r#"{"alpha": 1}"#).is_err());
    assert_eq!(serde_json::from_str::<DethroneRules>("{}").unwrap(), DethroneRules::default());
}

#[test]
fn of_several_that_succeed_the_earliest_that_cannot_be_told_from_the_best_is_crowned() {
    let rules = ScoreRules::default();
    let round = Basis { part: Part::Hidden, seed: Digest::of(b"round"), ceiling: CEILING, rules: &rules };
    let [first, a_hair_better, far_better] = [1, 2, 28].map(|won| Replicates::draw(&model(won), &round).unwrap());
    let successor = |key, arrival, hidden| Successor { key, arrival, hidden };
    let pair = vec![successor("late", 9, &a_hair_better), successor("early", 2, &first)];
    assert_eq!(crown(pair.clone()), Some("early"), "a hair is no reason");
    let all = [pair, vec![successor("far", 20, &far_better)]].concat();
    assert_eq!(crown(all), Some("far"));
    assert_eq!(crown::<&str>(vec![]), None);
}
