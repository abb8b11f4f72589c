//! A round at each of its steps.

use super::{NOW, competition, hotkey, id, object};
use datasets::hidden::{
    AbandonCode, Abandonment, Beacon, BeaconRule, BeaconWait, Drawn, RoundCommitment, RoundEntryView, RoundView, Seen,
};
use protocol::Digest;
use protocol::dethrone::{Comparison, Rule, Verdict};
use protocol::evaluation::Screened;
use protocol::report::Estimate;
use protocol::reward::{self, Weight};
use protocol::round::{EntryRole, Screening, Step};
use protocol::score::Ceiling;
use protocol::significance::{Disputed, SequentialP};
use protocol::submission::Blame;

/// A round in which a challenger took the seat, as far as `step` shows it.
pub fn round(step: Step) -> RoundView {
    let (judged, revealed) = (step >= Step::Judged, step == Step::Revealed);
    let ceiling = |correct, items| Ceiling { correct, items };
    let teacher = competition().competition.teacher.ceiling();
    let drawn = Drawn {
        items: object("items", 4_000_000),
        teacher_logits: object("logits", 200_000),
        fixed: 1_500,
        fixed_seed: Digest::of(b"fixed"),
        seed: Digest::of(b"seed"),
        cut: Screening::default().cut(3_500),
        reference_outcomes: object("reference", 25_000),
        known_ceiling: ceiling(teacher.correct + 1_354, teacher.items + 1_500),
        fresh_ceiling: ceiling(3_161, 3_500),
    };
    let entries = vec![
        round_entry(1, EntryRole::Champion, [4_610, 5_000], [4_302, 5_000], None),
        round_entry(2, EntryRole::Challenger, [4_655, 5_000], [4_390, 5_000], Some(Rule::Dethrones)),
        RoundEntryView {
            clean: None,
            changed: None,
            latency_ratio: None,
            seen: Some(Seen {
                items: 300,
                correct: 243,
                teacher_correct: 271,
                standing_ppm: Some(410_000),
                least_ppm: Some(473_000),
            }),
            ..round_entry(3, EntryRole::Screened, [0, 0], [0, 0], Some(Rule::Screened))
        },
    ];
    RoundView {
        competition: competition().competition.manifest.id,
        round: 3,
        rules: protocol::rules::RULES,
        step,
        opened_at: NOW - 90_000,
        closes_at: Some(NOW - 3_600),
        changed_at: NOW - 3_000,
        commitment: RoundCommitment {
            format: "retort-round-commitment/1".into(),
            competition: "fashion-mnist".into(),
            round: 3,
            root: [0xab; 32],
        },
        beacon_rule: (step > Step::Open).then_some(BeaconRule::LedgerFrom { height_min: 17 }),
        wait: (step == Step::Closed).then(|| BeaconWait {
            due_at: NOW - 3_600,
            abandoned_at: NOW + 18_000,
            problem: Some("the relay: no answer in time".into()),
        }),
        beacon: (step > Step::Abandoned).then_some(Beacon::Ledger { height: 17, hash: [0xcd; 32] }),
        abandoned: (step == Step::Abandoned).then(|| Abandonment {
            code: AbandonCode::BeaconMissing,
            blame: Blame::Validator,
            detail: "no entry of the ledger after 21600 s: it wasn't there".into(),
        }),
        champion_before: Some(id(1)),
        champion: judged.then(|| id(2)),
        crowned_at: NOW - 3_600,
        crowned_in: 3,
        shared_by: 1,
        champion_age_seconds: 172_800,
        weights: if judged { vec![Weight { hotkey: hotkey(2), weight_ppm: 700_000 }] } else { Vec::new() },
        why: vec![reward::Reason { hotkey: hotkey(2), submission: id(2), sentence: "holds the seat".into() }],
        epoch: judged.then_some(3),
        drawn: revealed.then_some(drawn),
        entries: if judged { entries } else { Vec::new() },
        record: revealed.then(|| object("record", 9_000)),
        reveal: revealed.then(|| object("reveal", 3_000_000)),
    }
}

/// Of a challenger that is so far behind.
pub(super) fn verdict(rule: Rule, behind_ppm: i64) -> Verdict {
    let (low_ppm, high_ppm) = (-behind_ppm - 6_300, 6_400 - behind_ppm);
    let comparison = Comparison {
        accuracy: Disputed { items: 2_500, challenger_only: 240, champion_only: 195 }.test(),
        composite: Estimate { value_ppm: -behind_ppm, low_ppm, high_ppm },
        p: SequentialP { hits: 42, draws: 20_000 },
    };
    Verdict { rule, epsilon_ppm: 1_000, alpha_hidden_ppm: 1_600, shared_by: 1, rounds: 1, hidden: Some(comparison) }
}

fn round_entry(n: u64, role: EntryRole, clean: [u32; 2], changed: [u32; 2], rule: Option<Rule>) -> RoundEntryView {
    let verdict = rule.map(|rule| Verdict {
        hidden: verdict(rule, -9_400).hidden.filter(|_| rule.dethrones()),
        ..verdict(rule, -9_400)
    });
    RoundEntryView {
        submission: id(n),
        arrival: n,
        role,
        clean: Some(clean),
        changed: Some(changed),
        latency_ratio: Some(Estimate { value_ppm: 412_000, low_ppm: 405_000, high_ppm: 420_000 }),
        fresh_items: Some(if role == EntryRole::Screened { 300 } else { 3_500 }),
        screening: Some(Screened {
            outcomes: object("screening", 1_000),
            outputs_sha256: Digest::of(b"screening"),
            logits: object("screening-logits", 12_000),
            items: 300,
        }),
        seen: None,
        report: Some(object("report", 2_000)),
        outcomes: Some(object("outcomes", 41_000)),
        receipt: Some(object("receipt", 1_500)),
        failure: None,
        verdict,
    }
}
