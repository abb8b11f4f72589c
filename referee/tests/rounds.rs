//! Judgements of whole rounds on made-up answers: pooling, places, margins, and how often the rules err.

use protocol::dethrone::{DethroneRules, Rule};
use protocol::report::{Estimate, Latency};
use protocol::reward::{Champion, FrontierPoint, History, PastRound};
use protocol::round::{Cut, EntryRole, RoundRules, Screening};
use protocol::score::{ScoreRules, Utilities};
use protocol::{Digest, Hotkey, SubmissionId};
use referee::simulate::{Contest, Tally, World, repetition};
use referee::{Contestant, Drawn, Evidence, Referee, Sheet, Stage};
use std::collections::BTreeMap;

const ALL: u32 = 600;
const CUT: Cut = Cut { first: 60, second: 180, all: ALL };

fn id(number: u64) -> SubmissionId {
    SubmissionId::new(number, 0)
}

/// Answers to the first items of a round: wrong on every `wrong`-th.
fn sheet(items: u32, wrong: usize) -> Sheet {
    let right: Vec<bool> = (0..items as usize).map(|i| i % wrong != 0).collect();
    Sheet { js_micronats: vec![40_000; right.len()], right }
}

fn contestant(number: u64, role: EntryRole, sheets: &[(u64, Sheet)]) -> Contestant {
    let hotkey = Hotkey::from_bytes([number as u8; 32]);
    let sound = Estimate { value_ppm: 1_000_000, low_ppm: 998_000, high_ppm: 1_002_000 };
    let evidence =
        Evidence { sheets: sheets.iter().cloned().collect(), log_ratio_nanos: vec![0; 15], size_bytes: 100_000 };
    Contestant {
        submission: id(number),
        hotkey,
        owner: hotkey,
        arrival: number,
        role,
        evidence,
        latency: Some(Latency { ratio: sound, launches: 15, ..Latency::default() }),
        above_public_gate: true,
        copy_of: None,
    }
}

/// Round 3, whose champion sits since round 1: rounds 2 and 3 count against it.
fn referee() -> Referee {
    let drawn = Drawn { cut: CUT, teacher_right: (0..ALL).map(|i| i % 30 != 1).collect() };
    let drawn: BTreeMap<u64, Drawn> = (1..=3).map(|round| (round, drawn.clone())).collect();
    let rules = (ScoreRules::default(), DethroneRules::default());
    Referee::new(rules, (3, Digest::of(b"seed")), (2, 0), drawn)
}

#[test]
fn only_deciding_items_judge_and_those_of_the_reign_are_pooled() {
    // A challenger that is much better on screening items alone, decided in rounds 1 to 3.
    let better_at_first = || {
        let mut sheet = sheet(ALL, 12);
        sheet.right[..CUT.second as usize].fill(true);
        sheet
    };
    let champion = contestant(1, EntryRole::Champion, &[1, 2, 3].map(|round| (round, sheet(ALL, 12))));
    let lucky = contestant(2, EntryRole::Challenger, &[1, 2, 3].map(|round| (round, better_at_first())));
    let decision = referee().decide(&[champion.clone(), lucky], 1, true);
    let verdict = decision.verdicts[0].1;
    assert_eq!((verdict.rule, verdict.rounds, decision.successor), (Rule::HiddenNotBetter, 2, None));
    let disputed = verdict.hidden.unwrap().accuracy.disputed;
    assert_eq!((disputed.items, disputed.challenger_only), (2 * 420, 0), "round 1 is before the reign");

    // One that is a little better everywhere: a round alone doesn't show it, two do.
    let better = |rounds: &[u64]| {
        let sheets: Vec<(u64, Sheet)> = rounds.iter().map(|round| (*round, sheet(ALL, 25))).collect();
        contestant(3, EntryRole::Challenger, &sheets)
    };
    let rule = |challenger| referee().decide(&[champion.clone(), challenger], 1, true).verdicts[0].1.rule;
    assert_eq!((rule(better(&[3])), rule(better(&[2, 3]))), (Rule::HiddenNotBetter, Rule::Dethrones));
}

#[test]
fn who_screened_only_stands_by_what_it_answered_and_equals_share_a_rank() {
    let champion = contestant(1, EntryRole::Champion, &[(3, sheet(ALL, 12))]);
    let equal = contestant(2, EntryRole::Screened, &[(3, sheet(CUT.first, 12))]);
    let mut far_worse = contestant(3, EntryRole::Screened, &[(2, sheet(CUT.second, 12)), (3, sheet(CUT.second, 12))]);
    far_worse.evidence.log_ratio_nanos = vec![2_000_000_000; 15];
    let copy = Contestant { copy_of: Some(id(1)), ..contestant(4, EntryRole::Screened, &[(3, sheet(CUT.first, 12))]) };
    let memoriser = contestant(5, EntryRole::Screened, &[(3, sheet(CUT.second, 2))]);
    let nobody_asked = contestant(6, EntryRole::Screened, &[]);
    let field = [champion, equal, far_worse, copy, memoriser.clone(), nobody_asked];
    let judgement = referee().judge(&field, 0, Some(&id(1)), &Evidence::default(), &History::default());
    let places: Vec<_> = judgement.stands.iter().map(|stand| (stand.submission.clone(), stand.rank)).collect();
    assert_eq!(places, [(id(1), 1), (id(2), 1), (id(3), 3)]);
    assert_eq!(judgement.stands[1].merit.items, CUT.first);
    let paid_for =
        |number| judgement.standing.entrants.iter().find(|it| it.submission == id(number)).unwrap().score_ppm;
    assert_eq!(paid_for(5), 0, "below the gate on fresh items");
    assert!(paid_for(2) > 0);
    let merit = referee().merit(&memoriser.evidence, Stage::All).unwrap();
    assert!(merit.out_of_reach && !merit.above_gate, "180 items are enough to be put out: {merit:?}");
}

#[test]
fn a_margin_counts_from_the_best_that_was_ever_paid_and_steps_of_one_owner_add_up() {
    let referee = referee();
    let with = |number, wrong| contestant(number, EntryRole::Challenger, &[(3, sheet(ALL, wrong))]);
    let (weak, strong, reference) = (with(1, 10), with(2, 20), sheet(ALL, 9));
    let reference = Evidence { log_ratio_nanos: vec![0], size_bytes: 100_000, sheets: [(3, reference)].into() };
    let paid = |of: &Contestant, composite_ppm| Champion {
        submission: of.submission.clone(),
        hotkey: of.hotkey,
        owner: of.owner,
        margin_ppm: Some(1_000),
        composite_ppm,
    };
    let history = |champions: Vec<Champion>| History {
        rounds: (1..)
            .zip(champions)
            .map(|(round, champion)| PastRound { round, champion: Some(champion), accepted: vec![], judged: vec![] })
            .collect(),
    };
    let own = referee.merit(&strong.evidence, Stage::All).unwrap().composite_ppm;
    let over_reference = referee.margin_ppm(&strong, None, &reference, &history(vec![])).unwrap();
    let over_weak = referee.margin_ppm(&strong, Some((&weak, Some(1_000))), &reference, &history(vec![])).unwrap();
    assert!(0 < over_weak && over_weak < over_reference, "a weak friend on the seat first takes from the margin");
    // A friend that is worse than the reference takes nothing from it, nor does one's own bad model.
    let worse = with(4, 6);
    let over_worse = |margin, owner| {
        let worse = Contestant { owner, ..worse.clone() };
        referee.margin_ppm(&strong, Some((&worse, margin)), &reference, &history(vec![]))
    };
    assert_eq!(over_worse(Some(-1_000), worse.owner), Some(over_reference));
    let below = referee.margin_ppm(&worse, None, &reference, &history(vec![])).unwrap();
    assert!(below < 0, "{below}");
    let own_steps = over_worse(Some(below), strong.owner).unwrap();
    assert!(own_steps.abs_diff(over_reference) <= 1, "{own_steps} beside {over_reference}");
    // A better one was paid once, and is gone: the seat is empty, the mark stays.
    let gone = with(3, 19);
    let left = referee.margin_ppm(&strong, None, &reference, &history(vec![paid(&gone, own - 500)])).unwrap();
    assert_eq!(left, 500);
    // The same owner improves its own: what it was paid by is kept.
    let mine = Contestant { owner: strong.owner, ..weak.clone() };
    let step = referee.margin_ppm(&strong, Some((&mine, Some(1_000))), &reference, &history(vec![paid(&mine, own)]));
    assert_eq!(step.unwrap(), over_weak + 1_000);
}

#[test]
fn what_was_paid_for_by_another_clock_is_held_against_nobody_as_it_was() {
    let referee = referee();
    let timed = |number, nanos: i64| {
        let mut it = contestant(number, EntryRole::Screened, &[(3, sheet(ALL, 12))]);
        it.evidence.log_ratio_nanos = vec![nanos; 15];
        it
    };
    // Twice as slow as the reference on the new engine; never timed on it.
    let (slow, mut never) = (timed(1, 693_147_181), timed(2, 0));
    never.evidence.log_ratio_nanos.clear();
    let worth = |it: &Contestant| referee.merit(&it.evidence, Stage::All);
    assert!(worth(&never).is_none(), "it has no place before it is timed");
    assert!(worth(&Contestant { evidence: never.evidence.clone().to_screen(), ..never.clone() }).is_some());
    let now = worth(&slow).unwrap();
    let point = |of: &Contestant| FrontierPoint {
        submission: of.submission.clone(),
        hotkey: of.hotkey,
        round: 1,
        utilities_ppm: Utilities { accuracy: 1, fidelity: 2, latency: 3, size: 4 },
        half_widths_ppm: Utilities::default(),
        gain_ppb: 5,
    };
    let champion = |of: &Contestant| Champion {
        submission: of.submission.clone(),
        hotkey: of.hotkey,
        owner: of.owner,
        margin_ppm: Some(6),
        composite_ppm: 7,
    };
    let past = |round, of: &Contestant| PastRound {
        round,
        champion: Some(champion(of)),
        accepted: vec![point(of)],
        judged: vec![],
    };
    let before = History { rounds: vec![past(1, &slow), past(1, &never), past(2, &slow)] };
    let all = [slow, never];
    assert_eq!(referee.retimed(before.clone(), &all, 0), before, "nothing changes where no engine did");
    let after = referee.retimed(before.clone(), &all, 2);
    let [first, second, third] = &after.rounds[..] else { panic!("{after:?}") };
    let found = first.champion.as_ref().unwrap();
    assert_eq!((found.composite_ppm, found.margin_ppm), (now.composite_ppm, Some(6)));
    let (accepted, expected) = (&first.accepted[0], now.utilities_ppm.latency);
    assert_eq!(accepted.utilities_ppm, Utilities { accuracy: 1, fidelity: 2, latency: expected, size: 4 });
    assert_eq!((second, third), (&before.rounds[1], &before.rounds[2]), "what can't be timed again, and what was");
}

#[test]
fn an_empty_seat_goes_to_the_earliest_of_the_best_above_both_gates() {
    let with = |number, wrong| contestant(number, EntryRole::Challenger, &[(3, sheet(ALL, wrong))]);
    let restless = Estimate { value_ppm: 1_000_000, low_ppm: 500_000, high_ppm: 2_000_000 };
    let unstable =
        Contestant { latency: Some(Latency { ratio: restless, launches: 15, ..Latency::default() }), ..with(9, 30) };
    assert_eq!(referee().decide(&[unstable], 1, false).successor, None);
    let below_public = Contestant { above_public_gate: false, ..with(1, 30) };
    let field = [below_public, with(2, 20), with(3, 20), with(4, 9), with(5, 2)];
    let judgement = referee().judge(&field, 4, None, &Evidence::default(), &History::default());
    assert_eq!((judgement.champion, judgement.decision.verdicts), (Some(id(2)), vec![]));
    let untimed = Contestant { latency: None, ..with(2, 20) };
    assert_eq!(referee().decide(&[untimed], 1, false).successor, None, "who was not measured in full can't sit");
}

#[test]
fn a_repetition_is_a_function_of_its_seed_and_rules_err_as_their_levels_say() {
    let round = RoundRules { challengers_max: 2, ..RoundRules::default() };
    let equals = World {
        items: 400,
        rounds: 2,
        equals: 5,
        better: 0,
        memorisers: 0,
        gain_ppm: 0,
        fresh_ppm: 1_000_000,
        rules: DethroneRules::default(),
        round,
    };
    let tally = |world: &World| {
        let mut tally = Tally::default();
        (0..10).for_each(|seed| tally.add(&repetition(world, seed)));
        tally
    };
    assert_eq!(tally(&equals), tally(&equals));
    let [better, .., mcnemar, screened] = tally(&equals).dethroned(2);
    assert!(better >= 8 && mcnemar <= 4 && screened == 0, "{:?}", tally(&equals));
    let screening = Screening { items: 50, ..Screening::default() };
    let round = RoundRules { screening, ..RoundRules::default() };
    let far_better = World { items: 1_500, rounds: 1, equals: 0, better: 1, gain_ppm: 60_000, round, ..equals };
    let outcome = repetition(&far_better, 1);
    assert_eq!((outcome.dethroned_in, outcome.better_decided_by), ([Some(1); Contest::ALL.len()], Some(1)));
}

#[test]
fn three_that_are_a_point_better_are_decided_however_many_equals_and_memorisers_crowd_them() {
    let round = RoundRules::default();
    let wait = round.wait_rounds_max;
    let crowded = World {
        items: 3_500,
        rounds: wait,
        equals: 300,
        better: 3,
        memorisers: 300,
        gain_ppm: 10_000,
        fresh_ppm: 1_000_000,
        rules: DethroneRules::default(),
        round,
    };
    for seed in 0..2 {
        let by = repetition(&crowded, seed).better_decided_by;
        assert!(by.is_some_and(|by| by <= wait), "{by:?}");
    }
}
