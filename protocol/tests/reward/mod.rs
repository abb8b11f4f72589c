//! Payment: golden examples, what holds for every history, griefing, the manifest's table, and changes.

mod frontier;
mod golden;
mod properties;
mod rules;

use protocol::reward::{Axes, Entrant, Payment, RewardPolicy, RewardRules, Standing};
use protocol::score::Utilities;
use protocol::{Hotkey, SubmissionId};

/// Accuracy and latency: the box of the examples that fit on paper.
const TWO_AXES: Axes = Axes { accuracy: true, fidelity: false, latency: true, size: false };
const FOUR_AXES: Axes = Axes { accuracy: true, fidelity: true, latency: true, size: true };

fn hotkey(owner: u8) -> Hotkey {
    Hotkey::from_bytes([owner; 32])
}

fn submission(number: u64) -> SubmissionId {
    SubmissionId::new(number, 0)
}

/// Submission, arrival and rank have one number; each has an owner.
fn entrant(number: u64, owner: u8) -> Entrant {
    Entrant {
        decided: true,
        submission: submission(number),
        hotkey: hotkey(owner),
        owner: hotkey(owner),
        arrival: number,
        rank: u32::try_from(number).unwrap(),
        score_ppm: 500_000,
        utilities_ppm: Utilities::default(),
        half_widths_ppm: Utilities::default(),
        copy_of: None,
    }
}

/// Accuracy and latency in thousandths.
fn at(number: u64, owner: u8, [accuracy, latency]: [i64; 2]) -> Entrant {
    let utilities_ppm = Utilities { accuracy: accuracy * 1_000, latency: latency * 1_000, ..Utilities::default() };
    Entrant { utilities_ppm, ..entrant(number, owner) }
}

fn standing(round: u64, champion: Option<u64>, entrants: Vec<Entrant>) -> Standing {
    Standing { round, axes: TWO_AXES, entrants, champion: champion.map(submission), margin_ppm: None }
}

fn rules(policy: RewardPolicy) -> RewardRules {
    RewardRules::from(policy)
}

/// Owners with their weights.
fn paid(payment: &Payment) -> Vec<(u8, u32)> {
    payment.weights.iter().map(|weight| (weight.hotkey.as_bytes()[0], weight.weight_ppm)).collect()
}

fn weight(payment: &Payment, owner: u8) -> u32 {
    paid(payment).into_iter().find(|(paid, _)| *paid == owner).map_or(0, |(_, weight_ppm)| weight_ppm)
}

/// What was said about a submission.
fn why(payment: &Payment, number: u64) -> Vec<&str> {
    let about = |reason: &&protocol::reward::Reason| reason.submission == submission(number);
    payment.why.iter().filter(about).map(|reason| reason.sentence.as_str()).collect()
}
